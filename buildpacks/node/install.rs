//! What npm does for an app, and what of it is kept.

use std::collections::BTreeMap;

use builder::plan::{BuildCommand, BuildPlan, CachePlan, EnvValue, Hint, KeyPart, PlanError, Restore, Stage};
use builder::toolchains::Interpreter;
use builder::{Problem, SourceTree};

use super::package::Package;

/// Raised whenever the same files would make another `node_modules`.
const VERSION: &str = "2";
/// Scripts that `npm ci` runs and that may use any file of the app.
const INSTALL_SCRIPTS: [&str; 6] = ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare"];

/// The npm that is used, and how.
pub(super) struct Npm<'a> {
    pub(super) node: &'a Interpreter,
    pub(super) version: &'a str,
    /// The app's config vars.
    pub(super) config: &'a BTreeMap<String, String>,
}

/// What a package.json has npm do, in the order in which Heroku does it.
pub(super) struct Scripts {
    before: Option<&'static str>,
    /// `npm ci` runs it, and it may use any file of the app and any tool of its development.
    install: Option<&'static str>,
    build: Option<&'static str>,
    after: Option<&'static str>,
}

impl Scripts {
    pub(super) fn of(package: &Package) -> Self {
        let first = |names: &[&'static str]| names.iter().copied().find(|name| package.script(name).is_some());
        Self {
            before: first(&["heroku-prebuild"]),
            install: first(&INSTALL_SCRIPTS),
            build: first(&["heroku-postbuild", "build"]),
            after: first(&["heroku-cleanup"]),
        }
    }

    /// Whether npm runs anything besides installing.
    pub(super) fn any(&self) -> bool {
        self.before.or(self.install).or(self.build).or(self.after).is_some()
    }
}

/// Whether the app wants its tools of development when it runs, said as on Heroku.
fn keeps_tools(config: &BTreeMap<String, String>) -> bool {
    let says = |name: &str| config.get(name).map(String::as_str);
    says("NPM_CONFIG_PRODUCTION") == Some("false") || says("NODE_ENV").is_some_and(|value| value != "production")
}

/// Fills in what npm does.
pub(super) fn stages(
    plan: &mut BuildPlan,
    package: &Package,
    lock: Option<&'static str>,
    scripts: &Scripts,
    npm: &Npm<'_>,
    tree: &dyn SourceTree,
) -> Result<(), PlanError> {
    let keeps_tools = keeps_tools(npm.config);
    let with_tools = keeps_tools || scripts.any();
    // A script works with the folder and pruning changes it.
    let restore = if scripts.any() { Restore::Unpacked } else { Restore::Packed };
    plan.stages.extend(scripts.before.map(|script| run("Preparing", "preparing", script)));
    if let Some(lock) = lock {
        let content = tree.read(lock, builder::limits::LOCK_FILE_BYTES_MAX)?.unwrap_or_default();
        let cache = match scripts.install.map(|script| format!("the script `{script}` may use any file")).or(linked(&content)) {
            None => Some(CachePlan { restore, ..cache(package, KeyPart::content(lock, &content), with_tools, npm, tree)? }),
            Some(why) => {
                plan.warnings.push(format!("dependencies are installed anew at each push, since {why}"));
                None
            }
        };
        let which = if with_tools { "--include=dev" } else { "--omit=dev" };
        let install = vec![command(&["npm", "ci", which]).hints(hints())];
        let install = Stage::new("Installing dependencies (npm ci)", "installing dependencies", install);
        plan.stages.push(Stage { cache: cache.as_ref().map(|cache| cache.name.clone()), ..install });
        plan.caches.extend(cache);
    } else {
        plan.stages.extend(scripts.install.map(|script| run("Installing", "installing", script)));
    }
    plan.stages.extend(scripts.build.map(|script| run("Building", "building", script)));
    if with_tools && !keeps_tools && lock.is_some() && package.has_dev_dependencies() {
        let prune = vec![command(&["npm", "prune", "--omit=dev", "--ignore-scripts"])];
        plan.stages.push(Stage::new("Removing what only the build needed (npm prune)", "pruning dependencies", prune));
    }
    plan.stages.extend(scripts.after.map(|script| run("Cleaning up", "cleaning up", script)));
    Ok(())
}

/// Folders of the repository that are packages (workspaces, `file:`) have a node_modules of
/// their own, which no cache keeps.
fn linked(lock: &[u8]) -> Option<String> {
    String::from_utf8_lossy(lock).contains("\"link\": true").then(|| "some are folders of this repository".to_owned())
}

fn run(title: &str, doing: &str, script: &str) -> Stage {
    Stage::new(format!("{title} (npm run {script})"), doing, vec![command(&["npm", "run", script])])
}

fn cache(package: &Package, lock: KeyPart, with_tools: bool, npm: &Npm<'_>, tree: &dyn SourceTree) -> Result<CachePlan, PlanError> {
    let mut key = vec![lock, KeyPart::content("package.json", package.dependencies_text().as_bytes())];
    if let Some(settings) = tree.read(".npmrc", builder::limits::PLAN_FILE_BYTES_MAX)? {
        key.push(KeyPart::content(".npmrc", &settings));
    }
    key.push(KeyPart::version("Node.js", npm.node.version.to_string()));
    key.push(KeyPart::version("npm", npm.version));
    key.push(KeyPart::version("machine", std::env::consts::ARCH));
    key.push(KeyPart::version("dependencies", if with_tools { "all" } else { "production" }));
    key.push(KeyPart::version("buildpack", VERSION));
    // Install scripts put browsers and the like into `~/.cache`.
    let (name, paths) = ("node".to_owned(), ["node_modules", ".cache"].map(str::to_owned).into());
    Ok(CachePlan { name, what: "dependencies".to_owned(), key, paths, restore: Restore::Packed })
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
