//! Limits are measured from the moment that they are about, and a goodbye is
//! not an interruption.
//!
//! Tried:
//! * query_timeout and a pipeline, each part of which is within its time: Query
//!   three times, batches with a Sync each, one batch, several statements in one
//!   text, with rows in between;
//! * what is still answered when Terminate comes: Query, a batch with and without
//!   Sync, COPY, several transactions, one that is left open; the same with the
//!   write side closed. What it did is there, or is not, as at Postgres; and with
//!   the write side closed the answers come;
//! * a Terminate behind an open batch, which needs to wait for nothing;
//! * names of statements and portals of 16 KiB and more, in every message that
//!   has one;
//! * a first packet that is none: a Terminate, lengths that cannot be.

use std::time::{Duration, Instant};

use super::common::raw::{close, message, parse, query, run, start_up, sync};
use super::peer::{Answer, Peer, copy_done, data, describe, flush, terminate};
use super::world::{Case, Kind, Place, Verdict, case, in_two_ways, judge, same};

fn sleep(by: usize) -> Vec<u8> {
    let sql = "select pg_sleep(1)";
    let batch = [parse("", sql), run("")].concat();
    match by {
        0 => query(sql).repeat(3),
        1 => [batch, sync()].concat().repeat(3),
        2 => [batch.repeat(3), sync()].concat(),
        3 => query(&[sql; 3].join("; ")),
        _ => query(
            "select pg_sleep(1) from generate_series(1, 1); select pg_sleep(0.9); select pg_sleep(0.9)",
        ),
    }
}

async fn pipeline(place: Place, by: usize) -> Verdict {
    let mut a = place.peer().await?;
    a.send(&sleep(by)).await?;
    let mut all = Answer::default();
    for _ in 0..if by < 2 { 3 } else { 1 } {
        all.0.extend(a.ready().await?.0);
    }
    match all.error() {
        Some(error) => Err(format!("{error}, in {all}")),
        None => same(all.rows().len(), 3, &format!("rows of {all}")),
    }
}

