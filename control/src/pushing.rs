//! Git in a repository: what dead pushes left there goes while no push runs, and the
//! repository itself only when the last one has ended.

use api::Failure;
use tokio::sync::OwnedRwLockReadGuard;

use crate::app::AppHandle;
use crate::control::Control;

/// A push under way: whoever holds it may have git in the repository.
#[derive(Debug)]
pub struct Pushing(OwnedRwLockReadGuard<()>);

impl Control {
    /// Before git starts for a push: waits while leftovers are being removed.
    pub async fn push_arrived(&self, app: &AppHandle) -> Result<Pushing, Failure> {
        let pushing = app.pushing.clone().read_owned().await;
        // Destroyed meanwhile, or another app by that name now.
        app.check_open()?;
        Ok(Pushing(pushing))
    }

    /// After git has ended. The last of several pushes clears away.
    pub async fn push_ended(&self, app: &AppHandle, Pushing(pushing): Pushing) {
        drop(pushing);
        if let Ok(_alone) = app.pushing.try_write() {
            self.services.repositories.clean(app.identity.number).await;
        }
    }
}
