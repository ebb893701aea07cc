//! What the commands of a build find in their environment: nothing of the daemon's.

use std::collections::BTreeMap;
use std::path::Path;

use crate::limits;
use crate::plan::BuildPlan;

/// Programs of the host.
const HOST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Config vars that would break the build itself.
const NOT_WHILE_BUILDING: [&str; 11] =
    ["PATH", "HOME", "GIT_DIR", "CPATH", "CPPATH", "LD_PRELOAD", "LIBRARY_PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "LANG"];

/// What of the host's environment a build may see: where packages come from and how
/// their servers prove themselves. Compared without regard to case.
pub fn allowed_from_host(variables: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    const NAMES: [&str; 9] = [
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    ];
    // Settings that would move the build's own folders or programs stay out.
    const BUILD_DECIDES: [&str; 8] = [
        "PIP_CACHE_DIR",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
        "PIP_PYTHON",
        "NPM_CONFIG_CACHE",
        "NPM_CONFIG_PREFIX",
        "NPM_CONFIG_USERCONFIG",
    ];
    let allowed = |name: &str| {
        let upper = name.to_ascii_uppercase();
        let known = NAMES.contains(&upper.as_str()) || upper == "ALL_PROXY";
        (known || upper.starts_with("PIP_") || upper.starts_with("NPM_CONFIG_")) && !BUILD_DECIDES.contains(&upper.as_str())
    };
    variables.into_iter().filter(|(name, value)| allowed(name) && !value.contains('\0')).collect()
}

/// Everything that a build's environment is made of.
pub(crate) struct Sources<'a> {
    pub(crate) app_name: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) host: &'a BTreeMap<String, String>,
    pub(crate) config: &'a BTreeMap<String, String>,
    /// A folder on disk: `/tmp` of the sandbox is memory, and packages are large.
    pub(crate) temporary: &'a Path,
}

/// The environment of each command of a plan, later layers winning: ours, the
/// buildpack's, the host's, the app's config vars.
pub(crate) fn of_build(sources: &Sources<'_>, plan: &BuildPlan, app: &Path) -> BTreeMap<String, String> {
    let app = app.display().to_string();
    let temporary = sources.temporary.display().to_string();
    let ours = [
        ("HOME", app.as_str()),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
        ("TMPDIR", temporary.as_str()),
        ("APP", sources.app_name),
        ("SOURCE_VERSION", sources.commit),
    ];
    let mut environment: BTreeMap<String, String> = ours.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    environment.extend(plan.env.clone());
    environment.extend(sources.host.clone());
    let usable = |name: &str, value: &str| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') && !NOT_WHILE_BUILDING.contains(&name)
    };
    environment.extend(sources.config.iter().filter(|(n, v)| usable(n, v)).map(|(n, v)| (n.clone(), v.clone())));
    let own = plan.path.iter().map(|entry| in_app(&app, entry));
    let path: Vec<String> = own.chain([HOST_PATH.to_owned()]).collect();
    environment.insert("PATH".to_owned(), path.join(":"));
    environment
}

/// A path entry of a plan with the app's folder before it if it is relative.
pub(crate) fn in_app(app: &str, entry: &str) -> String {
    if entry.starts_with('/') { entry.to_owned() } else { format!("{app}/{entry}") }
}

/// Hides secret values in what a build prints.
#[derive(Default)]
pub(crate) struct Mask {
    values: Vec<String>,
}

impl Mask {
    pub(crate) fn new(config: &BTreeMap<String, String>) -> Self {
        let mut values: Vec<String> = config.iter().flat_map(|(name, value)| secrets_of(name, value)).collect();
        // The longest first: a value may be part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self { values }
    }

    pub(crate) fn apply(&self, line: String) -> String {
        self.values.iter().fold(line, |line, value| if line.contains(value) { line.replace(value, "********") } else { line })
    }
}

/// What of a config var must not be shown: values of telling names, each line of them,
/// and passwords in URLs. `APP_ENV=production` stays readable.
fn secrets_of(name: &str, value: &str) -> Vec<String> {
    const TELLING: [&str; 8] = ["KEY", "SECRET", "TOKEN", "PASS", "PRIVATE", "CREDENTIAL", "AUTH", "DSN"];
    let upper = name.to_ascii_uppercase();
    let mut found = Vec::new();
    if TELLING.iter().any(|word| upper.contains(word)) {
        found.extend(value.lines().map(|line| line.trim().to_owned()));
    }
    let password = value.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    if let Some((_, password)) = password.and_then(|authority| authority.rsplit_once('@')).and_then(|(user, _)| user.split_once(':')) {
        found.push(password.to_owned());
    }
    found.retain(|secret| secret.len() >= limits::MASKED_VALUE_BYTES_MIN);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn of_the_host_only_package_sources_and_certificates_pass() {
        let host = vars(&[
            ("PIP_INDEX_URL", "https://pypi.example"),
            ("npm_config_registry", "https://npm.example"),
            ("https_proxy", "http://p:3128"),
            ("SSL_CERT_FILE", "/etc/ssl/x"),
            ("PIP_TARGET", "/x"),
            ("npm_config_cache", "/x"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("PATH", "/x"),
            ("HOME", "/root"),
        ]);
        let allowed = allowed_from_host(host);
        assert_eq!(allowed.keys().collect::<Vec<_>>(), ["PIP_INDEX_URL", "SSL_CERT_FILE", "https_proxy", "npm_config_registry"]);
    }

    #[test]
    fn config_vars_win_except_over_what_the_build_stands_on() {
        let mut plan = BuildPlan::new("node", "Node.js", "package.json");
        plan.env = vars(&[("NODE_ENV", "production")]);
        plan.path = vec!["node_modules/.bin".to_owned(), "/opt/node/bin".to_owned()];
        let config = vars(&[("NODE_ENV", "staging"), ("PATH", "/evil"), ("HOME", "/evil"), ("LD_PRELOAD", "x.so"), ("K", "v")]);
        let sources =
            Sources { app_name: "hello", commit: "c", host: &BTreeMap::new(), config: &config, temporary: Path::new("/cache/tmp") };
        let environment = of_build(&sources, &plan, Path::new("/app"));
        assert_eq!((environment["NODE_ENV"].as_str(), environment["K"].as_str(), environment["HOME"].as_str()), ("staging", "v", "/app"));
        assert!(environment["PATH"].starts_with("/app/node_modules/.bin:/opt/node/bin:/usr/local/sbin:"));
        assert!(!environment.contains_key("LD_PRELOAD"));
    }

    #[test]
    fn secrets_are_masked_and_plain_settings_are_not() {
        let mask = Mask::new(&vars(&[
            ("API_KEY", "sk-12345678"),
            ("APP_ENV", "production"),
            ("DB", "postgresql://u:p4ssw0rd!@h/db"),
            ("TOKEN", "short"),
        ]));
        let line = mask.apply("sk-12345678 production postgresql://u:p4ssw0rd!@h/db short".to_owned());
        assert_eq!(line, "******** production postgresql://u:********@h/db short");
    }
}
