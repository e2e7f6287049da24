//! Slow networks, and streams that come in single bytes: the answers are the same.

use std::time::Duration;

use crate::common::raw::{Message, message, parse, query, run, sync};
use crate::common::relay::{Pace, Way};

use super::stage::Stage;
use super::talk::{End, Talk};

/// Everything that a client may do, in one session.
async fn everything(port: u16) -> Vec<Message> {
    let mut client = Talk::begin(port).await;
    let mut heard = Vec::new();
    let copy = [
        query("copy kept from stdin"),
        message(b'd', b"1\n"),
        message(b'd', b"2\n"),
        message(b'c', b""),
    ];
    let batch = |name: &str, sql: &str| [parse(name, sql), run(name), sync()].concat();
    for said in [
        query("select generate_series(1, 20), repeat('x', 500)"),
        batch("", "select 1"),
        batch("named", "select generate_series(1, 3)"),
        [run("named"), sync()].concat(),
        query("begin; insert into kept values (3)"),
        query("select nothing"),
        query("rollback"),
        copy.concat(),
        query("copy (select n from kept order by n) to stdout"),
        query("set timezone = 'UTC'; show timezone"),
        query("truncate kept"),
    ] {
        match client.ask(&said).await {
            End::Answered(messages) => heard.extend(messages),
            End::Refused(code) => heard.push((b'E', code.into_bytes())),
            end => panic!("{end:?} to {}", String::from_utf8_lossy(&said)),
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_slowly_or_in_single_bytes_is_the_same() {
    let stage = Stage::with("pool_size = 1").await;
    let expected = everything(stage.proxy.port).await;
    for pace in [
        Pace::SingleBytes,
        Pace::Late(Duration::from_millis(5)),
        Pace::Rate(1_000_000),
    ] {
        for relay in [&stage.front, &stage.back] {
            relay.pace(Way::ToServer, pace);
            relay.pace(Way::ToClient, pace);
            let heard = everything(stage.front.port).await;
            assert!(heard == expected, "{pace:?}: {heard:?}");
            relay.heal();
        }
    }
    stage.nothing_is_left("slow networks").await;
}
