use super::*;
use model::engine::ReleaseMode;
use model::{ConfigVars, Formation, InstanceId, ReleaseVersion, Secret, SlugId, SlugManifest};

const MACHINE: Machine = Machine { memory_mib: 4_096, cores: 2, has_bash: true };

fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
    let mut vars = ConfigVars::default();
    for (key, value) in pairs {
        vars.set(key.parse().expect("key"), Secret::new(*value)).expect("value");
    }
    vars
}

fn release(buildpack: &[(&str, &str)], addon: &[(&str, &str)], config: &[(&str, &str)]) -> ReleaseTarget {
    ReleaseTarget {
        mode: ReleaseMode::Serve,
        slug: SlugId([7; 32]),
        manifest: SlugManifest {
            commands: BTreeMap::new(),
            app_json: model::author::AppJson::default(),
            env: buildpack.iter().map(|(k, v)| (k.parse().expect("key"), (*v).to_owned())).collect(),
            path: vec!["/app/.venv/bin".to_owned()],
            buildpack: "python".to_owned(),
            interpreter: None,
            host_paths: vec![],
            shared_libraries: vec![],
            source_version: "ab".repeat(20),
            entries: 1,
            unpacked_bytes: 1,
        },
        config: vars(config),
        addon_env: vars(addon),
        formation: Formation::default(),
        kept: Vec::new(),
    }
}

fn run(name: &str) -> RunId {
    let app = "hello".parse().expect("app");
    RunId { instance: InstanceId::parse(&app, name).expect("instance"), version: ReleaseVersion(7), number: 42 }
}

fn environment(name: &str, release: &ReleaseTarget, port: Option<u16>, one_off_env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let run = run(name);
    let command = OneOffCommand::Shell("true".to_owned());
    env(&Process { run: &run, release, command: &command, port, one_off_env }, &MACHINE)
}

#[test]
fn a_web_process_finds_everything_that_is_promised_and_nothing_else() {
    let release = release(&[("PYTHONUNBUFFERED", "1")], &[("DATABASE_URL", "postgresql://x")], &[("K", "it's $HOME\n\"")]);
    let env = environment("web.1", &release, Some(20_017), &BTreeMap::new());
    let shown: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    APP="hello"
    DATABASE_URL="postgresql://x"
    DATA_DIR="/data"
    DYNO="web.1"
    HOME="/app"
    K="it's $HOME\n\""
    LANG="C.UTF-8"
    MEMORY_AVAILABLE="4096"
    NOTIFY_SOCKET="/run/notify"
    PATH="/app/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    PORT="20017"
    PYTHONUNBUFFERED="1"
    RELEASE_VERSION="v7"
    SOURCE_VERSION="abababababababababababababababababababab"
    WEB_CONCURRENCY="2"
    "#);
}

#[test]
fn config_vars_win_over_add_ons_and_those_over_the_buildpack() {
    let release = release(
        &[("A", "buildpack"), ("B", "buildpack"), ("C", "buildpack"), ("LANG", "de_DE"), ("WEB_CONCURRENCY", "9")],
        &[("A", "addon"), ("B", "addon")],
        &[("A", "config"), ("WEB_CONCURRENCY", "4")],
    );
    let env = environment("worker.1", &release, None, &[("B".to_owned(), "one-off".to_owned())].into());
    assert_eq!([&env["A"], &env["B"], &env["C"]], ["config", "one-off", "buildpack"]);
    assert_eq!([&env["LANG"], &env["WEB_CONCURRENCY"]], ["de_DE", "4"]);
    assert!(!env.contains_key("PORT"));
}

#[test]
fn a_manifest_cannot_set_what_the_platform_sets() {
    let release = release(&[("HOME", "/root"), ("PORT", "1"), ("DYNO", "x"), ("PAAS_ROOT", "/x")], &[], &[("PATH", "/app/bin:/bin")]);
    let env = environment("worker.1", &release, None, &BTreeMap::new());
    assert_eq!([&env["HOME"], &env["DYNO"]], ["/app", "worker.1"]);
    assert!(!env.contains_key("PORT") && !env.contains_key("PAAS_ROOT"));
    assert_eq!(env["PATH"], "/app/.venv/bin:/app/bin:/bin");
}

#[test]
fn a_run_has_a_host_name_of_its_own() {
    assert_eq!(hostname(&run("my_bot.3")), "hello-my-bot-3-42");
    let long = run(&format!("{}.100", "x".repeat(32)));
    let long = RunId { number: u64::MAX, ..long };
    assert!(hostname(&long).len() <= 63, "{}", hostname(&long));
}

/// Runs what the shim would run, on this machine, without the sandbox.
fn output(command: &OneOffCommand, has_bash: bool) -> String {
    let argv: Vec<String> = argv(command, has_bash).into_iter().map(|word| String::from_utf8(word).expect("text")).collect();
    let output = std::process::Command::new(&argv[0]).args(&argv[1..]).output().expect("a shell");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_command_line_means_what_a_shell_reads_in_it() {
    for has_bash in [true, false] {
        let shell = |line: &str| output(&OneOffCommand::Shell(line.to_owned()), has_bash);
        assert_eq!(shell("A=1 sh -c 'echo $A' && echo two"), "1\ntwo\n");
        assert_eq!(shell("cd / && pwd"), "/\n");
        assert_eq!(shell("echo \"it's\" '$5'"), "it's $5\n");
        assert!(shell("no-such-command-here").contains("not found"));
    }
}

#[test]
fn words_are_executed_as_they_are() {
    let words = ["printf", "%s|", "a b", "$HOME", "*"].map(str::to_owned).to_vec();
    assert_eq!(output(&OneOffCommand::Words(words), true), "a b|$HOME|*|");
}

#[test]
fn the_command_takes_the_place_of_its_shell() {
    // The process that reports its number is the one that was started.
    let argv = argv(&OneOffCommand::Shell("exec sh -c 'echo $$'".to_owned()), true);
    let argv: Vec<String> = argv.into_iter().map(|word| String::from_utf8(word).expect("text")).collect();
    let child = std::process::Command::new(&argv[0]).args(&argv[1..]).stdout(std::process::Stdio::piped()).spawn().expect("a shell");
    let pid = child.id();
    let output = child.wait_with_output().expect("output");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), pid.to_string());
}
