//! Commands that git, sshd and the server type, not people.

use std::path::PathBuf;

use api::git::Verb;
use api::{Failure, Kind};
use clap::{Args, Subcommand};

use super::context::Context;
use super::{End, Result, text};
use crate::git::{door, export_to_descriptor, repository, words};

/// Passes an exit code on.
pub fn exit(code: u8) -> Result {
    if code == 0 { Ok(()) } else { Err(End::Exit(code)) }
}

/// `internal door`.
#[derive(Debug, Args)]
pub struct Door {
    /// The fingerprint of the key that logged in over SSH
    #[arg(long, value_name = "SHA256:…", conflicts_with_all = ["receive_pack", "upload_pack"])]
    key: Option<String>,
    /// Git pushes from this box
    #[arg(long, conflicts_with = "upload_pack")]
    receive_pack: bool,
    /// Git fetches from this box
    #[arg(long)]
    upload_pack: bool,
    /// The path of the git remote, which git appends
    repository: Option<String>,
}

/// Lets git through.
pub fn door(context: &Context, arguments: Door) -> Result {
    let protocol = std::env::var("GIT_PROTOCOL").ok();
    let (visitor, git) = match (arguments.key, arguments.receive_pack, arguments.upload_pack) {
        (Some(fingerprint), false, false) => {
            let command = std::env::var("SSH_ORIGINAL_COMMAND").unwrap_or_default();
            (door::Visitor::Key(fingerprint), words::git_request(&command, protocol.as_deref())?)
        }
        (None, true, false) => (door::Visitor::Local, local(Verb::ReceivePack, arguments.repository, protocol.as_deref())?),
        (None, false, true) => (door::Visitor::Local, local(Verb::UploadPack, arguments.repository, protocol.as_deref())?),
        _ => return Err(Failure::new(Kind::Usage, "door.usage", "the door is opened by git and sshd").into()),
    };
    exit(door::serve(&context.named_root()?, visitor, &git)?)
}

fn local(verb: Verb, repository: Option<String>, protocol: Option<&str>) -> Result<api::git::Git, Failure> {
    words::request(verb, &repository.unwrap_or_default(), protocol)
}

/// `internal export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The commit, 40 hexadecimal digits
    commit: String,
    /// The folder of the repository that is the app
    #[arg(long)]
    folder: Option<String>,
    /// Where the repository is
    #[arg(long, default_value = repository::MOUNTED_AT)]
    repository: PathBuf,
}

/// Streams the source and says what it was.
pub fn export(context: &Context, arguments: &Export) -> Result {
    let sent = export_to_descriptor(&arguments.repository, &arguments.commit, arguments.folder.as_deref())?;
    let sent = serde_json::to_value(sent).map_err(|error| Failure::internal("the outcome cannot be written", &error))?;
    context.output.data(&format!("{sent}\n"))
}

/// `internal repository …`.
#[derive(Debug, Subcommand)]
pub enum Repository {
    /// Makes the bare repository, or brings it up to date
    Create(Place),
    /// Prints the commit that a name leads to, or zeros
    Resolve {
        /// A full ref, a branch, a tag, or seven digits or more of a commit
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Removes what dead pushes left; only with no push running
    Clean(Place),
}

/// Where the repository is.
#[derive(Debug, Args)]
pub struct Place {
    /// Where the repository is
    #[arg(long, default_value = repository::MOUNTED_AT)]
    repository: PathBuf,
}

/// Looks after a repository.
pub fn repository(context: &Context, action: Repository) -> Result {
    match action {
        Repository::Create(place) => Ok(repository::create(&place.repository)?),
        Repository::Resolve { name, place } => context.output.data(&format!("{}\n", repository::resolve(&place.repository, &name)?)),
        Repository::Clean(place) => {
            let removed = repository::clean(&place.repository)?;
            context.output.data(&text::lines(removed.iter().map(|path| text::plain(&path.to_string_lossy()))))
        }
    }
}
