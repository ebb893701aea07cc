//! One visit of the superuser: connect by the Unix socket, do something, leave.

use model::Secret;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use super::cluster::{ClusterError, Settings, Superuser};
use crate::limits::{CONNECT_TIMEOUT, TASK_TIMEOUT};

/// The database of the superuser: nothing of an app's ever gets into it.
pub(super) const HOME: &str = "postgres";

/// Connects to `database`, which is [`HOME`] or the template and never an app's, and runs
/// the task. The connection lives as long as the task.
pub(super) async fn visit<T>(
    settings: &Settings,
    database: &'static str,
    task: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
) -> Result<T, ClusterError> {
    let mut config = Config::new();
    config
        .host_path(&settings.layout.socket_on_host)
        .port(settings.port)
        .user("postgres")
        .dbname(database)
        .application_name("paas")
        // "is already a member" at each start would fill the log.
        .options("-c client_min_messages=warning")
        .connect_timeout(CONNECT_TIMEOUT);
    if let Superuser::Password(password) = &settings.superuser {
        config.password(Secret::reveal(password));
    }
    let connected = timeout(CONNECT_TIMEOUT, config.connect(NoTls)).await.map_err(|_| ClusterError::Slow)?;
    let (client, connection) = connected.map_err(ClusterError::Connect)?;
    let work = async {
        tokio::pin!(connection);
        let result = tokio::select! {
            result = task(&client) => result,
            // A connection that ends in peace cannot come before the client is dropped.
            Err(error) = &mut connection => Err(error),
        };
        drop(client);
        if result.is_ok() {
            // Says goodbye; what was asked is done whatever comes of it.
            let _ = connection.await;
        }
        result
    };
    timeout(TASK_TIMEOUT, work).await.map_err(|_| ClusterError::Slow)?.map_err(ClusterError::Sql)
}
