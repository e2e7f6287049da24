//! Somebody who has the files, or the memory of a running pgvalet, and not the
//! key, finds no value of a secret that is not in use.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pgvalet::vault::Vault;

use crate::cli::PGVALET;
use crate::place::Place;
use crate::served::Served;

const DIRECTORY: &str = "PGVALET_TEST_READS_FROM";

/// Different in every run, so that no build has it in it.
fn canary(name: &str) -> String {
    format!("canary-{name}-{}", uuid::Uuid::new_v4().simple())
}

fn holds(content: &[u8], text: &str) -> bool {
    // Two halves: a copy may be cut by the end of a page.
    let text = text.as_bytes();
    let (a, b) = text.split_at(text.len() / 2);
    let find = |part: &[u8]| content.windows(part.len()).any(|w| w == part);
    find(a) || find(b)
}

fn files_hold(directory: &Path, text: &str) -> bool {
    let mut seen = 0;
    let found = fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") || !path.is_file() {
            return false;
        }
        let content = fs::read(path).unwrap();
        seen += content.len();
        holds(&content, text)
    });
    assert!(found || seen > 4096, "there was something to look at");
    found
}

#[tokio::test]
async fn no_file_holds_a_value() {
    let place = Place::new();
    let (one, two) = (canary("one"), canary("two"));
    place.ok(&["secret", "create", "a", "--any"], &one);
    // Open while values are written: they are in the log, not in the file yet.
    let open = place.open().await.unwrap();
    place.ok(&["secret", "put", "a", "--any"], &two);
    assert!(place.path("store.db-wal").metadata().unwrap().len() > 0);
    let copy = place.path("backup.db");
    place.ok(&["store", "backup", copy.to_str().unwrap()], "");
    place.ok(&["store", "rekey"], "");
    place.ok(&["secret", "delete", "a", "--now"], "");
    for value in [&one, &two] {
        assert!(!files_hold(place.directory(), value));
    }
    drop(open);
    fs::write(place.path("control"), &one).unwrap();
    assert!(
        files_hold(place.directory(), &one),
        "the search finds what is there"
    );
}

