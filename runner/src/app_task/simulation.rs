//! Stories of an app's task in a fake world under a clock that jumps.

mod app;
mod checks;
mod crashes;
mod flights;
mod hangs;
mod notify;
mod switches;
mod world;
