//! The checkout that a command runs in: which app, and which server, its remote names.

use std::path::{Path, PathBuf};

use api::apps::CreateReply;
use api::{Failure, Kind};
use git2::{Repository, RepositoryOpenFlags};
use model::AppName;

use crate::git::words;

/// The remote that commands look at unless `-r` picks another.
pub const DEFAULT_REMOTE: &str = "paas";

/// What a git remote says about where it leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteTarget {
    /// The app that its path names.
    pub app: Option<AppName>,
    /// The machine, if it is reached over SSH.
    pub host: Option<String>,
    /// The root folder that its receivepack names.
    pub root: Option<PathBuf>,
}

impl RemoteTarget {
    /// Reads a remote's URL and receivepack.
    pub fn parse(url: &str, receive_pack: Option<&str>) -> Self {
        let (host, path) = match url.split_once("://") {
            Some(("file", path)) => (None, path),
            Some(("ssh" | "git+ssh" | "ssh+git", rest)) => match rest.split_once('/') {
                Some((host, path)) => (Some(host), path),
                None => (Some(rest), ""),
            },
            Some(_) => return Self::default(),
            None => match url.split_once(':') {
                Some((host, path)) if !host.contains('/') => (Some(host), path),
                _ => (None, ""),
            },
        };
        Self { app: words::repository_app(path).ok(), host: host.map(str::to_owned), root: receive_pack.and_then(root_of_receive_pack) }
    }
}

/// The `--root` in `'/abs/paas' --root '/abs/root' internal door --receive-pack`.
fn root_of_receive_pack(command: &str) -> Option<PathBuf> {
    let words = words::split(command).ok()?;
    let root = words.iter().skip_while(|word| *word != "--root").nth(1)?;
    Some(PathBuf::from(root)).filter(|root| root.is_absolute())
}

/// Looks at a remote of the checkout around a folder; nothing outside a checkout.
pub fn find(folder: &Path, remote: &str) -> Result<Option<RemoteTarget>, Failure> {
    let Some(repository) = open(folder)? else { return Ok(None) };
    let config = repository.config().map_err(|error| unreadable(&error))?;
    let value = |key: &str| config.get_string(&format!("remote.{remote}.{key}")).ok();
    Ok(value("url").map(|url| RemoteTarget::parse(&url, value("receivepack").as_deref())))
}

/// Adds the remote of a new app, if there is a checkout here. Says what came of it.
pub fn add_remote(folder: &Path, name: &str, app: &CreateReply, program: &Path, root: &Path) -> Result<Option<String>, Failure> {
    let Some(repository) = open(folder)? else { return Ok(None) };
    let mut config = repository.config().map_err(|error| unreadable(&error))?;
    let own = |error: git2::Error| {
        Failure::new(Kind::Host, "checkout.write", format!("the git remote {name} cannot be added"))
            .fix(format!("git remote add {name} {}", app.ssh_remote))
            .caused_by(&error)
    };
    if let Ok(url) = config.get_string(&format!("remote.{name}.url"))
        && url != app.local_remote
    {
        return Ok(Some(format!("the git remote {name} leads to {url} already; add another: git remote add NAME {}", app.ssh_remote)));
    }
    if repository.find_remote(name).is_err() {
        repository.remote(name, &app.local_remote).map_err(own)?;
    }
    for (key, flag) in [("receivepack", "--receive-pack"), ("uploadpack", "--upload-pack")] {
        config.set_str(&format!("remote.{name}.{key}"), &words::door_command(program, root, flag)).map_err(own)?;
    }
    Ok(Some(format!("git remote {name} added: git push {name} main")))
}

/// Points the remote at an app's new name, or removes it with the app. Only a remote that
/// leads to the server of `root`: another machine may have an app of the same name.
pub fn follow(folder: &Path, name: &str, app: &str, root: &Path, renamed: Option<&CreateReply>) -> Result<(), Failure> {
    let Some(target) = find(folder, name)? else { return Ok(()) };
    let leads_here = target.host.is_none() && target.root.as_deref() == Some(root) && target.app.is_some_and(|found| found.as_str() == app);
    let Some(repository) = open(folder)?.filter(|_| leads_here) else { return Ok(()) };
    match renamed {
        Some(renamed) => repository.remote_set_url(name, &renamed.local_remote),
        None => repository.remote_delete(name),
    }
    .map_err(|error| unreadable(&error))
}

