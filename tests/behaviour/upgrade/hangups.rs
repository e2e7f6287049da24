//! The configuration is read again all the time, and half of the files are wrong.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::ledger::{self, Habit, Ledger};
use crate::common::sampler::Sampler;
use crate::common::{Cluster, Proxy, connect, new_password};

/// The most server connections of any of the files.
const CEILING: u64 = 4;

/// Another file each time: every second one is wrong.
fn file(text: &str, turn: usize) -> String {
    let pool = |size: usize| text.replace("pool_size = 4", &format!("pool_size = {size}"));
    match turn % 12 {
        0 => pool(3),
        1 => String::new(),
        2 => pool(4),
        // Cut off in the middle of a word, as by a disk that is full.
        3 => text[..text.find("network").expect("a rule") + 4].to_owned(),
        4 => {
            pool(2)
                + "\n[[client]]\nname = \"more\"\nnetwork = \"192.0.2.1\"\ndatabases = \"app\"\n"
        }
        5 => format!("{text}\n[nonsense]\n"),
        6 => text.replace(
            "wait_notice = \"0s\"",
            "wait_notice = \"0s\"\nmax_clients = 500",
        ),
        7 => text.replace("pool_size = 4", "pool_size = \"many\""),
        8 => text.replace("pool_size = 4", "pool_size = 4\nserver_lifetime = \"2s\""),
        9 => text.replace(
            "wait_notice",
            "certificate = \"nowhere\"\nkey = \"nowhere\"\nwait_notice",
        ),
        10 => text.replace(
            "pool_size = 4",
            "pool_size = 4\nserver_idle_timeout = \"1s\"",
        ),
        _ => "\0\u{1}\u{2}".to_owned(),
    }
}

async fn hangups(length: Duration) {
    let cluster = Cluster::start().await;
    ledger::create(&cluster).await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "pool_size = 4")
        .start()
        .await;
    let text = fs::read_to_string(proxy.config()).expect("the configuration");
    let sampler = Sampler::start(&cluster).await;
    let habits = [Habit::Stays, Habit::ComesAndGoes].repeat(4);
    let load = Ledger::start(&proxy.dsn("app"), "app", 0, &habits);
    let long = connect(&proxy.dsn("app")).await.expect("connected");
    long.batch_execute("begin; select 1").await.expect("begun");
    let turns = usize::try_from(length.as_millis() / 200).expect("few");
    let mut every = tokio::time::interval(Duration::from_millis(200));
    for turn in 0..turns {
        every.tick().await;
        fs::write(proxy.config(), file(&text, turn)).expect("written");
        proxy.signal(Signal::SIGHUP);
        assert!(!load.broken(), "a client failed\n{}", proxy.log());
    }
    long.batch_execute("commit").await.expect("it goes on");
    let total = load.close(&cluster).await;
    total.unwrap_or_else(|e| panic!("{e}\n{}", proxy.log()));
    sampler.look().await;
    assert!(sampler.most().await <= CEILING, "more than {CEILING}");
    let refused = proxy.log().matches("was not reloaded").count();
    assert!(
        refused > turns / 4,
        "{refused} of {turns} files were refused"
    );
    let reloads = proxy.audit_of("reload").len();
    assert!(reloads > turns / 4, "{reloads} of {turns} files were taken");
    // What is in force in the end is the last file that was right.
    proxy.reload(|_| text).await;
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_all_the_time_disturb_nobody() {
    hangups(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn files_that_change_all_the_time_disturb_nobody_at_length() {
    hangups(Duration::from_mins(1)).await;
}
