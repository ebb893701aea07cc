//! Which buildpack takes the source, told with its reasons.

use crate::execute::Emit;
use crate::plan::{BuildPlan, Buildpack, PlanContext};
use crate::protocol::BuildEvent;
use crate::{Problem, SourceTree};

pub(super) fn detect(
    tree: &dyn SourceTree,
    context: &PlanContext<'_>,
    buildpacks: &[&dyn Buildpack],
    wanted: &[String],
    emit: Emit<'_>,
) -> Result<BuildPlan, Problem> {
    let candidates = chosen(buildpacks, wanted)?;
    let mut found = None;
    let mut others = Vec::new();
    for buildpack in &candidates {
        match (&found, buildpack.detect(tree, context)) {
            (None, Ok(plan)) => found = plan,
            (None, Err(error)) => return Err(error.problem()),
            (Some(_), Ok(Some(other))) if !buildpack.is_fallback() => others.push(format!("{} ({})", other.language, other.reason)),
            (Some(_), _) => {}
        }
    }
    let Some(plan) = found else { return Err(unknown(&candidates, tree)) };
    emit(BuildEvent::Step(format!("{} app detected ({})", plan.language, plan.reason)));
    if !others.is_empty() {
        emit(BuildEvent::Detail(format!("also looks like {}; to build that, name {} in .slugignore", others.join(", "), plan.reason)));
    }
    plan.steps.iter().for_each(|step| emit(BuildEvent::Step(step.clone())));
    plan.warnings.iter().for_each(|warning| emit(BuildEvent::Problem(warning.clone())));
    Ok(plan)
}

fn chosen<'a>(buildpacks: &[&'a dyn Buildpack], wanted: &[String]) -> Result<Vec<&'a dyn Buildpack>, Problem> {
    if wanted.is_empty() {
        return Ok(buildpacks.to_vec());
    }
    let find = |name: &String| {
        buildpacks.iter().find(|buildpack| buildpack.name() == name).copied().ok_or_else(|| {
            let known: Vec<&str> = buildpacks.iter().map(|buildpack| buildpack.name()).collect();
            Problem::new("build.unknown_buildpack", format!("there is no buildpack `{name}`"))
                .fix(format!("choose one of {}", known.join(", ")))
        })
    };
    wanted.iter().map(find).collect()
}

fn unknown(buildpacks: &[&dyn Buildpack], tree: &dyn SourceTree) -> Problem {
    let looked_for: Vec<String> = buildpacks.iter().map(|b| format!("{} ({})", b.name(), b.looks_for())).collect();
    let names = tree.names("").unwrap_or_default();
    let why = if names.is_empty() {
        "the commit holds no file".to_owned()
    } else {
        format!("none of these is at the top of the repository: {}", looked_for.join("; "))
    };
    Problem::new("build.unknown_language", "no buildpack knows what to do with this app")
        .why(why)
        .fix("add the file of your language, or a Procfile that starts a program of the repository; if the app is in a folder: paas apps:set root=FOLDER")
}
