//! Stories of control: a store in memory, a fake of everything beyond the seams, and a
//! clock that only moves when a story moves it.

mod access;
mod apps;
mod builds;
mod checks;
mod config;
mod interrupted;
mod killed;
mod processes;
mod pushes;
mod releases;
mod repositories;
mod routes;
mod scripts;
mod settings;
mod slugs;
mod stopping;
mod storage;
mod support;
mod switching;
mod watching;
