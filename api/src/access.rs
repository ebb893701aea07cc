//! `access`: who may do what, by SSH key.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `access`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    /// One app, or all.
    pub app: Option<String>,
}
operation!(Access, "access", Operator, Reads, AccessReply);

/// The grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessReply {
    /// The rows.
    pub grants: Vec<Grant>,
}

/// One person's key and role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The person.
    pub person: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// `viewer`, `deployer`, `owner`, `operator`.
    pub role: String,
    /// The app; none for operators.
    pub app: Option<String>,
}

/// `access:add anna --key FILE --role deployer -a shop`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessAdd {
    /// The person.
    pub person: String,
    /// One line of an OpenSSH public key file.
    pub public_key: String,
    /// The role.
    pub role: String,
    /// The app; none only for operators.
    pub app: Option<String>,
}
operation!(AccessAdd, "access:add", Operator, Changes, Grant);

/// `access:remove anna [-a shop]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessRemove {
    /// The person.
    pub person: String,
    /// One app, or everything.
    pub app: Option<String>,
}
operation!(AccessRemove, "access:remove", Operator, Changes, AccessReply);
