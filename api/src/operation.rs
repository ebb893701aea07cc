//! The table of operations. A test of `paas` walks it: each has a command, help, a role.

use serde::{Serialize, de::DeserializeOwned};

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// ps, logs, releases, metrics.
    Viewer,
    /// Viewer and push, clone, config, scale, run, pg.
    Deployer,
    /// Deployer and domains, access, destroy.
    Owner,
    /// Everything.
    Operator,
}

impl Role {
    /// The word in `access:add --role`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Owner => "owner",
            Self::Operator => "operator",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Deployer, Self::Owner, Self::Operator].into_iter().find(|r| r.word() == word)
    }
}

/// What an operation does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing.
    Reads,
    /// Changes something that can be changed back.
    Changes,
    /// Destroys something: asks for the app's name.
    Destroys,
}

/// Something that can be asked.
pub trait Operation: Serialize + DeserializeOwned + Send {
    /// Its name, which is the command's: `ps:scale`.
    const NAME: &'static str;
    /// The least role that may ask it.
    const ROLE: Role;
    /// What it does to the world.
    const EFFECT: Effect;
    /// What comes back.
    type Reply: Serialize + DeserializeOwned + Send;
}

/// A row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableRow {
    /// Its name.
    pub name: &'static str,
    /// The least role.
    pub role: Role,
    /// Its effect.
    pub effect: Effect,
}

/// Declares operations in one place: `operation!(Scale, "ps:scale", Deployer, Changes, ScaleReply)`.
macro_rules! operation {
    ($type:ty, $name:literal, $role:ident, $effect:ident, $reply:ty) => {
        impl $crate::Operation for $type {
            const NAME: &'static str = $name;
            const ROLE: $crate::Role = $crate::Role::$role;
            const EFFECT: $crate::Effect = $crate::Effect::$effect;
            type Reply = $reply;
        }
    };
}
pub(crate) use operation;

macro_rules! table {
    ($($type:path),+ $(,)?) => {
        /// Every operation.
        pub const TABLE: &[TableRow] = &[$(TableRow {
            name: <$type as Operation>::NAME,
            role: <$type as Operation>::ROLE,
            effect: <$type as Operation>::EFFECT,
        }),+];
    };
}

table!(
    crate::access::Access,
    crate::access::AccessAdd,
    crate::access::AccessRemove,
    crate::apps::Apps,
    crate::apps::Create,
    crate::apps::Destroy,
    crate::apps::Info,
    crate::apps::Rename,
    crate::apps::Set,
    crate::builds::Builds,
    crate::builds::Cancel,
    crate::builds::Deploy,
    crate::builds::Output,
    crate::builds::PurgeCache,
    crate::builds::Rebuild,
    crate::checks::Checks,
    crate::checks::Run,
    crate::config::Get,
    crate::config::Change,
    crate::events::Events,
    crate::git::Git,
    crate::logs::Logs,
    crate::pg::Info,
    crate::pg::Psql,
    crate::ps::Limits,
    crate::ps::List,
    crate::ps::Overlap,
    crate::ps::Restart,
    crate::ps::Scale,
    crate::ps::Start,
    crate::ps::Stop,
    crate::ps::Wait,
    crate::ps::Why,
    crate::releases::Info,
    crate::releases::Releases,
    crate::releases::Rollback,
    crate::run::Exec,
    crate::run::Run,
    crate::status::Status,
    crate::status::StopAll,
    crate::storage::Keep,
    crate::storage::Storage,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn what_destroys_needs_an_owner() {
        assert!(TABLE.iter().filter(|r| r.effect == Effect::Destroys).all(|r| r.role >= Role::Owner));
    }
}