/// All memory of a process, as a core dump has it; `None` where the system
/// lets nobody look, which is as good.
#[cfg(target_os = "linux")]
fn memory(pid: u32) -> Option<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut all = Vec::new();
    for line in maps.lines().filter(|l| !l.contains("[v")) {
        let mut words = line.split_whitespace();
        let (range, mode) = (words.next()?, words.next()?);
        // What cannot be written holds the program, which was there before.
        if !mode.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let from = u64::from_str_radix(from, 16).ok()?;
        let to = u64::from_str_radix(to, 16).ok()?;
        memory.seek(SeekFrom::Start(from)).ok()?;
        // Regions may vanish while they are read.
        let _ = Read::take(&mut memory, to - from).read_to_end(&mut all);
    }
    Some(all)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_running_proxy_holds_no_value_that_it_does_not_use() {
    let place = Place::new();
    let (used, unused, previous) = (canary("used"), canary("unused"), canary("previous"));
    let credential = |password: &str| {
        format!(
            "{{\"username\":\"u\",\"password\":\"{password}\",\"host\":\"127.0.0.1\",\"port\":1}}"
        )
    };
    place.ok(&["secret", "create", "a", "--any"], &credential(&previous));
    place.ok(
        &["secret", "put", "a", "--any"],
        "{\"username\":\"u\",\"password\":\"between\"}",
    );
    place.ok(&["secret", "put", "a", "--any"], &credential(&used));
    place.ok(&["secret", "create", "b", "--any"], &credential(&unused));
    let text = fs::read_to_string(place.config()).unwrap();
    let sockets = place.path("s");
    fs::create_dir(&sockets).unwrap();
    let listen = format!(
        "[listen]\naddress = [\"unix:{}\"]\n{text}",
        sockets.display()
    );
    fs::write(place.config(), listen).unwrap();
    let proxy = Command::new(PGVALET)
        .arg("--config")
        .arg(place.config())
        .arg("run")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut proxy = Running(proxy);
    let deadline = Instant::now() + Duration::from_secs(60);
    // The value in use turns up once the proxy has fetched it: that also shows
    // that what is looked for would be found.
    loop {
        assert!(proxy.0.try_wait().unwrap().is_none(), "pgvalet ended");
        let Some(memory) = memory(proxy.0.id()) else {
            eprintln!("the system lets nobody look into pgvalet");
            return;
        };
        for (name, value) in [("unused", &unused), ("previous", &previous)] {
            assert!(!holds(&memory, value), "the {name} value is in memory");
        }
        if holds(&memory, &used) {
            break;
        }
        assert!(Instant::now() < deadline, "the value in use was not found");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A process, and no test, that reads a value and lets go of it.
#[test]
#[ignore = "the reader that a test looks into"]
fn reader() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let place = Path::new(&directory);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let vault = runtime
        .block_on(Vault::open(
            &place.join("store.db"),
            &place.join("store.key"),
        ))
        .unwrap();
    let get = || runtime.block_on(vault.get("a".into(), None, None)).unwrap();
    let mut line = String::new();
    let value = get();
    println!("holding");
    std::io::stdin().read_line(&mut line).unwrap();
    drop(value);
    for _ in 0..10 {
        drop(get());
    }
    println!("dropped");
    std::io::stdin().read_line(&mut line).unwrap();
}

/// Values are wiped when the last who uses them lets go.
#[cfg(target_os = "linux")]
#[test]
fn a_value_is_wiped_after_its_use() {
    let place = Place::new();
    let value = canary("wiped");
    place.ok(&["secret", "create", "a", "--any"], &value);
    let reader = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "leak::reader", "--ignored", "--nocapture"])
        .env(DIRECTORY, place.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = Running(reader);
    let mut input = reader.0.stdin.take().unwrap();
    let mut output = BufReader::new(reader.0.stdout.take().unwrap()).lines();
    let mut until = |word: &str| {
        let said = output.find(|line| line.as_ref().unwrap().ends_with(word));
        assert!(said.is_some(), "the reader did not say {word}");
    };
    until("holding");
    let pid = reader.0.id();
    let Some(before) = memory(pid) else {
        eprintln!("the system lets nobody look into the reader");
        return;
    };
    assert!(holds(&before, &value), "while it is held it is found");
    input.write_all(b"\n").unwrap();
    until("dropped");
    assert!(
        !holds(&memory(pid).unwrap(), &value),
        "it is in memory after its use"
    );
    input.write_all(b"\n").unwrap();
    assert!(reader.0.wait().unwrap().success());
}

/// The whole way of a value through a store that is served: by HTTP, JSON with
/// everything escaped that can be, the disk, and back.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_served_store_keeps_no_value_after_an_answer() {
    let place = Place::new();
    let served = Served::start(&place);
    let client = served.client();
    let mut canaries = Vec::new();
    for n in 0..4 {
        let canary = canary("served");
        let value = format!(
            "{{\"password\":\"{canary}\",\"note\":\"\\\"\\n{}\"}}",
            "x".repeat(9000)
        );
        let name = format!("s{n}");
        let created = client.create_secret().name(&name).secret_string(&value);
        created.send().await.unwrap();
        let got = client
            .get_secret_value()
            .secret_id(&name)
            .send()
            .await
            .unwrap();
        assert_eq!(got.secret_string(), Some(value.as_str()));
        let ids = client.batch_get_secret_value().secret_id_list(&name);
        assert_eq!(ids.send().await.unwrap().secret_values().len(), 1);
        canaries.push(canary);
    }
    // The buffers of the connection go with it.
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let Some(memory) = memory(served.pid()) else {
            eprintln!("the system lets nobody look into pgvalet");
            return;
        };
        // What is looked for would be found: the name of a secret is there.
        assert!(holds(&memory, "arn:aws:secretsmanager:"));
        let left = canaries.iter().filter(|c| holds(&memory, c)).count();
        if left == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{left} values are in memory");
        std::thread::sleep(Duration::from_millis(100));
    }
}
