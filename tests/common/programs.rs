//! Load by the programs that people use: pgbench in its modes, psycopg. Each
//! transaction leaves a line, and each program says how many it has done.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::NamedTempFile;

use super::{Cluster, Proxy, binaries, repository, venv};

/// Whether psql gets in, and what it says: the name of the user, or why not.
pub fn psql(dsn: &str) -> (bool, String) {
    let output = binaries::client_program("psql")
        .args(["-X", "-w", "-Atc", "select current_user", dsn])
        .output()
        .expect("psql runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    (output.status.success(), said)
}

/// The table, in the database that secrets of a cluster lead to.
pub async fn create(cluster: &Cluster) {
    let sql = "create table runs (run int); grant select, insert on runs to public";
    cluster.execute(sql).await;
}

/// Runs all of them at one database, at the same time; their errors as text.
pub async fn run(
    cluster: &Cluster,
    proxy: &Proxy,
    database: &str,
    length: Duration,
    first_run: i32,
) -> Result<(), String> {
    let script = script();
    let seconds = length.as_secs().to_string();
    let habits: [&[&str]; 3] = [
        &["-c", "1", "-M", "simple"],
        &["-c", "1", "-M", "prepared"],
        &["-c", "1", "-C"],
    ];
    let mut programs: Vec<(i32, Command)> = (first_run..)
        .zip(habits)
        .map(|(run, habit)| (run, pgbench(proxy, database, &script, &seconds, habit, run)))
        .collect();
    let mut psycopg = Command::new(venv("python"));
    let psycopg_run = first_run + 3;
    psycopg
        .arg(ledger())
        .args([&proxy.dsn(database), &seconds, &psycopg_run.to_string()]);
    programs.push((psycopg_run, psycopg));
    judge(cluster, database, programs).await
}

/// Runs pgbench with so many clients that ask simple queries and so many with prepared
/// statements, of which each keeps its connection; their errors as text.
pub async fn crowd(
    cluster: &Cluster,
    proxy: &Proxy,
    database: &str,
    clients: usize,
    length: Duration,
    first_run: i32,
) -> Result<(), String> {
    let script = script();
    let seconds = length.as_secs().to_string();
    let clients = clients.to_string();
    let programs = (first_run..)
        .zip(["simple", "prepared"])
        .map(|(run, mode)| {
            let habit = ["-c", &clients, "-M", mode];
            (
                run,
                pgbench(proxy, database, &script, &seconds, &habit, run),
            )
        });
    judge(cluster, database, programs.collect()).await
}

fn script() -> NamedTempFile {
    let mut script = NamedTempFile::new().expect("a file");
    script
        .write_all(b"select 1;\ninsert into runs values (:run);\n")
        .expect("written");
    script
}

fn pgbench(
    proxy: &Proxy,
    database: &str,
    script: &NamedTempFile,
    seconds: &str,
    habit: &[&str],
    run: i32,
) -> Command {
    let mut pgbench = binaries::client_program("pgbench");
    let port = proxy.port.to_string();
    pgbench
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "any"])
        .args(["-n", "-R", "100", "-T", seconds])
        .args(habit)
        .args(["-D", &format!("run={run}"), "-f"])
        .arg(script.path())
        .arg(database);
    pgbench
}

/// Runs the programs at the same time, and compares what each says with what it has left.
async fn judge(
    cluster: &Cluster,
    database: &str,
    programs: Vec<(i32, Command)>,
) -> Result<(), String> {
    let ended = join_all(programs.into_iter().map(async |(run, mut program)| {
        let output = tokio::task::spawn_blocking(move || {
            let output = program.stdin(Stdio::null()).output();
            (format!("{program:?}"), output)
        });
        let (name, output) = output.await.expect("no panic");
        let output = output.unwrap_or_else(|e| panic!("{name}: {e}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        (run, name, output.status.success(), said, complaint)
    }))
    .await;
    let admin = cluster.superuser().await;
    let mut wrong = String::new();
    for (run, name, success, said, complaint) in ended {
        let done = done(&said);
        let lines = format!("select count(*) from runs where run = {run}");
        let lines = admin.value(&lines).await;
        if !success || done.as_deref() != Some(&*lines) || lines == "0" {
            wrong +=
                &format!("{database}: {name}: {done:?} told, {lines} applied\n{said}{complaint}\n");
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn ledger() -> PathBuf {
    repository().join("tests/python/ledger.py")
}

/// The number of transactions that pgbench or ledger.py says it has done.
fn done(said: &str) -> Option<String> {
    const PROCESSED: &str = "number of transactions actually processed: ";
    let line = said
        .lines()
        .find_map(|l| l.strip_prefix(PROCESSED))
        .or_else(|| said.lines().next())?;
    Some(line.split('/').next()?.trim().to_owned())
}
