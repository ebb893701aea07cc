//! Stories of an app's task in a fake world under a clock that jumps.

mod crashes;
mod hangs;
mod switches;
mod world;
