//! Every fixture, planned against one known set of interpreters.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use builder::plan::{BuildPlan, PlanContext, PlanError, Restore};
use builder::toolchains::{Interpreter, KnownToolchains, Version};
use builder::{FolderTree, Problem};

fn interpreter(path: &str, version: (u32, u32, u32), installer: &str, host_path: Option<&str>) -> Interpreter {
    let (major, minor, patch) = version;
    Interpreter {
        path: path.into(),
        version: Version::new(major, minor, patch),
        installer: Some(installer.to_owned()),
        host_path: host_path.map(Into::into),
    }
}

fn toolchains() -> KnownToolchains {
    KnownToolchains {
        pythons: vec![
            interpreter("/opt/pyenv/versions/3.12.1/bin/python3.12", (3, 12, 1), "23.2.1", Some("/opt/pyenv/versions/3.12.1")),
            interpreter("/usr/bin/python3.11", (3, 11, 2), "22.2", None),
        ],
        nodes: vec![interpreter("/usr/bin/node", (20, 20, 2), "11.19.1", None)],
    }
}

fn detect(tree: &FolderTree) -> Result<Option<BuildPlan>, PlanError> {
    let toolchains = toolchains();
    let config = BTreeMap::new();
    let context = PlanContext { toolchains: &toolchains, config: &config };
    for buildpack in buildpacks::all() {
        if let Some(plan) = buildpack.detect(tree, &context)? {
            return Ok(Some(plan));
        }
    }
    Ok(None)
}

fn told(plan: &BuildPlan) -> String {
    let mut text = format!("{} ({})\n", plan.language, plan.reason);
    let mut line = |words: String| writeln!(text, "{words}").expect("a string takes anything");
    plan.steps.iter().for_each(|step| line(format!("step: {step}")));
    plan.warnings.iter().for_each(|warning| line(format!("warning: {warning}")));
    for stage in &plan.stages {
        line(format!("stage: {}{}", stage.title, stage.cache.as_ref().map_or_else(String::new, |cache| format!(" [cache {cache}]"))));
        stage.commands.iter().for_each(|command| line(format!("  $ {}", command.argv.join(" "))));
    }
    for cache in &plan.caches {
        let key: Vec<String> =
            cache.key.iter().map(|p| if p.readable { format!("{} {}", p.name, p.value) } else { p.name.clone() }).collect();
        let how = match cache.restore {
            Restore::Packed => "packed",
            Restore::Read => "read",
            Restore::Unpacked => "unpacked",
        };
        line(format!("cache: {} ({how}) by {}", cache.paths.join(" "), key.join(", ").replace(std::env::consts::ARCH, "ARCH")));
    }
    line(format!("path: {}", plan.path.join(":")));
    plan.env.iter().for_each(|(name, value)| line(format!("env: {name}={value}")));
    plan.host_paths.iter().for_each(|path| line(format!("host path: {path}")));
    if plan.default_commands.is_empty() {
        line(format!("start: {}", plan.start_hint));
    }
    plan.default_commands.iter().for_each(|(name, command)| line(format!("default {name}: {command}")));
    if plan.needs_postgresql {
        line("needs PostgreSQL".to_owned());
    }
    text
}

fn complained(problem: &Problem) -> String {
    let place = problem.file.as_ref().map(|file| format!("at {file}:{:?}:{:?}\n", problem.line, problem.column));
    format!("{}\nwhat: {}\nwhy: {:?}\nfix: {:?}\n{}", problem.code, problem.what, problem.why, problem.fix, place.unwrap_or_default())
}

#[test]
fn every_fixture_has_the_plan_beside_it() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for language in ["python", "node", "procfile"] {
        let fixtures = crate_folder.join(language).join("fixtures");
        for story in std::fs::read_dir(&fixtures).expect("fixtures") {
            let folder = story.expect("story").path();
            let text = match detect(&FolderTree::new(folder.join("source"))) {
                Ok(Some(plan)) => told(&plan),
                Ok(None) => "nobody takes it\n".to_owned(),
                Err(error) => complained(&error.problem()),
            };
            insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!("plan", text);
            });
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} fixtures were found");
}
