//! Changes of the master key: while a store is served, and interrupted.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{PGVALET, pgvalet};
use crate::place::{Place, shown, text};
use crate::served::Served;

const SECRETS: usize = 40;

/// A store with a few secrets, and values that tell which is which.
async fn filled() -> Place {
    let place = Place::new();
    let vault = place.open().await.unwrap();
    for n in 0..SECRETS {
        let name = format!("s{n}");
        let created = vault.create(name.clone(), None, text(&format!("old {n}")), None);
        created.await.unwrap();
        let put = vault.put(name, text(&format!("value {n}")), vec![], None);
        put.await.unwrap();
    }
    place
}

async fn assert_whole(place: &Place, when: &str) {
    let vault = place.open().await.unwrap_or_else(|e| panic!("{when}: {e}"));
    for n in 0..SECRETS {
        for (stage, value) in [("AWSCURRENT", "value"), ("AWSPREVIOUS", "old")] {
            let got = vault.get(format!("s{n}"), None, Some(stage.into())).await;
            let got = got.unwrap_or_else(|e| panic!("{when}, s{n}: {e}"));
            assert_eq!(shown(&got.value), format!("{value} {n}"), "{when}");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_open_goes_on_under_its_new_key() {
    let place = filled().await;
    let serving = place.open().await.unwrap();
    let old = fs::read_to_string(place.key()).unwrap();
    for round in 0..3 {
        let before = fs::read_to_string(place.key()).unwrap();
        let said = place.ok(&["store", "rekey"], "");
        assert!(said.contains("80 values are under the new key"), "{said}");
        assert_ne!(fs::read_to_string(place.key()).unwrap(), before);
        let got = serving.get("s1".into(), None, None).await.unwrap();
        assert_eq!(shown(&got.value), "value 1");
        let name = format!("new{round}");
        serving
            .create(name.clone(), None, text("x"), None)
            .await
            .unwrap();
        assert_eq!(place.ok(&["secret", "get", &name, "--reveal"], ""), "x\n");
        place.ok(&["secret", "delete", &name, "--now"], "");
    }
    assert_whole(&place, "after three keys").await;
    assert!(!place.path("store.key.next").exists());

    // The old key opens nothing here any more.
    fs::write(place.key(), &old).unwrap();
    let refused = place.open().await.err().unwrap().to_string();
    assert!(refused.contains("does not open the store"), "{refused}");
    let kept = fs::read_dir(place.directory()).unwrap();
    let kept = kept.filter(|e| {
        let name = e.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("store.key.old-")
    });
    assert_eq!(kept.count(), 3);
}

/// Reads and writes go on while keys change under them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_rekey() {
    let place = filled().await;
    let serving = place.open().await.unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopping = stop.clone();
    let client = tokio::spawn(async move {
        let mut done = 0_u64;
        while !stopping.load(std::sync::atomic::Ordering::Relaxed) {
            let got = serving.get(format!("s{}", done % 40), None, None).await;
            assert!(shown(&got.unwrap().value).starts_with("value"));
            let put = serving.put("s0".into(), text("value 0"), vec![], None);
            put.await.unwrap();
            done += 1;
        }
        done
    });
    for _ in 0..5 {
        let output =
            tokio::task::block_in_place(|| pgvalet(&place.config(), &["store", "rekey"], ""));
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(client.await.unwrap() > 0);
}

#[tokio::test]
async fn a_rekey_that_is_killed_loses_nothing() {
    let place = filled().await;
    let mut finished = 0;
    for round in 0..60_u64 {
        let mut child = Command::new(PGVALET)
            .arg("--config")
            .arg(place.config())
            .args(["store", "rekey"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From before it has read anything to after it has ended.
        let until = Instant::now() + Duration::from_micros(round * 700);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(100));
        }
        let _ = child.kill();
        finished += u64::from(child.wait().unwrap().success());
        assert_whole(&place, &format!("killed in round {round}")).await;
    }
    let said = place.ok(&["store", "rekey"], "");
    assert!(said.contains("values are under the new key"), "{said}");
    assert!(!place.path("store.key.next").exists());
    assert_whole(&place, "in the end").await;
    assert!(finished < 60, "no rekey was interrupted");
}

/// The states that a kill can leave, one by one.
#[tokio::test]
async fn every_state_of_an_interrupted_rekey_is_opened() {
    let place = filled().await;
    let (key, next) = (place.key(), place.path("store.key.next"));
    let old = fs::read(&key).unwrap();

    // Before the commit: the next key is there and opens nothing yet.
    place.ok(&["store", "rekey"], "");
    let new = fs::read(&key).unwrap();
    fs::rename(&key, &next).unwrap();
    write_private(&key, &old);
    // After the commit: this is that state, and opening ends it.
    assert_whole(&place, "after the commit").await;
    assert_eq!(fs::read(&key).unwrap(), new);
    assert!(!next.exists());

    // The same, ended by a second rekey, which does no more than that.
    fs::rename(&key, &next).unwrap();
    write_private(&key, &old);
    let said = place.ok(&["store", "rekey"], "");
    assert!(said.contains("interrupted is finished"), "{said}");
    assert_eq!(fs::read(&key).unwrap(), new);

    // Before the commit: a next key of which the store knows nothing.
    write_private(&next, &old);
    assert_whole(&place, "before the commit").await;
    assert_eq!(fs::read(&key).unwrap(), new);
    place.ok(&["store", "rekey"], "");
    assert_eq!(fs::read(&key).unwrap(), old, "the next key is taken");
    assert_whole(&place, "after it was taken").await;
}

fn write_private(path: &std::path::Path, content: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    std::io::Write::write_all(&mut file, content).unwrap();
}

#[tokio::test]
async fn an_altered_value_stops_a_rekey_and_nothing_is_changed() {
    let place = filled().await;
    rusqlite::Connection::open(place.database())
        .unwrap()
        .execute(
            "UPDATE version SET data_key = zeroblob(60) WHERE id = 7",
            [],
        )
        .unwrap();
    let key = fs::read(place.key()).unwrap();
    let output = pgvalet(&place.config(), &["store", "rekey"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("of the secret s3") && said.contains("was altered"),
        "{said}"
    );
    assert_eq!(fs::read(place.key()).unwrap(), key);
    let vault = place.open().await.unwrap();
    let got = vault.get("s1".into(), None, None).await.unwrap();
    assert_eq!(shown(&got.value), "value 1");
}

#[tokio::test]
async fn keys_come_from_the_environment_and_move_there() {
    let place = filled().await;
    let run = |args: &[&str], key: Option<&str>| {
        let mut command = Command::new(PGVALET);
        command.arg("--config").arg(place.config()).args(args);
        if let Some(key) = key {
            command.env("STORE_KEY", key);
        }
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let one = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";
    let (code, _, err) = run(&["store", "rekey", "--to", "env:STORE_KEY"], None);
    assert!(
        code == Some(1) && err.contains("cannot put one there"),
        "{err}"
    );
    let (code, out, err) = run(&["store", "rekey", "--to", "env:STORE_KEY"], Some(one));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("key = \"env:STORE_KEY\""), "{out}");

    let (code, _, err) = run(&["secret", "list"], Some(one));
    assert!(
        code == Some(1) && err.contains("does not open the store"),
        "{err}"
    );
    let text = fs::read_to_string(place.config()).unwrap();
    let key_file = format!("key_file = {:?}", place.key());
    fs::write(
        place.config(),
        text.replace(&key_file, "key = \"env:STORE_KEY\""),
    )
    .unwrap();
    let (code, out, err) = run(&["secret", "get", "s5", "--reveal"], Some(one));
    assert_eq!((code, out.as_str()), (Some(0), "value 5\n"), "{err}");
    let (code, _, err) = run(&["secret", "list"], None);
    assert!(
        code == Some(1) && err.contains("STORE_KEY is missing"),
        "{err}"
    );
    let (code, _, err) = run(&["secret", "list"], Some("c2hvcnQ="));
    assert!(code == Some(1) && err.contains("holds no key"), "{err}");
    assert!(!err.contains("c2hvcnQ"), "a key is never shown");
    // A key that pgvalet cannot write is replaced with --to only.
    let (code, _, err) = run(&["store", "rekey"], Some(one));
    assert!(
        code == Some(1) && err.contains("name it with --to"),
        "{err}"
    );
    let (code, _, err) = run(&["store", "rekey", "--to", "vault:x"], Some(one));
    assert!(code == Some(2) && err.contains("--to"), "{err}");
}

/// The secrets of access keys are sealed like values.
#[tokio::test]
async fn access_keys_are_recognised_under_every_key() {
    let place = Place::new();
    let served = Served::start(&place);
    let client = served.client();
    let created = client.create_secret().name("a").secret_string("one");
    created.send().await.unwrap();
    for round in 0..3 {
        place.ok(&["store", "rekey"], "");
        let got = client.get_secret_value().secret_id("a").send().await;
        assert_eq!(got.unwrap().secret_string(), Some("one"), "round {round}");
    }
    place.ok(&["store", "principal", "disable", "p"], "");
    let refused = client.get_secret_value().secret_id("a").send().await;
    let code = refused.unwrap_err().into_service_error();
    assert_eq!(code.meta().code(), Some("UnrecognizedClientException"));
    place.ok(&["store", "principal", "enable", "p"], "");
    drop(served);
    // Interrupted behind its commit: whoever opens it ends it.
    let (key, next) = (place.key(), place.path("store.key.next"));
    let old = fs::read(&key).unwrap();
    place.ok(&["store", "rekey"], "");
    fs::rename(&key, &next).unwrap();
    write_private(&key, &old);
    let vault = place.open().await.unwrap();
    assert_eq!(vault.principals().await.unwrap().len(), 1);
    drop(vault);
    assert!(!next.exists());
}
