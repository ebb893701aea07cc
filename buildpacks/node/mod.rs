//! Node.js with npm: `npm ci`, the build script, and without what only the build needs.

mod interpreter;
mod package;
mod range;

use builder::plan::{BuildCommand, BuildPlan, Buildpack, CachePlan, EnvValue, Hint, KeyPart, PlanContext, PlanError, Restore, Stage};
use builder::toolchains::Interpreter;
use builder::{Problem, SourceTree};

use package::Package;

/// Raised whenever the same files would make another `node_modules`.
const VERSION: &str = "1";
/// Scripts that `npm ci` runs and that may use any file of the app.
const INSTALL_SCRIPTS: [&str; 6] = ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare"];

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
        let script = build_script(&package);
        if lock.is_some() || script.is_some() {
            let npm = npm.ok_or_else(|| no_npm(node))?;
            stages(&mut plan, &package, lock, script, node, &npm, tree)?;
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

fn build_script(package: &Package) -> Option<&'static str> {
    ["heroku-postbuild", "build"].into_iter().find(|name| package.script(name).is_some())
}

fn stages(
    plan: &mut BuildPlan,
    package: &Package,
    lock: Option<&'static str>,
    script: Option<&'static str>,
    node: &Interpreter,
    npm: &str,
    tree: &dyn SourceTree,
) -> Result<(), PlanError> {
    let builds = script.is_some();
    if let Some(lock) = lock {
        let mut cache = Some(cache(package, lock, builds, node, npm, tree)?);
        if let Some(script) = INSTALL_SCRIPTS.into_iter().find(|name| package.script(name).is_some()) {
            plan.warnings.push(format!("dependencies are installed anew at each push, since the script `{script}` may use any file"));
            cache = None;
        }
        let which = if builds { "--include=dev" } else { "--omit=dev" };
        plan.stages.push(Stage {
            title: "Installing dependencies (npm ci)".to_owned(),
            doing: "installing dependencies".to_owned(),
            commands: vec![command(&["npm", "ci", which]).hints(hints())],
            cache: cache.as_ref().map(|cache| cache.name.clone()),
            timeout: None,
        });
        plan.caches.extend(cache);
    }
    if let Some(script) = script {
        plan.stages.push(Stage {
            title: format!("Building (npm run {script})"),
            doing: "building".to_owned(),
            commands: vec![command(&["npm", "run", script])],
            cache: None,
            timeout: None,
        });
    }
    if builds && lock.is_some() && package.has_dev_dependencies() {
        plan.stages.push(Stage {
            title: "Removing what only the build needed (npm prune)".to_owned(),
            doing: "pruning dependencies".to_owned(),
            commands: vec![command(&["npm", "prune", "--omit=dev", "--ignore-scripts"])],
            cache: None,
            timeout: None,
        });
    }
    Ok(())
}

fn cache(
    package: &Package,
    lock: &str,
    builds: bool,
    node: &Interpreter,
    npm: &str,
    tree: &dyn SourceTree,
) -> Result<CachePlan, PlanError> {
    let content = tree.read(lock, builder::limits::LOCK_FILE_BYTES_MAX)?.unwrap_or_default();
    let mut key = vec![KeyPart::content(lock, &content), KeyPart::content("package.json", package.dependencies_text().as_bytes())];
    if let Some(settings) = tree.read(".npmrc", builder::limits::PLAN_FILE_BYTES_MAX)? {
        key.push(KeyPart::content(".npmrc", &settings));
    }
    key.push(KeyPart::version("Node.js", node.version.to_string()));
    key.push(KeyPart::version("npm", npm));
    key.push(KeyPart::version("machine", std::env::consts::ARCH));
    key.push(KeyPart::version("dependencies", if builds { "all" } else { "production" }));
    key.push(KeyPart::version("buildpack", VERSION));
    // A build script works with the folder and pruning changes it.
    let restore = if builds { Restore::Unpacked } else { Restore::Packed };
    Ok(CachePlan { name: "node".to_owned(), what: "dependencies".to_owned(), key, paths: vec!["node_modules".to_owned()], restore })
}

fn command(argv: &[&str]) -> BuildCommand {
    let text = |value: &str| EnvValue::Text(value.to_owned());
    BuildCommand::new(argv.iter().copied())
        .env("NPM_CONFIG_CACHE", EnvValue::CacheFolder("npm".to_owned()))
        .env("NPM_CONFIG_UPDATE_NOTIFIER", text("false"))
        .env("NPM_CONFIG_FUND", text("false"))
        .env("NPM_CONFIG_AUDIT", text("false"))
        .env("NPM_CONFIG_PROGRESS", text("false"))
        .env("NPM_CONFIG_FETCH_RETRIES", text("2"))
}

fn hints() -> Vec<Hint> {
    let network = "the package registry cannot be reached";
    vec![
        Hint::new("are in sync", "package.json and package-lock.json do not agree", "run `npm install` and commit package-lock.json"),
        Hint::new(
            "code E404",
            "a package does not exist in the registry, or not in that version",
            "check its name and version in package.json",
        ),
        Hint::new(
            "code E401",
            "the registry wants a login",
            "put `//HOST/:_authToken=${NPM_TOKEN}` into .npmrc and the token into a config var: paas config:set NPM_TOKEN=-",
        ),
        Hint::new("code EBADENGINE", "a package does not support this Node.js", "change its version, or `engines` in package.json"),
        Hint::new(
            "code EINTEGRITY",
            "a package is not the one that package-lock.json names",
            "run `npm install` afresh and commit package-lock.json",
        ),
        Hint::new("node-gyp", "a package compiles itself and this machine lacks a compiler", "apt install build-essential python3"),
        Hint::new("code ENOTFOUND", network, "check the machine's DNS, then push again"),
        Hint::new("code EAI_AGAIN", network, "check the machine's DNS, then push again"),
        Hint::new("code ECONNREFUSED", network, "check the machine's network and proxy settings, then push again"),
        Hint::new("code ENOSPC", "the disk is full", Problem::MAKE_ROOM),
    ]
}

fn start(tree: &dyn SourceTree, package: &Package, plan: &mut BuildPlan) {
    let main = package.main().filter(|main| tree.has_file(main));
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
