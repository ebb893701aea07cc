//! `access`: who may do what, by SSH key.

use std::fs::File;
use std::path::PathBuf;

use api::access::{self, AccessReply};
use api::{Failure, Kind};
use clap::Args;

use super::context::Context;
use super::text::{self, View};
use super::{Result, input};
use crate::limits;

/// `access`: of one app with `-a`, else of all.
pub fn list(context: &Context) -> Result {
    context.show(&access::Access { app: context.named_app()? }, render)
}

fn render(reply: &AccessReply, _view: &View) -> String {
    if reply.grants.is_empty() {
        return "Nobody but the operator: paas access:add NAME --key FILE --role deployer -a APP\n".to_owned();
    }
    let rows: Vec<Vec<String>> = reply
        .grants
        .iter()
        .map(|grant| {
            vec![
                grant.person.clone(),
                grant.role.clone(),
                grant.app.clone().unwrap_or_else(|| "all apps".to_owned()),
                grant.fingerprint.clone(),
            ]
        })
        .collect();
    text::table(&rows)
}

/// `access:add`.
#[derive(Debug, Args)]
pub struct Add {
    /// The person
    person: String,
    /// An OpenSSH public key file; - reads standard input
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What they may do
    #[arg(long, value_parser = ["viewer", "deployer", "owner", "operator"])]
    role: String,
}

/// Lets a person in.
pub fn add(context: &Context, arguments: &Add) -> Result {
    let app = if arguments.role == "operator" { context.named_app()? } else { Some(context.app()?) };
    let public_key = read_public_key(context, arguments)?;
    let step =
        format!("Adding {} as {}{}", arguments.person, arguments.role, app.as_ref().map(|app| format!(" of {app}")).unwrap_or_default());
    let operation = access::AccessAdd { person: arguments.person.clone(), public_key, role: arguments.role.clone(), app };
    context.change(&step, &operation, |grant| format!("done, {}", grant.fingerprint)).map(drop)
}

fn read_public_key(context: &Context, arguments: &Add) -> Result<String, Failure> {
    let text = if arguments.key.as_os_str() == "-" {
        input::all(&context.output, "the public key", limits::PUBLIC_KEY_BYTES_MAX)?
    } else {
        let file = File::open(&arguments.key).map_err(|error| {
            Failure::new(Kind::Usage, "access.key_file", format!("the key file {} cannot be read", arguments.key.display()))
                .caused_by(&error)
        })?;
        input::read_text(file, "the public key", limits::PUBLIC_KEY_BYTES_MAX)?
    };
    one_public_key(&text)
}

/// The only key line of a file; a private key is never sent anywhere.
fn one_public_key(text: &str) -> Result<String, Failure> {
    const FIX: &str = "hand over one line such as ~/.ssh/id_ed25519.pub";
    if text.contains("PRIVATE KEY") {
        return Err(Failure::new(Kind::Usage, "access.private_key", "this is a private key, and it was not sent").fix(FIX));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.to_owned()),
        (None, _) => Err(Failure::new(Kind::Usage, "access.no_key", "there is no public key in it").fix(FIX)),
        (Some(_), Some(_)) => Err(Failure::new(Kind::Usage, "access.many_keys", "there are several keys in it").fix("add each by itself")),
    }
}

/// `access:remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The person
    person: String,
}

/// Takes access to one app away with `-a`, else all of it.
pub fn remove(context: &Context, arguments: Remove) -> Result {
    let app = context.named_app()?;
    let step = format!("Removing {} from {}", arguments.person, app.as_deref().unwrap_or("all apps"));
    context
        .change(&step, &access::AccessRemove { person: arguments.person, app }, |reply| {
            format!("done, {} grants are left", reply.grants.len())
        })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_public_key_is_taken_and_a_private_one_never_sent() {
        assert_eq!(one_public_key("# mine\n\nssh-ed25519 AAAA anna\n").expect("taken"), "ssh-ed25519 AAAA anna");
        for bad in ["", "# none", "ssh-ed25519 A\nssh-ed25519 B", "-----BEGIN OPENSSH PRIVATE KEY-----\nabc"] {
            assert!(one_public_key(bad).is_err(), "{bad:?} was taken");
        }
    }
}
