//! The client side of the binary against a server that the test plays itself: real
//! sockets, real git, real terminals, no paas server.

#![allow(unreachable_pub, reason = "nothing imports a test")]

#[path = "../../src/frames.rs"]
#[allow(dead_code, reason = "the binary's own framing, of which the tests use the server's half")]
mod frames;
#[path = "../../src/limits.rs"]
#[allow(dead_code, reason = "the binary's own limits")]
mod limits;
#[path = "../../src/git/protocol.rs"]
#[allow(dead_code, reason = "the binary's own protocol")]
mod protocol;

mod commands;
mod door;
mod push;
mod sessions;
mod support;
