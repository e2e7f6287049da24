//! The programs of Postgres itself: pgbench, pg_dump, psql.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Cluster, Proxy, binaries, new_password};

const MODES: [&str; 2] = ["session", "transaction"];

/// A cluster whose version has client programs beside it: pg_dump refuses
/// newer servers.
async fn with_programs() -> (Cluster, Proxy) {
    let all = binaries::all();
    let binaries = all.iter().find(|b| b.bin.join("pgbench").exists());
    let cluster = Cluster::start_with(binaries.expect("pgbench")).await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    for name in ["restored_session", "restored_transaction"] {
        cluster
            .execute(&format!("CREATE DATABASE {name} OWNER app_user"))
            .await;
    }
    let mut builder = Proxy::builder().secret("app", &cluster.secret("app_user", &password));
    for mode in MODES {
        let size = if mode == "session" { 12 } else { 4 };
        let body = format!("secret = \"app\"\npool_mode = \"{mode}\"\npool_size = {size}");
        builder = builder.database(mode, &body);
        let restored = format!("{body}\ndbname = \"restored_{mode}\"");
        builder = builder.database(&format!("restored_{mode}"), &restored);
    }
    let proxy = builder.start().await;
    (cluster, proxy)
}

/// A client program that asks for no password.
fn program(cluster: &Cluster, proxy: &Proxy, name: &str, database: &str) -> Command {
    let mut command = Command::new(cluster.binaries.bin.join(name));
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", proxy.port.to_string())
        .env("PGUSER", "anyone")
        .env("PGDATABASE", database)
        .env_remove("PGPASSWORD")
        .arg("--no-password")
        .stdin(Stdio::null());
    command
}

/// Runs it; what it printed.
async fn succeed(mut command: Command) -> String {
    let (command, output) = tokio::task::spawn_blocking(move || {
        let output = command.output();
        (command, output)
    })
    .await
    .expect("no panic");
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{complaint}");
    said
}

/// pgbench has no --no-password: it never asks unless the server does.
fn pgbench(cluster: &Cluster, proxy: &Proxy, database: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(cluster.binaries.bin.join("pgbench"));
    command
        .args(["-h", "127.0.0.1", "-p", &proxy.port.to_string()])
        .args(["-U", "anyone"])
        .args(arguments)
        .arg(database)
        .stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn pgbench_in_every_protocol() {
    let (cluster, proxy) = with_programs().await;
    succeed(pgbench(&cluster, &proxy, "transaction", &["-i", "-q"])).await;
    for mode in MODES {
        // A thread for each client: pgbench prepares while it blocks, and the
        // client it waits for must be able to go on.
        let clients = "8";
        for protocol in ["simple", "extended", "prepared"] {
            for (transactions, connect) in [("50", None), ("10", Some("-C"))] {
                let mut arguments = vec!["-n", "-c", clients, "-j", clients];
                arguments.extend(["-t", transactions, "-M", protocol]);
                arguments.extend(connect);
                let said = succeed(pgbench(&cluster, &proxy, mode, &arguments)).await;
                let all = clients.parse::<u32>().expect("a number")
                    * transactions.parse::<u32>().expect("a number");
                let processed = format!("transactions actually processed: {all}/{all}");
                assert!(said.contains(&processed), "{mode} {arguments:?}: {said}");
            }
        }
    }
    // TPC-B keeps these equal, whatever was interleaved.
    let sums = "select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) \
         from pgbench_branches), count(*) from pgbench_history";
    let session = proxy.connect("transaction").await;
    let row = session.query_one(sums, &[]).await.expect("the sums");
    assert!(row.get::<_, bool>(0));
    assert_eq!(row.get::<_, i64>(1), 3 * (8 + 8) * (50 + 10));
}

const CONTENT: &str = r#"
    CREATE TABLE parents (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, at timestamptz);
    CREATE TABLE children (parent bigint REFERENCES parents, data jsonb, raw bytea, tags text[]);
    CREATE INDEX ON children USING gin (tags);
    CREATE SEQUENCE counter START 41;
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'select n * 2';
    CREATE VIEW doubled AS SELECT id, twice(id::int) AS double FROM parents;
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ begin new.at := now(); return new; end $$;
    INSERT INTO parents (name, at) SELECT 'n' || g || E'\t\\ü' || chr(10), to_timestamp(g) FROM generate_series(1, 3000) g;
    INSERT INTO children SELECT g, jsonb_build_object('n', g), decode(md5(g::text), 'hex'), ARRAY['a', g::text]
        FROM generate_series(1, 3000) g;
    CREATE TRIGGER stamped BEFORE UPDATE ON parents FOR EACH ROW EXECUTE FUNCTION stamp();
    SELECT nextval('counter'), lo_from_bytea(4711, decode(repeat('c0ffee', 5000), 'hex'));
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_dumped_and_restored_is_the_same() {
    let (cluster, proxy) = with_programs().await;
    let session = proxy.connect("session").await;
    session.batch_execute(CONTENT).await.expect("content");
    session.close().await;
    let dump = async |database: &str, path: &Path| {
        let mut command = program(&cluster, &proxy, "pg_dump", database);
        command.arg("--no-owner").arg("--file").arg(path);
        succeed(command).await;
        let text = std::fs::read_to_string(path).expect("a dump");
        // Newer versions fence the dump in with a random word.
        let fence =
            |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
        text.lines().filter(fence).collect::<Vec<_>>().join("\n")
    };
    for mode in MODES {
        let path = proxy.directory().join(format!("{mode}.sql"));
        let before = dump(mode, &path).await;
        assert!(before.contains("lo_create") && before.lines().count() > 6000);

        let restored = format!("restored_{mode}");
        let mut psql = program(&cluster, &proxy, "psql", &restored);
        psql.args(["-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1"])
            .stdin(File::open(&path).expect("the dump"));
        succeed(psql).await;
        let after = dump(&restored, &proxy.directory().join("again.sql")).await;
        assert!(before == after, "{mode} mode: the dumps differ");
    }
}
