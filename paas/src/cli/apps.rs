//! `apps` and its like.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use api::apps::{self, AppsReply, CreateReply, InfoReply};
use api::{Failure, Kind};
use clap::Args;

use super::context::Context;
use super::text::{self, Color, View, paint};
use super::{Result, checkout, input};

/// `apps`.
pub fn list(context: &Context) -> Result {
    context.show(&apps::Apps {}, render_list)
}

fn render_list(reply: &AppsReply, _view: &View) -> String {
    if reply.apps.is_empty() {
        return "No apps yet: paas apps:create NAME\n".to_owned();
    }
    let rows: Vec<Vec<String>> = reply
        .apps
        .iter()
        .map(|app| vec![app.name.clone(), app.release.clone().unwrap_or_else(|| "-".to_owned()), app.processes.join(", "), app.url.clone()])
        .collect();
    text::table(&rows)
}

/// `apps:create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The name; none makes one up
    name: Option<String>,
    /// Give it no database
    #[arg(long)]
    no_database: bool,
}

/// Makes an app and, in a checkout, its git remote.
pub fn create(context: &Context, arguments: Create) -> Result {
    let step = format!("Creating {}", arguments.name.as_deref().unwrap_or("app"));
    let made_up = arguments.name.is_none();
    let operation = apps::Create { name: arguments.name, no_database: arguments.no_database };
    let reply = context.change(&step, &operation, |reply| if made_up { format!("done, {}", reply.name) } else { "done".to_owned() })?;
    if !context.output.json {
        context.output.data(&render_created(&reply))?;
    }
    for note in &reply.notes {
        context.output.line(&format!(" !     {note}"));
    }
    let program = std::env::current_exe().map_err(|error| Failure::internal("paas does not know where it is", &error))?;
    let program = without_deleted_mark(program);
    // The app is there whatever becomes of the remote.
    match checkout::add_remote(&Context::folder(), context.remote_name(), &reply, &program, &context.root()?) {
        Ok(said) => said.iter().for_each(|said| context.output.line(said)),
        Err(failure) => context.output.failure(&failure),
    }
    Ok(())
}

fn render_created(reply: &CreateReply) -> String {
    text::pairs(&[
        ("Web", format!("{} and {} (needs no DNS)", reply.url, reply.port_url)),
        ("Git", format!("{} (on this box: {})", reply.ssh_remote, reply.local_remote)),
        ("Database", reply.database.clone()),
    ])
}

/// `apps:info`.
#[derive(Debug, Args)]
pub struct Named {
    /// The app, as -a
    name: Option<String>,
}

/// Everything short about an app.
pub fn info(context: &Context, arguments: &Named) -> Result {
    context.show(&apps::Info { app: context.app_or(arguments.name.as_deref())? }, render_info)
}

fn render_info(reply: &InfoReply, view: &View) -> String {
    let app = &reply.summary;
    let or_none = |text: Option<&String>| text.cloned().unwrap_or_else(|| "none".to_owned());
    let heading = paint(&format!("=== {}", text::plain(&app.name)), Color::Bold, view.color);
    let pairs = text::pairs(&[
        ("Release", or_none(app.release.as_ref())),
        ("Processes", if app.processes.is_empty() { "none".to_owned() } else { app.processes.join(", ") }),
        ("Web", format!("{} and {} (needs no DNS)", app.url, reply.port_url)),
        ("Git", format!("{} (on this box: {})", reply.ssh_remote, reply.local_remote)),
        ("Deploys", reply.deploy_branches.join(", ")),
        ("Root", reply.root.clone().unwrap_or_else(|| "/".to_owned())),
        ("Slug", reply.slug_bytes.map_or_else(|| "none".to_owned(), text::bytes)),
        ("Buildpack", or_none(reply.buildpack.as_ref())),
        ("Database", reply.database.clone()),
        ("Created", text::when(reply.created_unix_ms, view)),
    ]);
    format!("{heading}\n{pairs}")
}

/// `apps:set`.
#[derive(Debug, Args)]
pub struct Set {
    /// NAME=VALUE
    #[arg(required = true, value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

/// Changes settings of an app.
pub fn set(context: &Context, arguments: &Set) -> Result {
    let mut settings = BTreeMap::new();
    for word in &arguments.settings {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            Failure::new(Kind::Usage, "apps.setting", format!("`{word}` is not NAME=VALUE")).fix("paas apps:set deploy-branch=release")
        })?;
        settings.insert(name.to_owned(), value.to_owned());
    }
    let app = context.app()?;
    let names: Vec<&str> = settings.keys().map(String::as_str).collect();
    let step = format!("Setting {} of {app}", names.join(", "));
    context.change(&step, &apps::Set { app, settings: settings.clone() }, |_| "done".to_owned()).map(drop)
}

