//! What the app runs: its Procfile, or what the buildpack knows.

use std::collections::BTreeMap;

use model::ProcessType;
use model::author::Procfile;

use crate::plan::BuildPlan;
use crate::{Problem, SourceTree};

/// Commands per process type, and how they were found.
#[derive(Debug)]
pub(crate) struct ProcessTypes {
    pub(crate) commands: BTreeMap<ProcessType, String>,
    /// `Procfile declares types     -> web, worker`.
    pub(crate) line: String,
    pub(crate) warnings: Vec<String>,
}

/// The Procfile, if there is one.
pub(crate) fn procfile(tree: &dyn SourceTree) -> Result<Option<Procfile>, Problem> {
    let unreadable = |error| Problem::system("procfile.unreadable", "the Procfile cannot be read", &error);
    let bytes = tree.read("Procfile", crate::limits::PLAN_FILE_BYTES_MAX).map_err(unreadable)?;
    bytes.map(|bytes| Procfile::parse(&bytes)).transpose().map_err(|error| Problem::from(&error))
}

/// What runs after the build: the Procfile, else the plan's defaults.
pub(crate) fn of_built(tree: &dyn SourceTree, plan: &BuildPlan) -> Result<ProcessTypes, Problem> {
    if let Some(procfile) = procfile(tree)? {
        let warnings = procfile.warnings.iter().map(|w| format!("Procfile:{}: {}", w.line, w.text)).collect();
        let line = format!("Procfile declares types     -> {}", listed(procfile.commands.keys()));
        return Ok(ProcessTypes { commands: procfile.commands, line, warnings });
    }
    let mut commands = BTreeMap::new();
    for (name, command) in &plan.default_commands {
        let parsed = name.parse::<ProcessType>();
        let process_type =
            parsed.map_err(|error| Problem::system("build.process_type", "the buildpack named a process wrongly", &error))?;
        commands.insert(process_type, command.clone());
    }
    if commands.is_empty() {
        return Err(Problem::new("build.no_start_command", "nothing says what to start")
            .why(format!("there is no Procfile, and for {} no command is plain from the source", plan.language))
            .fix(plan.start_hint.clone()));
    }
    let line = format!("Default types for {:<10} -> {}", plan.language, listed(commands.keys()));
    Ok(ProcessTypes { commands, line, warnings: Vec::new() })
}

/// `web` first, then the others in their order.
pub(crate) fn listed<'a>(types: impl Iterator<Item = &'a ProcessType>) -> String {
    let mut types: Vec<&ProcessType> = types.collect();
    types.sort_by_key(|t| (!t.is_web(), t.as_str()));
    types.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(", ")
}

/// Types that run now and that the new slug does not have.
pub(crate) fn vanished(formation: &BTreeMap<String, u32>, commands: &BTreeMap<ProcessType, String>) -> Vec<String> {
    let gone = formation.iter().filter(|(name, count)| **count > 0 && !commands.keys().any(|t| t.as_str() == name.as_str()));
    gone.map(|(name, count)| format!("{name} runs {count} and is no longer declared: it will be stopped")).collect()
}
