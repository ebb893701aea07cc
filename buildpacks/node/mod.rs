//! Node.js with npm: `npm ci`, the build script, and without what only the build needs.

mod install;
mod interpreter;
mod package;
mod range;

use builder::plan::{BuildPlan, Buildpack, PlanContext, PlanError};
use builder::toolchains::Interpreter;
use builder::{Problem, SourceTree};

use install::{Npm, Scripts};
use package::Package;

/// package.json, package-lock.json and npm.
#[derive(Debug, Clone, Copy)]
pub struct Node;

impl Buildpack for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn looks_for(&self) -> &'static str {
        "package.json"
    }

    fn detect(&self, tree: &dyn SourceTree, context: &PlanContext<'_>) -> Result<Option<BuildPlan>, PlanError> {
        let Some(package) = Package::read(tree)? else { return Ok(None) };
        let mut plan = BuildPlan::new("node", "Node.js", "package.json");
        let lock = lockfile(tree, &package, &mut plan)?;
        let chosen = interpreter::choose(tree, &package, context.toolchains.nodes())?;
        let node = chosen.interpreter;
        plan.interpreter = Some(format!("Node.js {}", node.version));
        plan.warnings.extend(chosen.warning);
        plan.env.insert("NODE_ENV".to_owned(), "production".to_owned());
        plan.path.push("node_modules/.bin".to_owned());
        plan.path.extend(node.path.parent().map(|folder| folder.display().to_string()));
        plan.host_paths = node.host_path.iter().map(|path| path.display().to_string()).collect();
        plan.needs_postgresql = package.has_postgresql_driver();
        let npm = node.installer.clone();
        let with_npm = npm.as_ref().map_or_else(String::new, |npm| format!(", npm {npm}"));
        plan.steps.push(format!("Using Node.js {}{with_npm} ({})", node.version, chosen.why));
        let scripts = Scripts::of(&package);
        if lock.is_some() || scripts.any() {
            let npm = npm.ok_or_else(|| no_npm(node))?;
            let npm = Npm { node, version: &npm, config: context.config };
            install::stages(&mut plan, &package, lock, &scripts, &npm, tree)?;
        } else {
            plan.steps.push("package.json names no dependencies: nothing to install".to_owned());
        }
        start(tree, &package, &mut plan);
        Ok(Some(plan))
    }
}

/// The lockfile, or `None` for an app without dependencies.
fn lockfile(tree: &dyn SourceTree, package: &Package, plan: &mut BuildPlan) -> Result<Option<&'static str>, PlanError> {
    let lock = ["npm-shrinkwrap.json", "package-lock.json"].into_iter().find(|name| tree.has_file(name));
    let others: Vec<&str> =
        ["yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"].into_iter().filter(|name| tree.has_file(name)).collect();
    match lock {
        Some(lock) => {
            if !others.is_empty() {
                plan.warnings.push(format!("{lock} is used; delete {}, so that both cannot disagree", others.join(" and ")));
            }
            Ok(Some(lock))
        }
        None if !package.has_dependencies() && others.is_empty() => Ok(None),
        None => {
            let what = "there is no package-lock.json";
            let why = match others.first() {
                Some(other) => format!("{other} was found; only npm is supported yet"),
                None => "without it each build may install other versions than the ones that you tried".to_owned(),
            };
            let fix = "make one and commit it: npm install --package-lock-only && git add package-lock.json";
            Err(Problem::new("node.no_lockfile", what).why(why).fix(fix).into())
        }
    }
}

fn start(tree: &dyn SourceTree, package: &Package, plan: &mut BuildPlan) {
    let is_there = |main: &&str| ["", ".js", "/index.js"].iter().any(|end| tree.has_file(&format!("{main}{end}")));
    let main = package.main().filter(is_there);
    let file = ["server.js", "index.js", "app.js"].into_iter().find(|name| tree.has_file(name));
    let command = match (package.script("start"), main, file) {
        (Some(_), _, _) => Some("npm start".to_owned()),
        (None, _, Some("server.js")) => Some("node server.js".to_owned()),
        (None, Some(main), _) => Some(format!("node {main}")),
        (None, None, Some(file)) => Some(format!("node {file}")),
        (None, None, None) => None,
    };
    plan.default_commands.extend(command.map(|command| ("web".to_owned(), command)));
    "add `\"start\": \"node FILE\"` to the scripts of package.json, or a Procfile with `web: node FILE`".clone_into(&mut plan.start_hint);
}

fn no_npm(node: &Interpreter) -> Problem {
    Problem::new("host.no_npm", format!("Node.js {} of this machine has no npm", node.version))
        .why(format!("there is none beside {}", node.path.display()))
        .fix("apt install npm")
}