/// A query that is over its time is still ended, behind others that were not.
async fn still_ended(place: Place) -> Verdict {
    if place.is_direct() {
        return Ok(());
    }
    let mut a = place.peer().await?;
    a.send(
        &[
            query("select pg_sleep(1)").repeat(2),
            query("select pg_sleep(60)"),
        ]
        .concat(),
    )
    .await?;
    for _ in 0..2 {
        same(
            a.ready().await?.error(),
            None,
            "one that is not over its time",
        )?;
    }
    same(
        a.ready().await?.sqlstate().as_deref(),
        Some("57014"),
        "one that is",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_query_has_its_time() {
    let names = [
        "Query",
        "batches",
        "one batch",
        "one text",
        "one text of others",
    ];
    let mut cases: Vec<Case> = Vec::new();
    for (by, name) in names.into_iter().enumerate() {
        let one = case(name, move |place| pipeline(place, by));
        cases.push(one.keys("pool_size = 1\nquery_timeout = \"2s\""));
    }
    cases.push(case("still ended", still_ended).keys("pool_size = 1\nquery_timeout = \"2s\""));
    judge(Kind {
        setup: "",
        cases,
        beside: 18,
    })
    .await;
}

/// The messages before the goodbye; `{k}` is the number of the case.
fn work(by: usize, place: &Place) -> Vec<u8> {
    let insert = |seconds: &str| {
        place.own(&format!(
            "insert into log select {{k}} from pg_sleep({seconds})"
        ))
    };
    let batch = |sql: &str| [parse("", sql), run("")].concat();
    match by {
        0 => query(&insert("1")),
        1 => [batch(&insert("1")), sync()].concat(),
        2 => batch(&insert("1")),
        3 => [batch(&insert("1")), flush()].concat(),
        4 => query(&insert("0.4")).repeat(3),
        5 => [query("begin"), query(&insert("0.8")), query("commit")].concat(),
        6 => [query("begin"), query(&insert("0.8"))].concat(),
        7 => {
            let row = data(&place.own("{k}\n"));
            [
                query("copy log from stdin"),
                row,
                copy_done(),
                query(&insert("0.8")),
            ]
            .concat()
        }
        8 => [query("copy log from stdin"), data(&place.own("{k}\n"))].concat(),
        9 => [
            parse("n", &insert("0.8")),
            sync(),
            run("n"),
            sync(),
            run("n"),
            sync(),
        ]
        .concat(),
        10 => [query("select pg_sleep(0.8)"), query(&insert("0"))].concat(),
        _ => query(&insert("0")),
    }
}

const WORK: [&str; 12] = [
    "Query",
    "batch",
    "batch without Sync",
    "batch and Flush",
    "Queries",
    "transaction",
    "open transaction",
    "COPY",
    "open COPY",
    "named",
    "behind another",
    "quick",
];

async fn says_goodbye(place: Place, by: usize, half: bool) -> Verdict {
    let mut seen = Vec::new();
    let mut oracle = place.direct().await?;
    let mut peer = place.peer().await?;
    let count = place.own("select count(*) from log where n = {k}");
    let mut admin = place.direct().await?;
    for peer in [&mut oracle, &mut peer] {
        admin
            .run(&place.own("delete from log where n = {k}"))
            .await?;
        let mut sent = work(by, &place);
        if !half {
            sent.extend(terminate());
        }
        peer.send(&sent).await?;
        if half {
            peer.half_close().await;
        }
        let (answers, end) = peer.rest().await;
        // What is sent with a Terminate need not be answered.
        // Whether anybody is there to read them pgvalet finds out by saying again
        // what the client knows, at most twice.
        let answers = if half {
            let said = answers.to_string();
            let again = ["S(DateStyle ISO, MDY)*2 ", "S(DateStyle ISO, MDY) "];
            again.iter().fold(said, |said, s| said.replace(s, ""))
        } else {
            String::new()
        };
        // It may be at work still, where nobody listens any more.
        let idle = "select count(*) from pg_stat_activity where query like 'insert into log%' and state = 'active' \
            and pid <> pg_backend_pid()";
        let deadline = Instant::now() + Duration::from_secs(5);
        while admin.said(&place.own(idle)).await != "0" && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut rows = admin.said(&count).await;
        // Behind another it has not begun.
        let later = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < later {
            tokio::time::sleep(Duration::from_millis(100)).await;
            rows = admin.said(&count).await;
        }
        seen.push(format!("{rows} rows, {end}, {answers}"));
    }
    let at_pgvalet = seen.pop();
    same(at_pgvalet, seen.pop(), "what is left, and was answered")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_interrupts_nothing() {
    let ways = ["Terminate", "the write side closed"];
    let mut cases = in_two_ways(WORK, ways, says_goodbye);
    // What Postgres says of this one, nobody waits for.
    cases.retain(|case| case.name != "open COPY, the write side closed");
    judge(Kind {
        setup: "create table log (n int); grant all on log to public",
        cases,
        beside: 24,
    })
    .await;
}

/// The goodbye waits for nothing: of many, the quickest says so.
async fn no_wait(place: Place, by: usize) -> Verdict {
    let mut quickest = Duration::MAX;
    for _ in 0..8 {
        let mut peer = place.peer().await?;
        let open = match by {
            0 => [parse("", "select 1"), run("")].concat(),
            1 => parse("", "select 1"),
            2 => [parse("", "selekt"), run("")].concat(),
            _ => query("copy log from stdin"),
        };
        let began = Instant::now();
        peer.send(&[open, terminate()].concat()).await?;
        peer.rest().await;
        quickest = quickest.min(began.elapsed());
    }
    match quickest < Duration::from_millis(400) {
        true => Ok(()),
        false => Err(format!("the socket stays for {quickest:?} at the least")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_in_an_open_batch_waits_for_nothing() {
    let names = ["Execute", "Parse", "an error", "COPY"];
    let cases = (0..names.len()).map(|by| case(names[by], move |place| no_wait(place, by)));
    judge(Kind {
        setup: "create table log (n int); grant all on log to public",
        cases: cases.collect(),
        beside: 2,
    })
    .await;
}

async fn long_name(place: Place, length: usize, by: usize) -> Verdict {
    let name = "x".repeat(length);
    let sql = "select 'mine'";
    let portal = message(b'B', format!("{name}\0\0\0\0\0\0\0\0").as_bytes());
    let of_portal = |tag| message(tag, format!("P{name}\0").as_bytes());
    let execute = message(b'E', format!("{name}\0\0\0\0\0").as_bytes());
    let batch = match by {
        0 => [parse(&name, sql), run(&name), sync()].concat(),
        1 => [parse("", sql), portal, execute, sync()].concat(),
        2 => [run(&name), sync(), query(sql)].concat(),
        3 => [describe(&name), sync(), query(sql)].concat(),
        4 => [close(&name), sync()].concat(),
        5 => [parse(&name, sql), sync()].concat().repeat(2),
        6 => query(&format!("prepare {name} as {sql}")),
        7 => [
            parse(&name, sql),
            sync(),
            query(&format!("deallocate {name}")),
        ]
        .concat(),
        8 => [
            parse("", sql),
            portal,
            of_portal(b'D'),
            of_portal(b'C'),
            sync(),
        ]
        .concat(),
        _ => [execute, sync(), query(sql)].concat(),
    };
    let batch = [batch, query("select 'the end'")].concat();
    let mut seen = Vec::new();
    for mut peer in [place.direct().await?, place.peer().await?] {
        // It may hang up in the middle.
        let _ = peer.send(&batch).await;
        let (mut all, mut ended) = (Answer::default(), "");
        while !all.rows().iter().any(|row| row == "the end") {
            match peer.ready().await {
                Ok(more) => all.0.extend(more.0),
                // Postgres takes no more than 10,000 bytes of some messages.
                Err(fault) if fault.contains("nothing more") => return Err(fault),
                Err(fault) => {
                    all = Answer::default();
                    ended = match fault.contains("too long") {
                        true => "ends with an error",
                        false => "ends",
                    };
                    break;
                }
            }
        }
        seen.push(format!("{}{ended}", shape(&all)));
    }
    let (at_pgvalet, at_postgres) = (seen.pop(), seen.pop());
    // It may say why, where Postgres says nothing.
    let both_end =
        [&at_pgvalet, &at_postgres].map(|s| s.as_deref().is_some_and(|s| s.starts_with("ends")));
    match both_end {
        [true, true] => Ok(()),
        _ => same(at_pgvalet, at_postgres, "the answers"),
    }
}

/// Tags and SQLSTATEs; texts have a long name in them, which may be cut.
fn shape(answer: &Answer) -> String {
    let code = |body: &[u8]| {
        let code = body.split(|b| *b == 0).find(|f| f.first() == Some(&b'C'));
        String::from_utf8_lossy(code.unwrap_or_default()).into_owned()
    };
    let words = answer
        .0
        .iter()
        .filter(|(tag, _)| *tag != b'N')
        .map(|(tag, body)| match tag {
            b'E' => format!("E({})", code(body)),
            _ => char::from(*tag).to_string(),
        });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_name_is_a_name() {
    let ways = [
        "statement",
        "portal",
        "Bind of none",
        "Describe of none",
        "Close of none",
        "taken",
        "PREPARE",
        "DEALLOCATE",
        "portal, described",
        "Execute of none",
    ];
    let mut cases: Vec<Case> = Vec::new();
    for length in [9_000, 16_383, 16_384, 20_000, 70_000, 1_000_000] {
        for (by, way) in ways.into_iter().enumerate() {
            // A text of more than 64 KiB is not looked at for what it deallocates.
            if way == "DEALLOCATE" && length > 60_000 {
                continue;
            }
            cases.push(case(format!("{way} of {length}"), move |place| {
                long_name(place, length, by)
            }));
        }
    }
    judge(Kind {
        setup: "",
        cases,
        beside: 8,
    })
    .await;
}

const FIRST: &[(&str, &[u8])] = &[
    ("Terminate", b"X\0\0\0\x04"),
    ("Sync", b"S\0\0\0\x04"),
    ("length 0", b"\0\0\0\0"),
    ("length 1", b"\0\0\0\x01"),
    ("length 4", b"\0\0\0\x04"),
    ("length 7", b"\0\0\0\x07\0\0\0"),
    ("length 10005", b"\0\0\x27\x15\0\x03\0\0"),
    ("length of a gigabyte", b"\x40\0\0\0\0\x03\0\0"),
    ("negative length", b"\xff\xff\xff\xff\0\x03\0\0"),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("Query", b"Q\0\0\0\x0dselect 1\0"),
];

async fn first(place: Place, n: usize) -> Verdict {
    let (_, bytes) = FIRST[n];
    let mut seen = Vec::new();
    for port in [place.cluster().port, place.proxy().port] {
        let mut peer = Peer::open(port).await?;
        peer.send(bytes).await?;
        let (answer, end) = peer.rest().await;
        // A reset is the end as well: something was left unread.
        let end = if end.contains("lost") {
            "the connection was closed".to_owned()
        } else {
            end
        };
        seen.push(format!("{answer}{end}"));
    }
    let at_pgvalet = seen.pop();
    same(at_pgvalet, seen.pop(), "the answer")
}

/// The goodbye comes behind a login that has begun.
async fn no_greeting(place: Place) -> Verdict {
    let mut peer = Peer::open(place.proxy().port).await?;
    let packet = start_up(0x0003_0000, &[("user", "alice"), ("database", place.id())]);
    peer.send(&packet[..packet.len() - 3]).await?;
    peer.half_close().await;
    let (answer, end) = peer.rest().await;
    same(
        format!("{answer}{end}"),
        "the connection was closed".to_owned(),
        "half a packet",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_speak_the_protocol_is_told_nothing() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, (name, _)) in FIRST.iter().enumerate() {
        cases.push(case(*name, move |place| first(place, n)).pooled_by_transaction());
    }
    cases.push(case("half a packet", no_greeting).pooled_by_transaction());
    judge(Kind {
        setup: "",
        cases,
        beside: 16,
    })
    .await;
}
