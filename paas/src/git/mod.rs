//! Git's two ends of a push: the door where it arrives and the hook that holds it.
//!
//! ```text
//! sshd or git ── door ── server ── launch ── receive-pack ── hook ── server
//! ```
//! The door parses words and hands its own stdio on; the hook tells what would move,
//! streams the tree and ends with the server's verdict. Neither decides anything.

pub mod door;
mod export;
mod facts;
pub mod hook;
pub mod protocol;
pub mod repository;
pub mod words;

pub use export::export_to_descriptor;
