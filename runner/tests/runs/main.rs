//! Runs with real processes: launch, stage 0, shim and child, as root and in user
//! namespaces. Each claim is tried in every mode that this machine's caller can be: root
//! tries both, everyone else the rootless one.
//!
//! ```text
//! test (root) ─┬─ launch            this binary again, entry `inside`
//!              └─ server            this binary again, as paasd or as an ordinary user
//! ```

mod adoption;
mod claims;
mod joining;
mod notifying;
mod scenarios;
mod stage;
