//! Small steps between the store and the rest of control.

use api::Failure;
use model::{AppNumber, Cause, RefName, SlugId};

use crate::app::AppHandle;
use crate::control::Control;
use crate::limits::{GARBAGE_AGE_MIN_MS, UNDONE_AMONG_RELEASES_MAX};
use crate::seams::BuiltSlug;
use crate::store::{EventCode, NewEvent, NewPush, PushNumber, ReleaseRecord, ReleaseState};
use crate::watching::undone_note;

impl Control {
    /// A slug of an app with what it says of itself.
    pub(crate) async fn slug_of(&self, number: AppNumber, slug: SlugId) -> Result<BuiltSlug, Failure> {
        let record = self.services.store.slug(number, slug).await?;
        Ok(BuiltSlug { id: slug, bytes: record.bytes, manifest: record.manifest })
    }

    /// Removes the files of slugs that no kept release names. What fails is tried again
    /// after the next build.
    pub(crate) async fn collect_garbage(&self) {
        // A build may store the same bytes again at this moment; it clears away itself later.
        let Ok(_alone) = self.building.try_acquire() else { return };
        let before = self.services.now_unix_ms() - GARBAGE_AGE_MIN_MS;
        match self.services.store.take_garbage_slugs(before).await {
            Ok(garbage) => {
                for slug in garbage {
                    if let Err(failure) = self.services.builders.remove_slug(slug).await {
                        tracing::warn!(%slug, %failure, "an old slug could not be removed");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "old slugs could not be listed"),
        }
    }

    /// What the author should know before this push: the last release that went live was
    /// undone meanwhile.
    pub async fn note_before_push(&self, app: &AppHandle) -> Option<String> {
        Some(undone_note(&self.undone(app.identity.number).await.ok()??))
    }

    /// The last release that people made and that went live, if it was undone by itself.
    pub(crate) async fn undone(&self, number: AppNumber) -> Result<Option<ReleaseRecord>, Failure> {
        let newest = self.services.store.list_releases(number, UNDONE_AMONG_RELEASES_MAX).await?;
        let went_live = |r: &ReleaseRecord| r.switched_unix_ms.is_some() && !matches!(r.release.cause, Cause::Rollback { .. });
        Ok(newest.into_iter().find(went_live).filter(|record| record.state == ReleaseState::Failed))
    }

    /// A push is about to be deployed. Written down first, so that a server killed before
    /// the ref moved can look.
    pub async fn push_begun(&self, app: &AppHandle, reference: RefName, old: &str, new: &str) -> Result<PushNumber, Failure> {
        let push = NewPush { app: app.identity.number, reference, old: old.to_owned(), new: new.to_owned() };
        Ok(self.services.store.accept_push(push, self.services.now_unix_ms()).await?)
    }

    /// The push was refused: its ref stays where it is.
    pub async fn push_refused(&self, push: PushNumber, reference: &RefName) {
        let event = self.event_of("paas", EventCode::BuildRefused, format!("{reference} stays where it is: the push was refused"));
        self.settle(push, false, event).await;
    }

    /// Looks where the ref is now. The release serves either way; a ref that did not move
    /// is told.
    pub async fn push_settled(&self, number: AppNumber, push: PushNumber, reference: &RefName, new: &str) {
        let now = match self.services.repositories.resolve(number, reference.as_str()).await {
            Ok(now) => now,
            // The next start looks again.
            Err(failure) => return tracing::warn!(%failure, "the ref of a push cannot be read"),
        };
        let moved = now.as_deref() == Some(new);
        let short = new.get(..7).unwrap_or(new);
        let (code, text) = if moved {
            (EventCode::PushMoved, format!("{reference} is now {short}"))
        } else {
            (EventCode::PushLost, format!("{reference} did not move to {short}: the push ended before git was done; push again"))
        };
        self.settle(push, moved, self.event_of("paas", code, text)).await;
    }

    async fn settle(&self, push: PushNumber, moved: bool, event: NewEvent) {
        if let Err(error) = self.services.store.settle_push(push, moved, event).await {
            tracing::warn!(%error, "the outcome of a push is not stored");
        }
    }

    /// Pushes that an earlier server did not see the end of.
    pub(crate) async fn settle_pushes(&self) -> Result<(), Failure> {
        for push in self.services.store.unsettled_pushes().await? {
            self.push_settled(push.push.app, push.number, &push.push.reference, &push.push.new).await;
        }
        Ok(())
    }
}
