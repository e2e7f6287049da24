//! Upgrades that fail, or whose processes are killed.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::scene::{Scene, send};
use crate::common::eventually;

/// Whatever is wrong with the new process, the old one goes on as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_that_fails_changes_nothing() {
    let mut scene = Scene::start("", "").await;
    let session = scene.proxy.connect("app").await;
    let config = fs::read_to_string(scene.proxy.config()).expect("the configuration");
    let wrong = |name: &str, text: &str, mode| (name.to_owned(), text.to_owned(), mode);
    for (expected, script, mode) in [
        wrong("cannot be started", "#!/bin/sh\n", 0o644),
        wrong("ended (exit status: 3)", "#!/bin/sh\nexit 3\n", 0o755),
        wrong("signal: 9", "#!/bin/sh\nkill -9 $$\n", 0o755),
        wrong(
            "what nobody understands",
            "#!/bin/sh\necho nonsense >&0\nsleep 60\n",
            0o755,
        ),
        wrong(
            "was not ready within 0.5 s",
            "#!/bin/sh\nexec sleep 60\n",
            0o755,
        ),
    ] {
        scene.install_script(&script, mode);
        let said = scene.refused(&["--timeout", "500ms"]).await;
        assert!(said.contains(&expected), "{said}");
        assert_eq!(session.value("select 1").await, "1");
        let another = scene.proxy.connect("app").await;
        assert_eq!(another.value("select 2").await, "2");
    }
    scene.install();
    for (expected, text) in [
        ("unknown", format!("{config}\n[nonsense]\n")),
        // It cannot read the certificate, after it has got the sockets.
        (
            "nowhere.crt",
            config.replace(
                "[admin]",
                "certificate = \"nowhere.crt\"\nkey = \"nowhere.key\"\n\n[admin]",
            ),
        ),
        // The log is opened last.
        ("audit", config.replace("audit.jsonl", "stderr")),
        (
            "does not work",
            config.replace("secret = \"app\"", "secret = \"app\"\nport = 1"),
        ),
    ] {
        fs::write(scene.proxy.config(), text).expect("written");
        // The command needs the address and the token of the old one.
        let said = scene.refused(&["--timeout", "20s"]).await;
        assert!(said.contains(expected), "{expected}: {said}");
        fs::write(scene.proxy.config(), &config).expect("written");
        assert_eq!(session.value("select 1").await, "1");
        assert!(
            scene
                .proxy
                .directory()
                .join("socket")
                .read_dir()
                .expect("it")
                .count()
                > 0
        );
        let unix = crate::common::connect(&scene.proxy.unix_dsn("app")).await;
        assert_eq!(unix.expect("its file stays").value("select 2").await, "2");
    }
    scene.audit_holds();
    // Nothing of all that is in the way of one that works.
    scene.upgrade().await;
    session.close().await;
    scene.old_ends().await;
    scene.audit_holds();
}

/// A process that is killed takes its own sessions with it, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_killed_new_process_leaves_the_old_sessions() {
    let mut scene = Scene::start("", "pool_size = 2").await;
    let stays = scene.proxy.connect("app").await;
    stays
        .batch_execute("begin; create table work (n int)")
        .await
        .expect("begun");
    let new = scene.upgrade().await;
    let moved = scene.proxy.connect("app").await;
    assert_eq!(moved.value("select 1").await, "1");
    send(new, Signal::SIGKILL);
    stays
        .batch_execute("insert into work values (1); commit")
        .await
        .expect("it goes on");
    stays.close().await;
    scene.old_ends().await;
    let ends = scene.proxy.audit_of("session.end");
    assert_eq!(ends.len(), 1, "{ends:?}");
    let records = scene.proxy.audit();
    let proxies: Vec<&str> = records.iter().filter_map(|r| r["proxy"].as_str()).collect();
    assert_eq!(
        proxies.first(),
        proxies.last(),
        "the old process has ended the log"
    );
    assert!(proxies.iter().any(|p| p.ends_with(&format!(":{new}"))));
}

/// The old process is killed at any moment of the hand-over. At most its sessions are lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_killed_old_process_takes_no_other_sessions() {
    for delay in [0, 30, 60, 100, 150, 250] {
        let scene = Scene::start("", "").await;
        let old = scene.proxy.pid();
        let upgrade = scene.try_upgrade(&[]);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            send(old, Signal::SIGKILL);
        };
        let (output, ()) = tokio::join!(upgrade, kill);
        let mut scene = scene;
        scene.find_successors();
        if !output.status.success() && scene.successors.is_empty() {
            continue; // it was killed before the new process was ready, which ends with it
        }
        let session = scene.proxy.connect("app").await;
        assert_eq!(session.value("select 1").await, "1");
        session.close().await;
        // It counts no slots of the old process any more.
        eventually("it can be replaced", Duration::from_secs(20), || async {
            let output = scene.try_upgrade(&[]).await;
            output.status.success().then_some(())
        })
        .await;
        scene.find_successors();
    }
}

/// Sessions move while a process is killed: each transaction is done once or not at all, and
/// who was told that it is done is right.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_twice_when_a_process_is_killed() {
    for (round, delay) in [0, 2, 5, 10, 20, 50, 100, 300].into_iter().enumerate() {
        let mut scene = Scene::start("", "pool_size = 4").await;
        let table = "create table done (client int, line int, primary key (client, line)); \
                     grant select, insert on done to public";
        scene.cluster.execute(table).await;
        let mut clients = Vec::new();
        for client in 0..8 {
            let session = scene.proxy.connect("app").await;
            clients.push(tokio::spawn(async move {
                for line in 0.. {
                    let sql = format!("insert into done values ({client}, {line})");
                    match session.batch_execute(&sql).await {
                        Ok(()) if line < 500 => {}
                        Ok(()) => return (line + 1, None),
                        Err(error) => return (line, Some(error)),
                    }
                }
                unreachable!("it ends before")
            }));
        }
        let old = scene.proxy.pid();
        let new = scene.upgrade().await;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let (killed, left) = if round % 2 == 0 {
            (new, old)
        } else {
            (old, new)
        };
        send(killed, Signal::SIGKILL);
        let admin = scene.cluster.superuser().await;
        for (client, task) in clients.into_iter().enumerate() {
            let (told, error) = task.await.expect("no panic");
            // A statement that was sent twice would read 23505.
            let said = error.as_ref().and_then(tokio_postgres::Error::as_db_error);
            assert!(
                said.is_none(),
                "pid {left} is left: {said:?}\n{}",
                scene.proxy.log()
            );
            let lines = format!("select count(*) from done where client = {client}");
            let lines: i32 = admin.value(&lines).await.parse().expect("a number");
            let unsure = i32::from(error.is_some());
            assert!(
                (told..=told + unsure).contains(&lines),
                "{told} told, {lines} done"
            );
        }
    }
}
