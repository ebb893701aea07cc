//! An app without a language of ours: its Procfile starts what is in the repository.

use builder::SourceTree;
use builder::plan::{BuildPlan, Buildpack, PlanContext, PlanError};

/// Takes any tree with a Procfile; there is nothing to build.
#[derive(Debug, Clone, Copy)]
pub struct ProcfileOnly;

impl Buildpack for ProcfileOnly {
    fn name(&self) -> &'static str {
        "procfile"
    }

    fn looks_for(&self) -> &'static str {
        "Procfile"
    }

    fn is_fallback(&self) -> bool {
        true
    }

    fn detect(&self, tree: &dyn SourceTree, _: &PlanContext<'_>) -> Result<Option<BuildPlan>, PlanError> {
        Ok(tree.has_file("Procfile").then(|| BuildPlan::new("procfile", "Procfile", "nothing to build")))
    }
}
