//! The build plane's drivers: repositories, archives, commands, slugs.

mod commands;
mod export;
mod slugs;
