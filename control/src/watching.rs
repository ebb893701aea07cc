//! Watching a release after its switch, and undoing it.
//!
//! ```text
//! switch ─▶ watch ─ a minute of health ─▶ nothing
//!             └ crash loop, 5xx ─▶ turn ─▶ candidate (rollback) ─▶ switch that undoes
//! ```
//! The router is asked a few times at due moments; the engine tells by itself.

use std::sync::Arc;
use std::time::Duration;

use model::{Cause, ReleaseVersion};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::app::AppHandle;
use crate::control::Control;
use crate::deploy::Switch;
use crate::limits::{WATCH_MAX, WATCH_READS_S};
use crate::seams::Lines;
use crate::store::{App, EventCode, ReleaseRecord, Undone};
use crate::watch::{Before, Tally, Verdict, judge};

/// A release to watch.
pub(crate) struct Watched {
    /// The release.
    pub(crate) version: ReleaseVersion,
    /// What served before.
    pub(crate) back_to: ReleaseVersion,
    /// How that did.
    pub(crate) before: Before,
    /// Commands ran before it that may have changed data for good.
    pub(crate) migrated: bool,
    /// How long it serves already.
    pub(crate) age: Duration,
}

impl Control {
    /// Watches a release for what is left of its first minute.
    pub(crate) fn watch(self: &Arc<Self>, app: &AppHandle, watched: Watched) {
        let (control, app) = (self.clone(), app.clone());
        tokio::spawn(async move {
            if let Some(why) = control.verdict(&app, &watched).await {
                control.undo(&app, &watched, why).await;
            }
        });
    }

    /// After the start of a server: a release that went live less than a minute ago.
    pub(crate) async fn watch_on(self: &Arc<Self>, app: &App, handle: &AppHandle) {
        let record = match self.services.store.current_release(app.number).await {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => return tracing::error!(%error, "a release cannot be watched"),
        };
        let (Some(at), Some(back_to)) = (record.switched_unix_ms, record.release.parent) else { return };
        let Ok(age) = u64::try_from(self.services.now_unix_ms() - at).map(Duration::from_millis) else { return };
        if age >= WATCH_MAX || matches!(record.release.cause, Cause::Rollback { .. }) {
            return;
        }
        // How the one before did is not known any more: 5xx only warn then.
        let (before, version) = (Before::default(), record.release.version);
        self.watch(handle, Watched { version, back_to, before, migrated: false, age });
    }

    /// Why the release should be undone, if it should.
    async fn verdict(&self, app: &AppHandle, watched: &Watched) -> Option<String> {
        let began = Instant::now().checked_sub(watched.age).unwrap_or_else(Instant::now);
        let mut reads = WATCH_READS_S.into_iter().map(|s| began + Duration::from_secs(s)).filter(|at| *at >= Instant::now());
        let mut next = reads.next();
        let (mut view, mut tally, mut warned) = (app.view.clone(), Tally::default(), false);
        loop {
            let verdict = {
                let view = view.borrow_and_update();
                if view.current != Some(watched.version) {
                    return None;
                }
                judge(&watched.before, watched.migrated, watched.version, &view.observed, tally.total())
            };
            match verdict {
                Verdict::RollBack(why) => return Some(why),
                Verdict::Warn(why) if !warned => {
                    warned = true;
                    self.warn(app, watched, why).await;
                }
                Verdict::Well | Verdict::Warn(_) => {}
            }
            tokio::select! {
                changed = view.changed() => changed.ok()?,
                // None is left: what the last one told was judged just now.
                () = sleep_until(next?) => {
                    if let Some(told) = self.services.front_door.traffic(&app.identity.name).await {
                        tally.read(watched.version, &told);
                    }
                    next = reads.next();
                }
            }
        }
    }

    async fn warn(&self, app: &AppHandle, watched: &Watched, why: String) {
        let why_not = if watched.migrated { "its release phase ran" } else { "how it was before is not known" };
        let text = format!("{}: {why}; it is not rolled back, since {why_not}", watched.version);
        self.services.logs.write(app.identity.number, "release", &text);
        app.note(watched.version, text.clone());
        let event = self.event_of("paas", EventCode::ReleaseWarned, text);
        if let Err(error) = self.services.store.record_event(Some(app.identity.number), event).await {
            tracing::error!(%error, "an event is not stored");
        }
    }

    /// Goes back to the release before, as a new one.
    async fn undo(self: &Arc<Self>, app: &AppHandle, watched: &Watched, why: String) {
        let (version, to) = (watched.version, watched.back_to);
        let told = match self.try_undo(app, watched, &why).await {
            Ok(Some(release)) => format!("{version} was rolled back by itself to {to}, as {release}: {why}"),
            // Somebody was faster.
            Ok(None) => return,
            Err(failure) => format!("{version} is not well ({why}) and could not be rolled back to {to}: {failure}"),
        };
        tracing::warn!(app = %app.identity.name, told, "the watch has ended");
        self.services.logs.write(app.identity.number, "release", &told);
    }

    async fn try_undo(self: &Arc<Self>, app: &AppHandle, watched: &Watched, why: &str) -> Result<Option<ReleaseVersion>, api::Failure> {
        // Nobody waits for these.
        let (lines, _) = mpsc::channel(1);
        let (_keep, cancel) = watch::channel(false);
        let turn = self.turn(app, &Lines(lines.clone()), &cancel).await?;
        let (number, store) = (app.identity.number, &self.services.store);
        if store.app(number).await?.current != Some(watched.version) {
            return Ok(None);
        }
        let Some(target) = store.find_release(number, watched.back_to).await? else { return Ok(None) };
        let slug = self.slug_of(number, target.release.slug).await?;
        let types = slug.manifest.commands.keys().cloned().collect();
        let formation = store.formation(number).await?.carried_over(&types, &slug.manifest.app_json.formation);
        let cause = Cause::Rollback { to: watched.back_to };
        let release = self.insert_candidate(app, slug.id, target.release.config_version, formation, cause, "paas").await?;
        let version = release.version;
        let underway = self.begin_work(number, turn);
        let undo = Some(Undone { version: watched.version, why: why.to_owned() });
        let (manifest, cancel) = (slug.manifest, underway.cancel());
        let switch = Switch { release, manifest, release_phase: false, accept_5xx: true, undo, lines: Lines(lines), cancel };
        self.switch(app, switch).await?;
        Ok(Some(version))
    }
}

/// What people should know of a release that was undone by itself.
pub(crate) fn undone_words(version: ReleaseVersion, why: &str) -> String {
    format!("{version} was rolled back by itself: {why}")
}

/// The same from the store.
pub(crate) fn undone_note(record: &ReleaseRecord) -> String {
    undone_words(record.release.version, record.failure.as_deref().unwrap_or("it was not well"))
}
