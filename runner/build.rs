//! Builds the static shim and lets it be carried inside the binary. Its target folder is
//! shared and lies outside `OUT_DIR`: building it anew for each profile would cost seconds
//! each time. It is a folder of its own, so that no lock of the outer cargo is waited for.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the outer build sets and the inner one must not inherit.
const OUTER: [&str; 8] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "CLIPPY_ARGS",
];

fn main() {
    let variable = |name: &str| env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let runner = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let workspace = runner.parent().expect("the runner is a part of a workspace");
    let target = variable("TARGET");
    let folder = shared_folder(&PathBuf::from(variable("OUT_DIR")));
    let mut cargo = Command::new(variable("CARGO"));
    for name in OUTER {
        cargo.env_remove(name);
    }
    let status = cargo
        .current_dir(workspace)
        .args(["build", "--quiet", "--package", "shim", "--bin", "shim", "--profile", "shim", "--target", &target])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static")
        .status()
        .unwrap_or_else(|error| panic!("cargo cannot be started: {error}"));
    assert!(status.success(), "the shim does not build: cargo build -p shim --profile shim");

    let shim = folder.join(&target).join("shim").join("shim");
    println!("cargo::rustc-env=PAAS_SHIM={}", shim.display());
    println!("cargo::rerun-if-changed={}", shim.display());
    for part in ["runner/shim", "logs/src", "logs/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(part).display());
    }
}

/// `target/shim`, found upwards from `target/PROFILE/build/runner-HASH/out`.
fn shared_folder(out: &Path) -> PathBuf {
    let is_profile = |path: &&Path| path.join("build").is_dir() && path.file_name().is_some_and(|name| name != "build");
    let profile = out.ancestors().skip(1).find(is_profile).expect("OUT_DIR lies in a profile's folder");
    profile.parent().expect("a target folder").join("shim")
}