fn open(folder: &Path) -> Result<Option<Repository>, Failure> {
    let none: [&Path; 0] = [];
    match Repository::open_ext(folder, RepositoryOpenFlags::empty(), none) {
        Ok(repository) => Ok(Some(repository)),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &git2::Error) -> Failure {
    Failure::new(Kind::Host, "checkout.unreadable", "the git checkout here cannot be read")
        .fix("name the app with -a APP, and run as the owner of the checkout")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> CreateReply {
        CreateReply {
            name: "hello".to_owned(),
            url: String::new(),
            port_url: String::new(),
            ssh_remote: "paas@box:hello".to_owned(),
            local_remote: "file:///hello".to_owned(),
            database: "none".to_owned(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_app_is_read_from_every_form_of_a_remote() {
        for (url, app, host) in [
            ("file:///hello", Some("hello"), None),
            ("ssh://paas@box/hello", Some("hello"), Some("paas@box")),
            ("ssh://paas@box:2222/hello.git", Some("hello"), Some("paas@box:2222")),
            ("paas@box:hello", Some("hello"), Some("paas@box")),
            ("box:~/hello", Some("hello"), Some("box")),
            ("https://github.com/x/hello", None, None),
            ("/srv/git/hello", None, None),
            ("../hello", None, None),
            ("git@github.com:x/hello.git", None, Some("git@github.com")),
            ("", None, None),
        ] {
            let target = RemoteTarget::parse(url, None);
            assert_eq!((target.app.as_ref().map(AppName::as_str), target.host.as_deref()), (app, host), "{url:?}");
        }
    }

    #[test]
    fn a_new_apps_remote_is_added_quoted_and_found_again() {
        let folder = tempfile::tempdir().expect("folder");
        let app = hello();
        let (program, root) = (Path::new("/opt/it's/paas"), Path::new("/srv/my root"));
        assert_eq!(add_remote(folder.path(), "paas", &app, program, root).expect("no checkout"), None);
        Repository::init(folder.path()).expect("checkout");
        assert!(add_remote(folder.path(), "paas", &app, program, root).expect("added").is_some());
        let target = find(folder.path(), "paas").expect("read").expect("there");
        assert_eq!(target.app.as_ref().map(AppName::as_str), Some("hello"));
        assert_eq!(target.root.as_deref(), Some(root));
        let config = Repository::open(folder.path()).expect("opened").config().expect("config");
        assert_eq!(
            config.get_string("remote.paas.uploadpack").expect("set"),
            r"'/opt/it'\''s/paas' --root '/srv/my root' internal door --upload-pack"
        );
        for (app, root) in [("other", root), ("hello", Path::new("/srv/other root"))] {
            follow(folder.path(), "paas", app, root, None).expect("left alone");
            assert!(find(folder.path(), "paas").expect("read").is_some(), "{app} of {root:?} took the remote with it");
        }
        let renamed = CreateReply { local_remote: "file:///bye".to_owned(), ..hello() };
        follow(folder.path(), "paas", "hello", root, Some(&renamed)).expect("followed");
        let target = find(folder.path(), "paas").expect("read").expect("there");
        assert_eq!((target.app.as_ref().map(AppName::as_str), target.root.as_deref()), (Some("bye"), Some(root)));
        follow(folder.path(), "paas", "bye", root, None).expect("removed");
        assert_eq!(find(folder.path(), "paas").expect("read"), None);
    }

    #[test]
    fn a_remote_that_leads_elsewhere_is_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        Repository::init(folder.path()).expect("checkout").remote("paas", "paas@box:other").expect("remote");
        let app = hello();
        let root = Path::new("/root");
        let said = add_remote(folder.path(), "paas", &app, Path::new("/paas"), root).expect("read").expect("said");
        assert!(said.contains("paas@box:other"));
        follow(folder.path(), "paas", "other", root, None).expect("of another machine");
        assert_eq!(find(folder.path(), "paas").expect("read").and_then(|target| target.host), Some("paas@box".to_owned()));
    }
}
