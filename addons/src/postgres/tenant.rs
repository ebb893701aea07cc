//! An app's database and role. Their names carry the app's number, which is never used
//! again, and nothing that a person chose.
//!
//! `d17`: the database, owned by the administrator role, and a group without login that may
//! connect to it. `r17`: the role that the app logs in as, a member of `d17`.

use model::{AppNumber, Secret};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::cluster::{ADMIN, Cluster, ClusterError, TEMPLATE, TENANTS};
use super::ident::{PgIdent, literal};
use super::password::{generate_password, verifier};
use super::session::{HOME, visit};
use crate::limits::{TENANT_CONNECTIONS_MAX, TENANT_IDLE_TRANSACTION_MS_MAX, TENANT_STATEMENT_MS_MAX};

/// Serialises the platform's own changes of roles and databases.
const LOCK: &str = "SELECT pg_advisory_lock(7086)";

/// What an app gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The database.
    pub database: PgIdent,
    /// The role that owns what is in it.
    pub role: PgIdent,
    /// The role's password: the caller keeps it and passes it in again.
    pub password: Secret,
    /// `postgresql://…`, with the password: the app's `DATABASE_URL`.
    pub url: Secret,
}

/// What can be told of an app's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// `15.18`.
    pub version: String,
    /// The database.
    pub database: PgIdent,
    /// Its size in bytes.
    pub bytes: u64,
    /// Connections of the app's role now.
    pub connections: u32,
    /// Connections that it may have.
    pub connections_max: u32,
}

/// The database of an app, which is also the name of its group.
fn database_of(app: AppNumber) -> PgIdent {
    PgIdent::numbered('d', app.0)
}

fn role_of(app: AppNumber) -> PgIdent {
    PgIdent::numbered('r', app.0)
}

impl Cluster {
    /// Makes or completes the database and role of an app. `password`: the one that was
    /// returned before, `None` for a new one, which makes an earlier one useless. Asked for
    /// again since [`Cluster::attach`] with the same password, it costs nothing.
    pub async fn ensure_tenant(&self, app: AppNumber, password: Option<&Secret>) -> Result<Tenant, ClusterError> {
        let password = match password {
            Some(password) => match self.ensured().get(&app) {
                Some(tenant) if tenant.password == *password => return Ok(tenant.clone()),
                _ => password.clone(),
            },
            None => generate_password().map_err(ClusterError::Random)?,
        };
        let (database, role) = (database_of(app), role_of(app));
        let port = self.settings.port;
        let url = format!("postgresql://{}:{}@127.0.0.1:{port}/{}", role.as_str(), password.reveal(), database.as_str());
        let tenant = Tenant { database, role, url: Secret::new(url), password };
        visit(&self.settings, HOME, async |client| {
            client.batch_execute(LOCK).await?;
            ensure_roles(client, &tenant).await?;
            ensure_database(client, &tenant.database).await
        })
        .await?;
        self.ensured().insert(app, tenant.clone());
        Ok(tenant)
    }

    /// Ends the connections of an app and removes its database and role. What is not there
    /// is fine.
    pub async fn drop_tenant(&self, app: AppNumber) -> Result<(), ClusterError> {
        self.ensured().remove(&app);
        let (database, role) = (database_of(app), role_of(app));
        visit(&self.settings, HOME, async |client| {
            client.batch_execute(LOCK).await?;
            client.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
            drop_role(client, &role).await?;
            drop_role(client, &database).await
        })
        .await
    }

    /// What there is of an app's database; `None` if it has none.
    pub async fn info(&self, app: AppNumber) -> Result<Option<Info>, ClusterError> {
        const QUERY: &str = "SELECT current_setting('server_version'), pg_database_size(d.oid), r.rolconnlimit,
               (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid)
             FROM pg_database d, pg_roles r WHERE d.datname = $1 AND r.rolname = $2";
        let (database, role) = (database_of(app), role_of(app));
        let names = (database.as_str(), role.as_str());
        let row = visit(&self.settings, HOME, async |client| client.query_opt(QUERY, &[&names.0, &names.1]).await).await?;
        Ok(row.map(|row| Info {
            version: row.get::<_, &str>(0).split(' ').next().unwrap_or_default().to_owned(),
            database: database_of(app),
            bytes: u64::try_from(row.get::<_, i64>(1)).unwrap_or(0),
            connections: u32::try_from(row.get::<_, i64>(3)).unwrap_or(u32::MAX),
            connections_max: u32::try_from(row.get::<_, i32>(2)).unwrap_or(u32::MAX),
        }))
    }
}

async fn role_exists(client: &Client, role: &PgIdent) -> Result<bool, tokio_postgres::Error> {
    let found = client.query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&role.as_str()]).await?;
    Ok(found.is_some())
}

async fn ensure_roles(client: &Client, tenant: &Tenant) -> Result<(), tokio_postgres::Error> {
    let (group, role) = (&tenant.database, &tenant.role);
    if !role_exists(client, group).await? {
        client.batch_execute(&format!("CREATE ROLE {group} NOLOGIN")).await?;
    }
    if !role_exists(client, role).await? {
        client
            .batch_execute(&format!(
                "BEGIN;
                 CREATE ROLE {role} NOLOGIN;
                 ALTER ROLE {role} SET statement_timeout = {TENANT_STATEMENT_MS_MAX};
                 ALTER ROLE {role} SET idle_in_transaction_session_timeout = {TENANT_IDLE_TRANSACTION_MS_MAX};
                 COMMIT;"
            ))
            .await?;
    }
    let password = literal(&verifier(&tenant.password));
    client
        .batch_execute(&format!(
            "ALTER ROLE {role} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
               CONNECTION LIMIT {TENANT_CONNECTIONS_MAX} PASSWORD {password};
             GRANT {TENANTS} TO {group};
             GRANT {group} TO {role};"
        ))
        .await
}

/// The database is closed until nobody but its group can connect.
async fn ensure_database(client: &Client, database: &PgIdent) -> Result<(), tokio_postgres::Error> {
    let name = database.as_str();
    if client.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name]).await?.is_none() {
        let create = format!("CREATE DATABASE {database} TEMPLATE {TEMPLATE} OWNER {ADMIN} ALLOW_CONNECTIONS false");
        client.batch_execute(&create).await?;
    }
    client
        .batch_execute(&format!(
            "REVOKE ALL ON DATABASE {database} FROM PUBLIC;
             GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {database};
             ALTER DATABASE {database} WITH ALLOW_CONNECTIONS true;"
        ))
        .await
}

/// Another app can keep a role from being dropped, by granting it something in its own
/// database, where the superuser never goes. Such a role stays, without any use.
async fn drop_role(client: &Client, role: &PgIdent) -> Result<(), tokio_postgres::Error> {
    match client.batch_execute(&format!("DROP ROLE IF EXISTS {role}")).await {
        Err(error) if error.code() == Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {
            client.batch_execute(&format!("ALTER ROLE {role} NOLOGIN PASSWORD NULL CONNECTION LIMIT 0")).await
        }
        result => result,
    }
}
