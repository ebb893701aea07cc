//! Control decides: what is asked, by whom, what should run, and when traffic moves.
//! It knows no path, pid, uid or port; the [`seams`] do.

pub mod access;
pub mod limits;
pub mod rollout;
pub mod push;
pub mod routes;
pub mod seams;
pub mod store;
pub mod story;
