//! Claims about the walls between apps: each attack fails, its allowed counterpart works.

mod common;

use std::process::Command;

use addons::Superuser;
use common::{TestCluster, as_unprivileged, connect, open};
use model::{AppNumber, Secret};
use tokio_postgres::error::SqlState;

const A: AppNumber = AppNumber(1);
const B: AppNumber = AppNumber(2);

#[tokio::test]
async fn an_app_can_do_what_its_framework_asks_in_its_own_database() {
    let test = TestCluster::started().await;
    let app = open(&test.cluster.ensure_tenant(A, None).await.expect("tenant")).await;
    for statement in [
        "CREATE TABLE users (id serial PRIMARY KEY, name text)",
        "INSERT INTO users (name) VALUES ('ada')",
        "CREATE VIEW names AS SELECT name FROM users",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TEMP TABLE scratch (id int)",
        "CREATE SCHEMA audit; CREATE TABLE audit.log (id int)",
        "CREATE EXTENSION IF NOT EXISTS pgcrypto; CREATE EXTENSION citext",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE public.again (id int)",
    ] {
        app.works(statement).await;
    }
}

#[tokio::test]
async fn an_app_reaches_no_database_but_its_own() {
    let test = TestCluster::started().await;
    let [a, b] = [A, B].map(|app| test.cluster.ensure_tenant(app, None));
    let (a, b) = (a.await.expect("tenant"), b.await.expect("tenant"));
    let password = a.password.reveal();
    for database in ["d2", "postgres", "template1", "template0", "paas_tenant"] {
        let refused = test.connect(database, "r1", password).await.err().expect(database);
        assert_eq!(refused.code(), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION), "{database}: {refused:?}");
    }
    for (role, password) in [("r2", password), ("r1", b.password.reveal()), ("r1", "")] {
        let database = role.replace('r', "d");
        assert!(test.connect(&database, role, password).await.is_err(), "{role}");
    }
    // Even with the doors of pg_hba.conf open, CONNECT is missing.
    let app = open(&a).await;
    let row = app
        .sql
        .query_one(
            "SELECT has_database_privilege('d1', 'CONNECT'), has_database_privilege('d2', 'CONNECT'),
               has_database_privilege('postgres', 'CONNECT'), has_database_privilege('template1', 'CONNECT, TEMPORARY')",
            &[],
        )
        .await
        .expect("query");
    assert_eq!([0, 1, 2, 3].map(|column| row.get::<_, bool>(column)), [true, false, false, false]);
}

#[tokio::test]
async fn an_app_owns_its_schema_and_not_its_database() {
    let test = TestCluster::started().await;
    let app = open(&test.cluster.ensure_tenant(A, None).await.expect("tenant")).await;
    test.cluster.ensure_tenant(B, None).await.expect("tenant");
    app.works("ALTER SCHEMA public RENAME TO mine; ALTER SCHEMA mine RENAME TO public").await;
    for statement in [
        "ALTER DATABASE d1 RENAME TO mine",
        "ALTER DATABASE d1 CONNECTION LIMIT 1000",
        "ALTER DATABASE d1 OWNER TO r1",
        "ALTER DATABASE d1 SET session_preload_libraries = 'x'",
        "GRANT CONNECT ON DATABASE d2 TO r1",
        "CREATE DATABASE mine",
        "CREATE ROLE mine",
        "ALTER ROLE r1 SUPERUSER",
        "ALTER ROLE r1 CONNECTION LIMIT -1",
        "ALTER ROLE r2 PASSWORD 'x'",
        "SET ROLE paas_admin",
        "SET ROLE postgres",
        "SET ROLE r2",
        "SET temp_file_limit = -1",
        "SET ROLE paas_tenants; ALTER ROLE r2 PASSWORD 'x'",
        "SET ROLE d1; ALTER DATABASE d1 RENAME TO mine",
    ] {
        app.is_denied(statement).await;
        app.works("RESET ROLE").await;
    }
    // Dropping the database from another one is what ownership would allow; from inside it
    // answers "open", so the right itself is asked for.
    let owner = "SELECT pg_has_role('r1', datdba, 'MEMBER') FROM pg_database WHERE datname = 'd1'";
    assert!(!app.sql.query_one(owner, &[]).await.expect("query").get::<_, bool>(0));
    // GRANT without the right to grant is a warning and changes nothing.
    app.works("GRANT CONNECT ON DATABASE d1 TO PUBLIC").await;
    let granted = "SELECT has_database_privilege('r2', 'd1', 'CONNECT')";
    assert!(!app.sql.query_one(granted, &[]).await.expect("query").get::<_, bool>(0));
}

#[tokio::test]
async fn an_app_runs_no_program_and_reads_no_file_of_the_server() {
    let test = TestCluster::started().await;
    let app = open(&test.cluster.ensure_tenant(A, None).await.expect("tenant")).await;
    app.works("CREATE TABLE t (line text)").await;
    for statement in [
        "COPY t FROM PROGRAM 'id'",
        "COPY t FROM '/etc/passwd'",
        "COPY t TO '/tmp/paas-test'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "CREATE EXTENSION file_fdw",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x', 'y'",
        "ALTER SYSTEM SET port = 1",
        "SELECT * FROM pg_authid",
    ] {
        app.is_denied(statement).await;
    }
}

