//! Errors of the store as people read them: what, why, how to fix.

use api::{Failure, Kind};

use super::StoreError;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        of_the_file(&error)
            .or_else(|| of_the_key(&error))
            .or_else(|| of_the_request(&error))
            .unwrap_or_else(|| Failure::internal("the store failed", &error))
    }
}

fn of_the_file(error: &StoreError) -> Option<Failure> {
    let host = |code, what: String| Failure::new(Kind::Host, code, what);
    Some(match error {
        StoreError::DiskFull { .. } => host("disk.full", "the disk is full".to_owned())
            .why("the change could not be written; nothing of it was kept")
            .fix("make room: `paas builds:cache purge`, `paas apps:destroy` of old apps, or files beside paas; then try again")
            .caused_by(error),
        StoreError::Corrupt { path, detail, .. } => host("store.corrupt", format!("the database {} is damaged", path.display()))
            .why(format!("{detail}; the file was left as it is"))
            .fix("put a backup of the file and its key in place, or copy it away and ask for help with `sqlite3 FILE .recover`"),
        StoreError::Newer { path, found, known } => {
            host("store.newer", format!("the database {} was written by a newer paas", path.display()))
                .why(format!("it has format {found}, this paas knows formats up to {known}; the file was left as it is"))
                .fix("start the newer paas again; going back needs the backup from before the upgrade")
        }
        StoreError::Foreign { path } => host("store.foreign", format!("{} is a database of another program", path.display()))
            .fix("name another root folder with `--root DIR`"),
        StoreError::InUse { path } => Failure::new(Kind::Refused, "store.in_use", format!("{} is open in another server", path.display()))
            .why("only one server works on a root folder")
            .fix("stop the other one first, or name another root folder with `--root DIR`"),
        StoreError::File { doing, path, .. } => host("store.file", format!("cannot {doing} {}", path.display()))
            .fix("check that the folder exists and belongs to the server's user, and that the disk has room")
            .caused_by(error),
        StoreError::Closed => Failure::new(Kind::Unavailable, "store.closed", "the server is stopping").fix("try again"),
        _ => return None,
    })
}

fn of_the_key(error: &StoreError) -> Option<Failure> {
    let host = |code, what: String| Failure::new(Kind::Host, code, what);
    Some(match error {
        StoreError::KeyMissing { path } => host("key.missing", format!("the key file {} is missing", path.display()))
            .why("the database holds config vars that only this key opens")
            .fix("put the key file back from its backup; a new key would make them unreadable for ever"),
        StoreError::KeyUnusable { path, detail } => host("key.unusable", format!("the key file {} cannot be used", path.display()))
            .why(*detail)
            .fix(format!("it holds 32 bytes and belongs to the server's user alone: `chmod 600 {}`", path.display())),
        StoreError::KeyMismatch { path } => host("key.mismatch", format!("the key file {} belongs to another database", path.display()))
            .why("values in the database were encrypted with another key")
            .fix("put the key file and the database of the same backup in place"),
        StoreError::Tampered { place } => host("store.tampered", format!("the stored {place} cannot be opened"))
            .why("it was changed or moved in the database, not by paas")
            .fix("set it again, and find out who can write to the database file"),
        _ => return None,
    })
}

fn of_the_request(error: &StoreError) -> Option<Failure> {
    let refused = |code| Failure::new(Kind::Refused, code, error.to_string());
    let missing = |code| Failure::new(Kind::NotFound, code, error.to_string());
    Some(match error {
        StoreError::AppNameTaken(_) => refused("app.name_taken").fix("choose another name"),
        StoreError::NoFreePort(_) => Failure::new(Kind::Host, "port.none_free", error.to_string())
            .why("every app has a lasting port of its own")
            .fix("destroy an app, or widen the range of app ports in paas.toml"),
        StoreError::NoSuchApp(number) => Failure::no_such_app(&format!("number {number}")),
        StoreError::NoSuchRelease(_) => missing("release.not_found").fix("list them with `paas releases`"),
        StoreError::ReleaseDecided(_) => refused("release.decided"),
        StoreError::CurrentMoved(_) => refused("release.moved").fix("try again on top of what serves now"),
        StoreError::ConfigMoved => refused("config.moved").fix("look at `paas config` and try again"),
        StoreError::NoSuchConfig(_) => missing("config.not_found"),
        StoreError::SlugGone(_) => Failure::new(Kind::NotFound, "slug.gone", error.to_string())
            .why("the slugs of the last 10 releases that served are kept, older ones go")
            .fix("deploy that commit again"),
        StoreError::NoSuchBuild(_) => missing("build.not_found").fix("list them with `paas builds`"),
        StoreError::BuildEnded(_) => refused("build.ended"),
        StoreError::NoSuchProcessType(_) => {
            missing("process_type.not_found").fix("`paas ps` lists the types of the app's Procfile; deploy first")
        }
        StoreError::NotKept(_) => missing("storage.not_kept").fix("list what is kept with `paas storage`"),
        StoreError::KeptInside { .. } => {
            refused("storage.inside").fix("keep the outer one alone; `--remove` takes the other one back first")
        }
        StoreError::TooManyKept => refused("storage.too_many").fix("keep a folder that holds several of them, or write to $DATA_DIR"),
        StoreError::KeyTaken(_) => refused("key.taken").fix("each person has keys of their own"),
        StoreError::NoSuchAccess(_) => missing("access.not_found").fix("list who has some with `paas access`"),
        StoreError::Invalid(invalid) => invalid.clone().into(),
        StoreError::TooLarge { .. } => refused("too_large"),
        _ => return None,
    })
}
