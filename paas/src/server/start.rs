//! From `paas server` to a running server: the guardian at the top, then this process as
//! paasd with its link to the guardian.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use api::{Failure, Kind};
use nix::unistd::User;
use runner::runs::{Launcher, Runs};

use super::{ServerStart, run};
use crate::guardian::{self, GuardianOptions, Handed, Link};
use crate::internal::ServerOptions;
use crate::settings::Settings;

/// Where the router listens unless told otherwise.
const HTTP_AS_ROOT: &str = "0.0.0.0:80";
const HTTP_AS_USER: &str = "0.0.0.0:8080";
/// What the server makes is for itself and its group, the shims: a socket must not be open
/// to others between its making and its mode.
const UMASK: u32 = 0o027;
/// Threads of the server: it decides and waits, the work is elsewhere.
const WORKER_THREADS: usize = 2;

/// `paas server`, until the server ends.
pub fn serve(options: ServerOptions) -> Result<u8, Failure> {
    let default = if nix::unistd::geteuid().is_root() { HTTP_AS_ROOT } else { HTTP_AS_USER };
    let http = address(options.http.as_deref().unwrap_or(default))?;
    let settings = settings(&options.root)?;
    guardian::run(&GuardianOptions { root: options.root, uid_base: settings.uid_base, server_words: vec![http.to_string().into()] })
}

/// `paas internal server`.
pub fn server(words: &[OsString]) -> Result<u8, Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(UMASK));
    let Handed { config, rest } = Handed::from_words(words)?;
    let settings = settings(&config.root)?;
    let link = Link::from_stdin()?;
    start_logging();
    let http = rest.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let start = ServerStart {
        http: address(&http)?,
        login_uid: User::from_name(&settings.login_user).ok().flatten().map(|user| user.uid.as_raw()),
        paas: config.paas_path(),
        toolchain_roots: launch::host::toolchains(config.home.as_deref()),
        is_root: config.is_root,
        root: config.root,
        settings,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::internal("the server's runtime cannot start", &error))?;
    let result = runtime.block_on(async {
        let launcher = Launcher::default();
        let runs = Runs::new(start.root.clone(), launcher.clone());
        tokio::select! {
            result = run(start, runs) => result,
            // Without a guardian nobody would start launch again.
            link = link.launch_sockets(launcher) => {
                tracing::error!(?link, "the guardian is gone, the server ends; apps, router and database go on");
                Err(Failure::new(Kind::Unavailable, "guardian.gone", "the guardian is gone").fix("start the server again"))
            }
        }
    });
    // Tasks that only follow files would hold the end up.
    runtime.shutdown_background();
    result.map(|()| 0)
}

fn settings(root: &Path) -> Result<Settings, Failure> {
    Settings::read(root).map_err(|error| {
        Failure::new(Kind::Usage, "settings.unusable", "paas.toml cannot be used")
            .why(error.to_string())
            .fix("correct it, or remove it for the defaults")
    })
}

/// Reads `127.0.0.1:8080`, `:8080` and `8080`.
fn address(text: &str) -> Result<SocketAddr, Failure> {
    let whole = match text.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => format!("0.0.0.0:{text}"),
        None => text.to_owned(),
    };
    whole.parse().map_err(|_| {
        Failure::new(Kind::Usage, "http.bad_address", format!("`{text}` is not an address to listen on"))
            .fix("write it as 127.0.0.1:8080, :8080 or 8080")
    })
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PAAS_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second subscriber would be a bug of ours; the first one is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_target(false)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_can_be_short() {
        for (text, meant) in [("8080", "0.0.0.0:8080"), (":80", "0.0.0.0:80"), ("127.0.0.1:1", "127.0.0.1:1"), ("[::1]:2", "[::1]:2")] {
            assert_eq!(address(text).expect(text).to_string(), meant);
        }
        for bad in ["", "localhost", "1.2.3.4", ":x", "99999"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