#[tokio::test]
async fn an_app_cannot_end_or_read_its_neighbours_sessions() {
    let test = TestCluster::started().await;
    let tenants = [A, B].map(|app| test.cluster.ensure_tenant(app, None));
    let [a, b] = tenants;
    let (a, b) = (open(&a.await.expect("tenant")).await, open(&b.await.expect("tenant")).await);
    let pid = "SELECT pg_backend_pid()";
    let other: i32 = b.sql.query_one(pid, &[]).await.expect("query").get(0);
    b.works("SELECT 'a secret of b'").await;
    a.is_denied(&format!("SELECT pg_terminate_backend({other})")).await;
    let seen = a.sql.query_one("SELECT query FROM pg_stat_activity WHERE pid = $1", &[&other]).await.expect("query");
    assert_eq!(seen.get::<_, Option<&str>>(0), Some("<insufficient privilege>"));
    b.works("SELECT 1").await;
    let own = open(&test.cluster.ensure_tenant(A, None).await.expect("tenant")).await;
    let own_pid: i32 = own.sql.query_one(pid, &[]).await.expect("query").get(0);
    a.works(&format!("SELECT pg_terminate_backend({own_pid})")).await;
}

#[tokio::test]
async fn an_app_has_its_number_of_connections_and_no_more() {
    let test = TestCluster::started().await;
    let tenant = test.cluster.ensure_tenant(A, None).await.expect("tenant");
    let other = test.cluster.ensure_tenant(B, None).await.expect("tenant");
    let mut open_ones = Vec::new();
    for _ in 0..addons::limits::TENANT_CONNECTIONS_MAX {
        open_ones.push(open(&tenant).await);
    }
    let refused = connect(tenant.url.reveal()).await.err().expect("one too many");
    assert_eq!(refused.code(), Some(&SqlState::TOO_MANY_CONNECTIONS));
    open(&other).await.works("SELECT 1").await;
    let info = test.cluster.info(A).await.expect("info").expect("a database");
    assert_eq!(info.connections, info.connections_max);
}

#[tokio::test]
async fn the_superuser_comes_neither_by_tcp_nor_into_an_apps_database() {
    let test = TestCluster::started().await;
    test.cluster.ensure_tenant(A, None).await.expect("tenant");
    let Superuser::Password(password) = &test.settings.superuser else { panic!("a password") };
    for database in ["postgres", "d1", "template1"] {
        let by_tcp = test.connect(database, "postgres", password.reveal()).await.err().expect(database);
        assert_eq!(by_tcp.code(), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION), "{database}: {by_tcp:?}");
    }
    let by_socket = |database: &str| {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&test.settings.layout.socket_on_host).port(test.settings.port);
        config.user("postgres").password(password.reveal()).dbname(database);
        async move { config.connect(tokio_postgres::NoTls).await.map(drop) }
    };
    assert!(by_socket("postgres").await.is_ok());
    for database in ["d1", "template1", "paas_tenant"] {
        assert!(by_socket(database).await.is_err(), "{database}");
    }
    let wrong = test.seen_with(Superuser::Password(Secret::new("wrong")));
    assert!(wrong.attach(addons::limits::READY_TIMEOUT).await.is_err());
}

#[tokio::test]
async fn peer_superuser_is_the_mapped_user_and_nobody_else() {
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("passwd").expect("a name").name;
    let test = TestCluster::new(Superuser::Peer { system_user: me });
    test.start(&test.cluster).await.expect("the mapped user comes in");
    test.cluster.ensure_tenant(A, None).await.expect("tenant");
    let psql = addons::find_binaries()[0].program("psql");
    let mut attack = Command::new(psql);
    attack.args([
        "-h",
        &test.settings.layout.socket,
        "-p",
        &test.settings.port.to_string(),
        "-U",
        "postgres",
        "-c",
        "SELECT 1",
        "postgres",
    ]);
    as_unprivileged(&mut attack);
    if nix::unistd::geteuid().is_root() {
        let output = attack.output().expect("psql");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("Peer authentication failed"), "{said}");
    }
    // Whoever runs the tests is the stranger once somebody else is the mapped user.
    test.host.end(nix::sys::signal::Signal::SIGINT);
    let strange = test.seen_with(Superuser::Peer { system_user: "somebody-else".to_owned() });
    let refused = test.start(&strange).await.expect_err("a stranger comes in");
    assert!(matches!(refused, addons::ClusterError::Connect(_)), "{refused:?}");
}

#[tokio::test]
async fn a_neighbour_cannot_keep_a_role_alive_that_is_dropped() {
    let test = TestCluster::started().await;
    let a = test.cluster.ensure_tenant(A, None).await.expect("tenant");
    let b = open(&test.cluster.ensure_tenant(B, None).await.expect("tenant")).await;
    b.works("CREATE TABLE bait (id int); GRANT SELECT ON bait TO r1").await;
    test.cluster.drop_tenant(A).await.expect("dropped");
    assert!(connect(a.url.reveal()).await.is_err());
    let left = b.sql.query_one("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'r1'", &[]).await.expect("query");
    assert!(!left.get::<_, bool>(0));
}
