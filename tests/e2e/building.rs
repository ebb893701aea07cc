//! Builds: what is reused, what is told, what lies in the slug.

use super::support::checkout::Checkout;
use super::support::{Host, small};

#[test]
fn a_one_line_change_to_the_flask_example_reuses_its_dependencies_and_tells_the_time() {
    let host = Host::start();
    let hello = host.create("hello", host.checkout("python-postgres"));
    hello.push().expect_accepted();
    hello
        .push_change("app.py", "VERSION = \"one\"", "VERSION = \"two\"")
        .expect_accepted()
        .expect_text("-----> Restoring cache: dependencies unchanged, reused (saved ")
        .expect_no_text("Collecting")
        .expect_text("s in all");
    assert_eq!(host.facts("hello")["version"], "two");
    hello.checkout.write("requirements.txt", "Flask==3.1.3\ngunicorn==27.0.1\npsycopg[binary]==3.3.9\nitsdangerous==2.2.0\n");
    hello.checkout.commit("Name one more dependency");
    hello.push().expect_accepted().expect_text("requirements.txt changed").expect_no_text("dependencies unchanged");
}

#[test]
fn a_one_line_change_to_the_node_example_reuses_its_dependencies_and_tells_the_time() {
    let host = Host::start();
    let app = host.create("node-web", host.checkout("node-web"));
    app.push().expect_accepted();
    app.push_change("server.js", "const VERSION = 'one'", "const VERSION = 'two'")
        .expect_accepted()
        .expect_text("-----> Restoring cache: dependencies unchanged, reused (saved ")
        .expect_no_text("added 1 package")
        .expect_text("s in all");
    assert_eq!(host.facts("node-web")["version"], "two");
}

#[test]
fn rebuild_and_deploy_serve_when_git_says_everything_up_to_date() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.push().expect_ok().expect_text("Everything up-to-date");
    app.paas(&["deploy"]).expect_ok();
    assert_eq!(app.release(), "v2");
    app.paas(&["builds:rebuild"]).expect_ok();
    assert_eq!(app.release(), "v3");
    assert_eq!(host.facts("small")["release"], "v3");
    let builds = app.paas(&["builds", "--json"]).expect_ok().json();
    let states: Vec<_> = builds["builds"].as_array().expect("builds").iter().map(|build| build["state"].as_str()).collect();
    assert_eq!(states, [Some("succeeded"); 3]);
}

#[test]
fn symlinks_file_modes_and_ignored_files_arrive_as_git_users_expect() {
    let host = Host::start();
    let show = "#!/bin/sh\ncat link; test -x bin/show && test ! -x plain && test ! -e secret.txt && test ! -e .git && echo as expected\n";
    let files = [
        ("Procfile", "worker: sleep 1000\n"),
        ("bin/show", show),
        ("plain", "text\n"),
        ("secret.txt", "x\n"),
        (".slugignore", "secret.txt\n"),
    ];
    let checkout = Checkout::of_files(&host, &files);
    std::os::unix::fs::symlink("plain", checkout.folder().join("link")).expect("link");
    checkout.commit("Link");
    let app = host.create("files", checkout);
    app.push().expect_accepted();
    app.paas(&["run", "bin/show"]).expect_ok().expect_text("text\nas expected");
}

#[test]
fn the_writable_layer_is_forgotten_at_a_restart_and_the_data_folder_is_kept() {
    let host = Host::start();
    let start =
        "#!/bin/sh\nls /app/scratch \"$DATA_DIR/kept\" 2>/dev/null\ntouch /app/scratch \"$DATA_DIR/kept\"\necho started\nexec sleep 1000\n";
    let app = host.create("layers", Checkout::of_files(&host, &[("Procfile", "worker: bin/start\n"), ("bin/start", start)]));
    app.push().expect_accepted();
    app.wait_for_log("started", super::support::SOON);
    let before = app.process("worker.1");
    app.paas(&["ps:restart"]).expect_ok();
    super::support::wait_until("the worker started again", super::support::SOON, || {
        (app.logs().matches("started").count() == 2).then_some(())
    });
    assert_ne!(app.process("worker.1"), before);
    let logs = app.logs();
    assert!(logs.contains("/kept") && !logs.contains("/app/scratch"), "{logs}");
}

#[test]
fn deploy_takes_every_name_of_a_commit_and_says_why_a_tree_cannot_be_sent() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let first = app.checkout.git(&["rev-parse", "HEAD"]).expect_ok().stdout;
    app.checkout.git(&["tag", "-a", "v1.0", "-m", "annotated"]).expect_ok();
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    app.checkout.git(&["push", "paas", "v1.0"]).expect_accepted();
    for (name, version) in [("v1.0", "one"), ("main", "two"), (&first[..7], "one"), (first.trim(), "one")] {
        app.paas(&["deploy", name]).expect_ok();
        assert_eq!(host.facts("small")["version"], version, "{name}");
    }
    app.checkout.git(&["checkout", "-b", "large"]).expect_ok();
    app.checkout.write("model.bin", &format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "4d".repeat(32)));
    app.checkout.commit("A pointer");
    app.checkout.git(&["push", "--no-verify", "paas", "large"]).expect_accepted();
    let refused = app.paas(&["deploy", "large"]);
    assert_eq!(refused.code, 4, "{}", refused.text());
    refused.expect_text("model.bin").expect_text("fix: commit the file");
    assert_eq!(host.facts("small")["version"], "one");
    app.paas(&["deploy", "nowhere"]).expect_text("has no `nowhere`");
}
