//! Files that an app's author writes.

mod procfile;

pub use procfile::{Procfile, ProcfileError, ProcfileWarning};
