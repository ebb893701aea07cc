//! `storage` and `storage:keep`: what of an app lasts.

use std::collections::BTreeSet;

use api::storage::{Keep, KeepReply, KeptRow, Storage, StorageReply};
use api::{Failure, Kind, Role};
use model::KeptPath;

use super::Ask;
use crate::control::Control;
use crate::store::EventCode;

/// `DATA_DIR` as every process of an app has it.
const DATA_DIR: &str = "/data";

impl Control {
    pub(super) async fn storage(&self, ask: &Ask, storage: Storage) -> Result<StorageReply, Failure> {
        let app = self.app_for(&ask.actor, &storage.app, Role::Viewer, "look at")?;
        let kept = self.services.store.kept_paths(app.identity.number).await?;
        let size = self.services.engine.data_size(app.identity.number, kept.clone()).await?;
        let row = |(path, found): (KeptPath, Option<(u64, u64)>)| KeptRow {
            place: format!("{DATA_DIR}/kept/{}", path.path()),
            path: path.to_string(),
            bytes: found.map(|(bytes, _)| bytes),
            files: found.map(|(_, files)| files),
        };
        Ok(StorageReply {
            app: app.identity.name.to_string(),
            data_dir: DATA_DIR.to_owned(),
            bytes: size.total.0,
            files: size.total.1,
            at_least: size.at_least,
            kept: kept.into_iter().zip(size.parts.into_iter().chain(std::iter::repeat(None))).map(row).collect(),
        })
    }

    /// Whoever keeps something wants what is there now: what runs is restarted at once, and
    /// what it has written is saved in between.
    pub(super) async fn keep(&self, ask: &Ask, keep: Keep) -> Result<KeepReply, Failure> {
        let app = self.app_for(&ask.actor, &keep.app, Role::Deployer, "configure")?;
        if keep.paths.is_empty() {
            return Err(Failure::new(Kind::Usage, "storage.no_path", "which path is not said")
                .fix("name some below /app: paas storage:keep app.db uploads/"));
        }
        let paths = keep.paths.iter().map(|path| path.parse::<KeptPath>()).collect::<Result<BTreeSet<_>, _>>()?;
        let words: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let verb = if keep.remove { "lasts no longer" } else { "lasts" };
        let event = self.event(ask, EventCode::StorageKept, format!("{verb}: {}", words.join(", ")));
        let paths = paths.into_iter().collect();
        let (added, removed) = if keep.remove { (Vec::new(), paths) } else { (paths, Vec::new()) };
        let kept = self.services.store.change_kept_paths(app.identity.number, added, removed, event).await?;
        app.reload();
        let runs = app.view.borrow().observed.instances.iter().any(|instance| instance.run.is_some());
        let restarted = match app.restart(None).await {
            // Nothing of it runs that could hold on to how it was.
            Err(_) if !runs => Vec::new(),
            restarted => restarted?,
        };
        Ok(KeepReply { kept: kept.iter().map(ToString::to_string).collect(), restarted })
    }
}
