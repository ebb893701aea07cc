//! `access`: keys and roles, and the list that sshd reads.

use api::access::{Access, AccessAdd, AccessRemove, AccessReply, Grant};
use api::{Failure, Kind, Role};

use super::Call;
use crate::access::{Actor, PublicKey};
use crate::control::Control;

/// Longest name of a person.
const PERSON_CHARS_MAX: usize = 40;

impl Control {
    pub(super) async fn access(&self, call: &Call, access: Access) -> Result<AccessReply, Failure> {
        call.actor.may_operate("see who has access")?;
        let app = access.app.as_deref().map(|name| self.app_for(&call.actor, name, Role::Operator, "see the access of")).transpose()?;
        self.grants(app.map(|app| app.identity.name.to_string()).as_deref()).await
    }

    async fn grants(&self, app: Option<&str>) -> Result<AccessReply, Failure> {
        let mut grants = self.services.store.grants().await?;
        grants.retain(|grant| app.is_none_or(|app| grant.app.as_deref() == Some(app)));
        Ok(AccessReply { grants })
    }

    pub(super) async fn access_add(&self, call: &Call, add: AccessAdd) -> Result<Grant, Failure> {
        call.actor.may_operate("give access")?;
        let word_ok = |c: char| c.is_ascii_alphanumeric() || ".-_@+".contains(c);
        if add.person.is_empty() || add.person.len() > PERSON_CHARS_MAX || !add.person.chars().all(word_ok) {
            return Err(Failure::new(Kind::Usage, "access.bad_name", "this is not a name for a person").why("1 to 40 letters, digits and . - _ @ +"));
        }
        let Some(role) = Role::parse(&add.role) else {
            return Err(Failure::new(Kind::Usage, "access.bad_role", format!("unknown role `{}`", add.role)).fix("known are: viewer, deployer, owner, operator"));
        };
        let key = PublicKey::parse(&add.public_key)?;
        let app = add.app.as_deref().map(|name| self.app_for(&call.actor, name, Role::Operator, "give access to")).transpose()?;
        if app.is_none() && role != Role::Operator {
            return Err(Failure::new(Kind::Usage, "access.no_app", format!("a {} needs an app", role.word())).fix("add -a APP, or --role operator"));
        }
        let number = app.as_ref().map(|app| app.identity.number);
        self.services.store.add_grant(call.actor.name(), &add.person, &key, role, number, self.services.now_unix_ms()).await?;
        self.publish_keys().await?;
        Ok(Grant {
            person: add.person,
            fingerprint: key.fingerprint,
            role: role.word().to_owned(),
            app: app.map(|app| app.identity.name.to_string()),
        })
    }

    pub(super) async fn access_remove(&self, call: &Call, remove: AccessRemove) -> Result<AccessReply, Failure> {
        call.actor.may_operate("take access away")?;
        let app = remove.app.as_deref().map(|name| self.app_for(&call.actor, name, Role::Operator, "take access from")).transpose()?;
        let number = app.map(|app| app.identity.number);
        self.services.store.remove_grant(call.actor.name(), &remove.person, number, self.services.now_unix_ms()).await?;
        self.publish_keys().await?;
        self.grants(None).await
    }

    /// Writes the list of keys that may log in.
    pub(crate) async fn publish_keys(&self) -> Result<(), Failure> {
        let keys = self.services.store.login_keys().await?;
        self.services.login_keys.write(keys).await
    }

    /// Whose key this is, for the door.
    pub async fn actor_of(&self, fingerprint: &str) -> Result<Actor, Failure> {
        self.services.store.actor_of(fingerprint).await?.ok_or_else(|| {
            Failure::new(Kind::Refused, "access.unknown_key", "this key has no access to this box any more").fix("ask the operator of this box: paas access:add")
        })
    }
}
