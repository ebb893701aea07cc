//! The languages: one folder each, a pure plan from a source tree.
//!
//! A new language is a folder with a `Buildpack`, its fixtures, and a line in [`all`].

pub mod limits;
mod node;
mod procfile;
mod python;

use builder::plan::Buildpack;

pub use node::Node;
pub use procfile::ProcfileOnly;
pub use python::Python;

/// Every buildpack in the order in which they are asked. Python comes before Node.js:
/// a Django or Flask app often has a package.json for its assets, the reverse is rare.
pub fn all() -> &'static [&'static dyn Buildpack] {
    &[&Python, &Node, &ProcfileOnly]
}
