//! Which Node.js of the host an app gets, and why.

use builder::plan::PlanError;
use builder::toolchains::Interpreter;
use builder::{Problem, SourceTree};

use super::package::Package;
use super::range::Range;
use crate::limits;

/// The interpreter and what is told about it.
pub(super) struct Chosen<'a> {
    pub(super) interpreter: &'a Interpreter,
    pub(super) why: String,
    pub(super) warning: Option<String>,
}

pub(super) fn choose<'a>(tree: &dyn SourceTree, package: &Package, nodes: &'a [Interpreter]) -> Result<Chosen<'a>, PlanError> {
    let Some(newest) = nodes.first() else {
        return Err(Problem::new("host.no_node", "this machine has no Node.js").fix("apt install nodejs npm").into());
    };
    let newest_for = |warning| Chosen { interpreter: newest, why: "the newest of this machine".to_owned(), warning };
    let Some((wish, file)) = wish(tree, package)? else { return Ok(newest_for(None)) };
    let Ok(range) = wish.parse::<Range>() else {
        return Ok(newest_for(Some(format!("`{}` ({file}) is not understood as a version of Node.js", model::text::clean(&wish, 60)))));
    };
    let why = format!("{} in {file}", model::text::clean(&wish, 60));
    if let Some(interpreter) = nodes.iter().find(|node| range.holds(node.version)) {
        return Ok(Chosen { interpreter, why, warning: None });
    }
    if let Some(interpreter) = nodes.iter().find(|node| range.names_major(node.version.major)) {
        let warning =
            format!("Node.js {} ({file}) is not on this machine, {} is: used instead", model::text::clean(&wish, 60), interpreter.version);
        return Ok(Chosen { interpreter, why: format!("nearest to {why}"), warning: Some(warning) });
    }
    let have: Vec<String> = nodes.iter().take(limits::SHOWN_VERSIONS_MAX).map(|node| node.version.to_string()).collect();
    Err(Problem::new("node.version_missing", format!("Node.js {} is not on this machine", model::text::clean(&wish, 60)))
        .why(format!("{file} asks for it; there is {}", have.join(", ")))
        .fix(format!("install it on the machine, or change {file}"))
        .file(file)
        .into())
}

/// The version that the app asks for, and where.
fn wish(tree: &dyn SourceTree, package: &Package) -> Result<Option<(String, &'static str)>, PlanError> {
    if let Some(engine) = package.engine() {
        return Ok(Some((engine.to_owned(), "package.json")));
    }
    for file in [".nvmrc", ".node-version"] {
        let text = tree.text(file)?.unwrap_or_default();
        if let Some(line) = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')) {
            return Ok(Some((line.to_owned(), file)));
        }
    }
    Ok(None)
}
