//! `status`: the box in one screen; `stop --all`.

use api::status::{self, AppStatus, StatusReply};
use api::{Failure, Kind};
use clap::Args;

use super::Result;
use super::context::Context;
use super::text::{self, Color, View, paint};

/// `status`.
pub fn status(context: &Context) -> Result {
    context.show(&status::Status {}, render)
}

fn render(reply: &StatusReply, view: &View) -> String {
    let router = reply.router_shim_pid.map_or_else(|| "router down".to_owned(), |pid| format!("router {pid}"));
    let heading = format!(
        "paas {} ({}) · HTTP on {} · server {} · {router}",
        text::plain(&reply.version),
        text::plain(&reply.mode),
        text::plain(&reply.http),
        reply.server_pid
    );
    let mut screen = format!("{}\n\n", paint(&heading, Color::Bold, view.color));
    if reply.apps.is_empty() {
        screen.push_str("No apps yet: paas apps:create NAME\n");
    }
    let name_width = reply.apps.iter().map(|app| app.name.chars().count()).max().unwrap_or(0);
    let release_width = reply.apps.iter().filter_map(|app| app.release.as_ref()).map(|release| release.chars().count()).max().unwrap_or(1);
    for app in &reply.apps {
        screen.push_str(&app_line(app, name_width, release_width, view));
    }
    screen.push('\n');
    screen.push_str(&text::pairs(&[
        ("Disk", share(reply.disk_free_bytes, reply.disk_total_bytes, "free")),
        ("Memory", share(reply.memory_available_bytes, reply.memory_total_bytes, "available")),
        ("Database", reply.database.clone()),
    ]));
    if reply.disk_free_bytes < reply.build_free_bytes_min {
        let needed = model::text::bytes(reply.build_free_bytes_min);
        screen.extend(["\n !     the disk is nearly full: pushes are refused until ", &needed, " are free\n"]);
    }
    screen
}

/// `hello  v7  web 2/2 up · 03:12 web.1 restarted: GET / silent for 60 s → ps:why web.1`.
fn app_line(app: &AppStatus, name_width: usize, release_width: usize, view: &View) -> String {
    let release = app.release.as_deref().unwrap_or("-");
    let processes = match (&app.release, app.processes.is_empty()) {
        (None, true) => "no release yet: git push paas main".to_owned(),
        (Some(_), true) => "nothing runs: paas ps:scale web=1".to_owned(),
        (_, false) => app.processes.join(", "),
    };
    let line = format!("{:<name_width$}  {:<release_width$}  {}", text::plain(&app.name), text::plain(release), text::plain(&processes));
    let trouble = app.trouble.as_ref().map(|trouble| paint(&format!(" · {}", text::plain(trouble)), Color::Yellow, view.color));
    format!("{line}{}\n", trouble.unwrap_or_default())
}

fn share(part: u64, whole: u64, word: &str) -> String {
    let percent = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    format!("{} {word} of {} ({percent} %)", text::bytes(part), text::bytes(whole))
}

/// `stop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// Really everything
    #[arg(long)]
    all: bool,
}

/// Stops everything that paas runs.
pub fn stop(context: &Context, arguments: &Stop) -> Result {
    if !arguments.all {
        return Err(Failure::new(Kind::Usage, "stop.all", "stop ends every app, the router, the database and the server")
            .fix("paas stop --all if you mean it; paas ps:stop -a APP stops one app")
            .into());
    }
    context
        .change("Stopping everything", &status::StopAll {}, |reply| match reply.runs {
            1 => "done, 1 run ended".to_owned(),
            runs => format!("done, {runs} runs ended"),
        })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::view;
    use super::*;

    #[test]
    fn the_box_fits_one_screen_and_trouble_stands_behind_its_app() {
        let app = |name: &str, release: Option<&str>, processes: &[&str], trouble: Option<&str>| AppStatus {
            name: name.to_owned(),
            release: release.map(str::to_owned),
            processes: processes.iter().map(|word| (*word).to_owned()).collect(),
            trouble: trouble.map(str::to_owned),
        };
        let reply = StatusReply {
            version: "0.1.0".to_owned(),
            mode: "root".to_owned(),
            http: "0.0.0.0:80".to_owned(),
            server_pid: 1234,
            router_shim_pid: Some(1240),
            apps: vec![
                app("hello", Some("v7"), &["web 2/2 up"], Some("03:12 web.1 restarted: GET / silent for 60 s → ps:why web.1")),
                app("shop-backend", Some("v112"), &["web 1/1 up", "worker 3/3 up"], None),
                app("blog", None, &[], None),
            ],
            disk_free_bytes: 12_300_000_000,
            disk_total_bytes: 50_000_000_000,
            build_free_bytes_min: 268_435_456,
            memory_available_bytes: 900_000_000,
            memory_total_bytes: 3_900_000_000,
            database: "PostgreSQL 15 up".to_owned(),
        };
        insta::assert_snapshot!(render(&reply, &view()), @r"
        paas 0.1.0 (root) · HTTP on 0.0.0.0:80 · server 1234 · router 1240

        hello         v7    web 2/2 up · 03:12 web.1 restarted: GET / silent for 60 s → ps:why web.1
        shop-backend  v112  web 1/1 up, worker 3/3 up
        blog          -     no release yet: git push paas main

        Disk:      12.3 GB free of 50.0 GB (24 %)
        Memory:    900.0 MB available of 3.9 GB (23 %)
        Database:  PostgreSQL 15 up
        ");
    }
}