/// `apps:rename`.
#[derive(Debug, Args)]
pub struct Rename {
    /// The new name
    to: String,
}

/// Renames an app, and the remote of the checkout with it.
pub fn rename(context: &Context, arguments: &Rename) -> Result {
    let app = context.app()?;
    let operation = apps::Rename { app: app.clone(), to: arguments.to.clone() };
    let reply = context.change(&format!("Renaming {app} to {}", arguments.to), &operation, |_| "done".to_owned())?;
    if !context.output.json {
        context.output.data(&render_created(&reply))?;
    }
    Ok(checkout::follow(&Context::folder(), context.remote_name(), &app, &context.root()?, Some(&reply))?)
}

/// `apps:destroy`.
#[derive(Debug, Args)]
pub struct Destroy {
    /// The app, as -a
    name: Option<String>,
    /// The app's name again
    #[arg(long, value_name = "APP")]
    confirm: Option<String>,
}

/// Destroys an app after its name was given again.
pub fn destroy(context: &Context, arguments: &Destroy) -> Result {
    let app = context.app_or(arguments.name.as_deref())?;
    let confirm = match &arguments.confirm {
        Some(confirm) => confirm.clone(),
        None if std::io::stdin().is_terminal() => {
            context.output.line(&format!(" !     This destroys {app}: its processes, releases, config, logs, files and database."));
            context.output.line(&format!(" !     To proceed, type {app} or run this again with --confirm {app}."));
            input::answer()?
        }
        None => {
            return Err(Failure::new(Kind::Refused, "confirm.missing", format!("destroying {app} needs its name again"))
                .fix(format!("paas apps:destroy -a {app} --confirm {app}"))
                .into());
        }
    };
    if confirm != app {
        return Err(Failure::new(Kind::Refused, "confirm.other", format!("`{confirm}` is not {app}; nothing was destroyed"))
            .fix(format!("--confirm {app}"))
            .into());
    }
    let operation = apps::Destroy { app: app.clone(), confirm };
    context.change(&format!("Destroying {app}"), &operation, |_| "done".to_owned())?;
    Ok(checkout::follow(&Context::folder(), context.remote_name(), &app, &context.root()?, None)?)
}

/// Linux marks the path of a program that was replaced while it ran; the new one has the
/// path without the mark.
fn without_deleted_mark(program: std::path::PathBuf) -> std::path::PathBuf {
    match program.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) => path.into(),
        None => program,
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::{hour_ago, view};
    use super::*;
    use api::apps::AppSummary;

    fn hello() -> AppSummary {
        AppSummary {
            name: "hello".to_owned(),
            release: Some("v7".to_owned()),
            processes: vec!["web 2/2 up".to_owned(), "worker 1/1 up".to_owned()],
            url: "http://hello.box.example/".to_owned(),
        }
    }

    #[test]
    fn apps_are_a_table_with_a_dash_for_no_release() {
        let blog =
            AppSummary { name: "my-blog".to_owned(), release: None, processes: Vec::new(), url: "http://my-blog.box.example/".to_owned() };
        insta::assert_snapshot!(render_list(&AppsReply { apps: vec![hello(), blog] }, &view()), @r"
        hello    v7  web 2/2 up, worker 1/1 up  http://hello.box.example/
        my-blog  -                              http://my-blog.box.example/
        ");
        assert_eq!(render_list(&AppsReply { apps: Vec::new() }, &view()), "No apps yet: paas apps:create NAME\n");
    }

    #[test]
    fn the_info_of_an_app_is_names_and_values() {
        let reply = InfoReply {
            summary: hello(),
            port_url: "http://10.0.0.2:8101/".to_owned(),
            ssh_remote: "paas@box:hello".to_owned(),
            local_remote: "file:///hello".to_owned(),
            deploy_branches: vec!["main".to_owned(), "master".to_owned()],
            root: None,
            slug_bytes: Some(12_400_000),
            buildpack: Some("python".to_owned()),
            database: "postgresql".to_owned(),
            created_unix_ms: hour_ago(),
        };
        insta::assert_snapshot!(render_info(&reply, &view()), @r"
        === hello
        Release:    v7
        Processes:  web 2/2 up, worker 1/1 up
        Web:        http://hello.box.example/ and http://10.0.0.2:8101/ (needs no DNS)
        Git:        paas@box:hello (on this box: file:///hello)
        Deploys:    main, master
        Root:       /
        Slug:       12.4 MB
        Buildpack:  python
        Database:   postgresql
        Created:    2026/01/02 15:04:05 +0000 (~ 1h ago)
        ");
    }
}
