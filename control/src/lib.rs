//! Control decides: what is asked, by whom, what should run, and when traffic moves.
//! It knows no path, pid, uid or port; the [`seams`] do.

pub mod access;
pub mod app;
mod control;
pub mod deploy;
pub mod limits;
pub mod memory;
pub mod perform;
pub mod push;
mod pushing;
mod records;
pub mod rollout;
pub mod routes;
pub mod seams;
pub mod services;
mod sessions;
mod starting;
pub mod store;
pub mod story;
pub mod turns;
pub mod watch;
mod watching;
mod work;

pub use control::{Control, ControlSettings};
pub use pushing::Pushing;
pub use sessions::OpenSession;
