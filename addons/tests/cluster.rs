//! Claims about making, starting, losing and keeping a cluster and its databases.

mod common;

use std::process::Command;

use addons::{Cluster, ClusterError, Superuser};
use common::{TestCluster, connect, open};
use model::{AppNumber, Secret};
use nix::sys::signal::Signal;

const A: AppNumber = AppNumber(17);

#[tokio::test]
async fn a_tenant_is_the_same_however_often_it_is_asked_for() {
    let test = TestCluster::started().await;
    let first = test.cluster.ensure_tenant(A, None).await.expect("tenant");
    assert_eq!(first.password.reveal().len(), 64);
    let port = test.settings.port;
    assert_eq!(first.url.reveal(), format!("postgresql://r17:{}@127.0.0.1:{port}/d17", first.password.reveal()));
    open(&first).await.works("CREATE TABLE kept (id int)").await;
    let again = test.cluster.ensure_tenant(A, Some(&first.password)).await.expect("tenant");
    assert_eq!(again, first);
    open(&again).await.works("SELECT * FROM kept").await;
    let renewed = test.cluster.ensure_tenant(A, None).await.expect("tenant");
    assert!(connect(first.url.reveal()).await.is_err(), "an old password still works");
    open(&renewed).await.works("SELECT * FROM kept").await;
}

#[tokio::test]
async fn tenants_asked_for_at_the_same_time_do_not_collide() {
    let test = TestCluster::started().await;
    let password = addons::generate_password().expect("random");
    let ask = || test.cluster.ensure_tenant(A, Some(&password));
    let other = test.cluster.ensure_tenant(AppNumber(18), None);
    let (first, second, other) = tokio::join!(ask(), ask(), other);
    assert_eq!(first.expect("tenant"), second.expect("tenant"));
    other.expect("tenant");
}

#[tokio::test]
async fn a_tenant_is_looked_after_once_in_a_run_of_the_server() {
    let test = TestCluster::started().await;
    let tenant = test.cluster.ensure_tenant(A, None).await.expect("tenant");
    test.host.end(Signal::SIGINT);
    let again = test.cluster.ensure_tenant(A, Some(&tenant.password)).await;
    assert_eq!(again.expect("known without asking a server that is down"), tenant);
    let other = addons::generate_password().expect("random");
    assert!(test.cluster.ensure_tenant(A, Some(&other)).await.is_err(), "another password has to be set");
    test.start(&test.cluster).await.expect("started");
    test.seen_with(test.settings.superuser.clone()).drop_tenant(A).await.expect("dropped by another server");
    test.cluster.attach(addons::limits::READY_TIMEOUT).await.expect("attached");
    open(&test.cluster.ensure_tenant(A, Some(&tenant.password)).await.expect("made anew")).await;
}

#[tokio::test]
async fn a_dropped_tenant_is_gone_although_it_was_in_use() {
    let test = TestCluster::started().await;
    let tenant = test.cluster.ensure_tenant(A, None).await.expect("tenant");
    let client = open(&tenant).await;
    client.works("CREATE TABLE t (id int)").await;
    assert!(test.cluster.info(A).await.expect("info").is_some_and(|info| info.bytes > 0 && info.connections == 1));
    test.cluster.drop_tenant(A).await.expect("dropped");
    assert!(client.sql.batch_execute("SELECT 1").await.is_err());
    assert_eq!(test.cluster.info(A).await.expect("info"), None);
    assert!(connect(tenant.url.reveal()).await.is_err());
    test.cluster.drop_tenant(A).await.expect("dropping again is fine");
    let fresh = open(&test.cluster.ensure_tenant(A, None).await.expect("tenant")).await;
    assert!(fresh.sql.batch_execute("SELECT * FROM t").await.is_err(), "an old table came back");
}

#[tokio::test]
async fn after_kill_minus_9_the_same_command_starts_it_again_with_everything_in_it() {
    let test = TestCluster::started().await;
    let tenant = test.cluster.ensure_tenant(A, None).await.expect("tenant");
    open(&tenant).await.works("CREATE TABLE t AS SELECT 1 AS one").await;
    let argv = test.cluster.prepare().await.expect("argv");
    test.host.end(Signal::SIGKILL);
    assert!(test.data().join("cluster/postmaster.pid").exists());
    // The number of the killed server now belongs to a process that lives.
    let own = format!("{}\n", std::process::id());
    std::fs::write(test.data().join("cluster/postmaster.pid"), own).expect("stale lock");
    // Its children notice its death by themselves; until then they hold the cluster's memory.
    start_until_taken(&test, &argv).await;
    open(&tenant).await.works("SELECT one FROM t").await;
    assert!(!test.data().join("password.new").exists());
}

/// In the sandbox a killed server takes its children along; here they take a moment.
async fn start_until_taken(test: &TestCluster, argv: &[String]) {
    let deadline = std::time::Instant::now() + addons::limits::READY_TIMEOUT;
    loop {
        test.host.start(argv);
        match test.cluster.attach(std::time::Duration::from_secs(5)).await {
            Ok(()) => return,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error:?}"),
        }
        test.host.end(Signal::SIGKILL);
    }
}

#[tokio::test]
async fn a_cluster_left_half_made_is_made_anew() {
    let test = TestCluster::new(Superuser::Password(Secret::new("for this test")));
    let half = test.data().join("cluster.new/base");
    let mut mkdir = Command::new("mkdir");
    mkdir.arg("-p").arg(&half);
    common::as_unprivileged(&mut mkdir);
    assert!(mkdir.status().expect("mkdir").success());
    test.start(&test.cluster).await.expect("started");
    assert!(!half.exists());
}

#[tokio::test]
async fn no_password_is_in_the_words_of_a_command() {
    let password = addons::generate_password().expect("random");
    let test = TestCluster::new(Superuser::Password(password.clone()));
    let argv = test.cluster.prepare().await.expect("argv");
    assert!(!argv.iter().any(|word| word.contains(password.reveal())));
}

#[tokio::test]
async fn a_machine_without_postgresql_is_told_so() {
    let test = TestCluster::new(Superuser::Password(Secret::new("for this test")));
    let none = Cluster::new(test.host.clone(), Vec::new(), test.settings.clone());
    assert!(matches!(none.prepare().await, Err(ClusterError::NotInstalled)));
    test.cluster.prepare().await.expect("made");
    let Err(ClusterError::VersionMissing { cluster }) = none.prepare().await else { panic!("started without a server") };
    assert_eq!(cluster, addons::find_binaries()[0].major.to_string());
}

#[test]
fn the_work_of_a_cluster_can_move_between_threads() {
    fn check(_: impl Send) {}
    let test = TestCluster::new(Superuser::Password(Secret::new("for this test")));
    check(test.cluster.prepare());
    check(test.cluster.attach(addons::limits::READY_TIMEOUT));
    check(test.cluster.ensure_tenant(A, None));
    check(test.cluster.drop_tenant(A));
    check(test.cluster.info(A));
}
