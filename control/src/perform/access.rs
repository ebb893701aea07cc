//! `access`: keys and roles, and the list that sshd reads.

use api::access::{Access, AccessAdd, AccessRemove, AccessReply, Grant};
use api::{Failure, Kind, Role};
use model::AppNumber;

use super::Ask;
use crate::access::{Actor, base64_encode, parse_public_key};
use crate::control::Control;
use crate::store::{AccessRow, EventCode, KeyRow, NewAccess};

/// Longest name of a person.
const PERSON_CHARS_MAX: usize = 40;

impl Control {
    pub(super) async fn access(&self, ask: &Ask, access: Access) -> Result<AccessReply, Failure> {
        ask.actor.may_operate("see who has access")?;
        let app = access.app.as_deref().map(|name| self.app_for(&ask.actor, name, Role::Operator, "see the access of")).transpose()?;
        self.grants(app.map(|app| app.identity.number)).await
    }

    async fn grants(&self, app: Option<AppNumber>) -> Result<AccessReply, Failure> {
        let rows = self.services.store.list_access(app).await?;
        let grant = |row: AccessRow| Grant {
            person: row.person,
            fingerprint: row.fingerprint.unwrap_or_default(),
            role: row.role.word().to_owned(),
            app: row.app.map(|app| app.to_string()),
        };
        Ok(AccessReply { grants: rows.into_iter().map(grant).collect() })
    }

    pub(super) async fn access_add(&self, ask: &Ask, add: AccessAdd) -> Result<Grant, Failure> {
        ask.actor.may_operate("give access")?;
        let word_ok = |c: char| c.is_ascii_alphanumeric() || ".-_@+".contains(c);
        if add.person.is_empty() || add.person.len() > PERSON_CHARS_MAX || !add.person.chars().all(word_ok) {
            return Err(Failure::new(Kind::Usage, "access.bad_name", "this is not a name for a person")
                .why("1 to 40 letters, digits and . - _ @ +"));
        }
        let Some(role) = Role::parse(&add.role) else {
            return Err(Failure::new(Kind::Usage, "access.bad_role", format!("unknown role `{}`", add.role))
                .fix("known are: viewer, deployer, owner, operator"));
        };
        let key = parse_public_key(&add.public_key)?;
        let app = add.app.as_deref().map(|name| self.app_for(&ask.actor, name, Role::Operator, "give access to")).transpose()?;
        if app.is_none() && role != Role::Operator {
            return Err(
                Failure::new(Kind::Usage, "access.no_app", format!("a {} needs an app", role.word())).fix("add -a APP, or --role operator")
            );
        }
        let number = app.as_ref().map(|app| app.identity.number);
        let event = self.event(ask, EventCode::AccessAdded, format!("{} is {} now", add.person, role.word()));
        let fingerprint = key.fingerprint.clone();
        let access = NewAccess { person: add.person.clone(), key: Some(key), role, app: number };
        self.services.store.add_access(access, event).await?;
        self.publish_keys().await?;
        Ok(Grant { person: add.person, fingerprint, role: role.word().to_owned(), app: app.map(|app| app.identity.name.to_string()) })
    }

    pub(super) async fn access_remove(&self, ask: &Ask, remove: AccessRemove) -> Result<AccessReply, Failure> {
        ask.actor.may_operate("take access away")?;
        let app = remove.app.as_deref().map(|name| self.app_for(&ask.actor, name, Role::Operator, "take access from")).transpose()?;
        let number = app.map(|app| app.identity.number);
        let event = self.event(ask, EventCode::AccessRemoved, format!("{} lost access", remove.person));
        self.services.store.remove_access(&remove.person, number, event).await?;
        self.sessions.end_of_person(&remove.person, number);
        self.publish_keys().await?;
        self.grants(None).await
    }

    /// Writes the list of keys that may log in.
    pub async fn publish_keys(&self) -> Result<(), Failure> {
        let keys = self.services.store.list_keys().await?;
        let line = |row: KeyRow| (row.key.fingerprint, row.key.key_type, base64_encode(&row.key.blob));
        self.services.login_keys.write(keys.into_iter().map(line).collect()).await
    }

    /// Whose key this is, for the door.
    pub async fn actor_of(&self, fingerprint: &str) -> Result<Actor, Failure> {
        let Some(access) = self.services.store.find_access_by_fingerprint(fingerprint).await? else {
            return Err(Failure::new(Kind::Refused, "access.unknown_key", "this key has no access to this box any more")
                .fix("ask the operator of this box: paas access:add"));
        };
        let everywhere = access.grants.iter().filter(|(app, _)| app.is_none()).map(|(_, role)| *role).max();
        let roles = access.grants.into_iter().filter_map(|(app, role)| Some((app?, role))).collect();
        Ok(Actor::Person { name: access.person, everywhere, roles })
    }
}
