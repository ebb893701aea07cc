//! The front door over real sockets: small apps in this process, raw bytes as clients.

mod bodies;
mod conversation;
mod crowds;
mod failures;
mod requests;
mod support;
mod switching;
