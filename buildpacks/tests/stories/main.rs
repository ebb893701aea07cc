//! Stories of the buildpacks: every fixture's plan as a snapshot, and real builds with
//! the host's own Python and Node.js.

mod builds;
mod heroku;
mod plans;
mod support;
