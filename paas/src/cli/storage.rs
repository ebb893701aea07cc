//! `storage` and `storage:keep`.

use api::storage::{self, KeepReply, StorageReply};
use clap::Args;

use super::Result;
use super::context::Context;
use super::text::{self, Color, View, paint};

/// What lasts and how big it is.
pub fn show(context: &Context) -> Result {
    context.show(&storage::Storage { app: context.app()? }, render)
}

fn render(reply: &StorageReply, view: &View) -> String {
    let at_least = if reply.at_least { "at least " } else { "" };
    let head = format!("=== {} Storage", text::plain(&reply.app));
    let mut rows = vec![vec!["DATA_DIR".to_owned(), reply.data_dir.clone(), format!("{at_least}{}", size(reply.bytes, reply.files))]];
    rows.extend(reply.kept.iter().map(|row| {
        let found = row.bytes.map_or_else(|| "nothing yet".to_owned(), |bytes| size(bytes, row.files.unwrap_or(0)));
        vec![format!("/app/{}", row.path), row.place.clone(), found]
    }));
    let hint =
        if reply.kept.is_empty() { "All else in /app is forgotten at the next stop: paas storage:keep PATH keeps a path\n" } else { "" };
    format!("{}\n{}{hint}", paint(&head, Color::Bold, view.color), text::table(&rows))
}

fn size(bytes: u64, files: u64) -> String {
    let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
    format!("{}, {files}", text::bytes(bytes))
}

/// `storage:keep`.
#[derive(Debug, Args)]
pub struct Keep {
    /// Below /app: app.db; uploads/ with a slash makes the folder where nothing is yet
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// They last no longer; what was kept stays in $DATA_DIR/kept
    #[arg(long)]
    remove: bool,
}

/// Makes paths of `/app` last.
pub fn keep(context: &Context, arguments: Keep) -> Result {
    let Keep { paths, remove } = arguments;
    let shown = text::plain(&paths.join(", "));
    let step = if remove { format!("Keeping {shown} no longer") } else { format!("Keeping {shown}") };
    context.change(&step, &storage::Keep { app: context.app()?, paths, remove }, done).map(drop)
}

fn done(reply: &KeepReply) -> String {
    match reply.restarted.as_slice() {
        [] => "done, from the next start on".to_owned(),
        names => format!("done, restarting {}", text::plain(&names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use api::storage::KeptRow;

    use super::super::text::tests::view;
    use super::*;

    #[test]
    fn what_lasts_stands_with_its_size_and_where_it_is() {
        let row = |path: &str, bytes, files| KeptRow {
            path: path.to_owned(),
            place: format!("/data/kept/{}", path.trim_end_matches('/')),
            bytes,
            files,
        };
        let mut reply = StorageReply {
            app: "hello".to_owned(),
            data_dir: "/data".to_owned(),
            bytes: 12_400_000,
            files: 18,
            at_least: false,
            kept: vec![row("app.db", Some(12_300_000), Some(1)), row("uploads/", None, None)],
        };
        insta::assert_snapshot!(render(&reply, &view()), @r"
        === hello Storage
        DATA_DIR       /data               12.4 MB, 18 files
        /app/app.db    /data/kept/app.db   12.3 MB, 1 file
        /app/uploads/  /data/kept/uploads  nothing yet
        ");
        reply.kept.clear();
        assert!(render(&reply, &view()).ends_with("paas storage:keep PATH keeps a path\n"));
    }
}
