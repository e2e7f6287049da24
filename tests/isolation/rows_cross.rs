//! Answers that reach somebody else than who asked.
//!
//! A COPY fails, and behind it stand messages whose answers depend on whether
//! the server read them as part of the COPY (then it passes over Flush and
//! Sync) or afterwards (then it answers them). Tried, each in one send and
//! behind CopyInResponse, with a client that stays, one that says goodbye in
//! the same send, and one that vanishes:
//! * a bad row, Sync, Query; two Syncs; Flush among them; many rows and Syncs;
//! * a Sync that is passed over, and one that is answered;
//! * rows, CopyDone and CopyFail behind the failure;
//! * CopyFail before and behind Sync;
//! * COPY by Execute, with Sync in front of the data, behind it, and both;
//! * errors of a trigger for each row, at the end of the statement, and at the
//!   end of the transaction, of a check and of a function, whose CONTEXT names
//!   no COPY, or one that is none;
//! * a COPY that does not begin (no such table; a transaction that has failed);
//! * an empty query behind it, which is how pgvalet itself clears a doubt;
//! * a second COPY behind the one that failed; statements behind it in one text;
//! * binary data that are none; a message that has no place in a COPY;
//! * named statements behind it.
//!
//! The client itself has to see what it sees at Postgres; whoever comes next on
//! the same server connection, its own rows and nothing else.

use super::common::raw::{close, message, parse, query, run, sync};
use super::peer::{Answer, Peer, copy_done, copy_fail, data, flush, terminate};
use super::world::{Case, Kind, Place, Verdict, case, judge, same};

const SETUP: &str = "
create table t (n int);
create function refuse() returns trigger language plpgsql as
    $$ begin raise exception 'refused'; end $$;
create function forge() returns trigger language plpgsql as
    $$ begin raise exception 'refused' using detail = E'x\nCOPY t, line 1'; end $$;
create function checked(int) returns boolean language plpgsql as
    $$ begin perform 'x'::int; return true; end $$;
create table each_row (n int);
create trigger r before insert on each_row for each row execute function refuse();
create table forged (n int);
create trigger r before insert on forged for each row execute function forge();
create table at_end (n int);
create trigger r after insert on at_end for each statement execute function refuse();
create table at_commit (n int);
create constraint trigger r after insert on at_commit initially deferred
    for each row execute function refuse();
create table with_check (n int check (checked(n)));
create table small (n int check (n < 0));
grant all on t, each_row, forged, at_end, at_commit, with_check, small to public;
";

/// The messages of a client: what begins the COPY, and what follows.
struct Sequence {
    name: &'static str,
    copy: Vec<u8>,
    then: Vec<Vec<u8>>,
}

fn sequence(name: &'static str, copy: Vec<u8>, then: impl Into<Vec<Vec<u8>>>) -> Sequence {
    Sequence {
        name,
        copy,
        then: then.into(),
    }
}

fn into(table: &str) -> Vec<u8> {
    query(&format!("copy {table} from stdin"))
}

/// Begins the COPY by Parse, Bind and Execute.
fn execute(table: &str) -> Vec<u8> {
    let sql = format!("copy {table} from stdin");
    [parse("", &sql), run("")].concat()
}

fn bad() -> Vec<u8> {
    data("bad\n")
}

fn good() -> Vec<u8> {
    data("1\n")
}

fn sequences() -> Vec<Sequence> {
    let t = || into("t");
    let synced = || [execute("t"), sync()].concat();
    let named = || [parse("n", "select 'named'"), run("n"), sync()].concat();
    let many = || (0..500).flat_map(|_| [bad(), sync()]).collect::<Vec<_>>();
    vec![
        sequence("bad row, Sync", t(), [bad(), sync()]),
        sequence("bad row, two Syncs", t(), [bad(), sync(), sync()]),
        sequence("bad row, Flush, Sync", t(), [bad(), flush(), sync()]),
        sequence("bad row, Sync, Flush", t(), [bad(), sync(), flush()]),
        sequence("bad rows and Syncs, many", t(), many()),
        sequence("Sync, bad row", t(), [sync(), bad()]),
        sequence("Sync, bad row, Sync", t(), [sync(), bad(), sync()]),
        sequence(
            "row, Sync, bad row, Sync",
            t(),
            [good(), sync(), bad(), sync()],
        ),
        sequence(
            "bad row, Sync, rows, CopyDone",
            t(),
            [bad(), sync(), good(), copy_done()],
        ),
        sequence("bad row, CopyDone, Sync", t(), [bad(), copy_done(), sync()]),
        sequence(
            "bad row, Sync, CopyFail, Sync",
            t(),
            [bad(), sync(), copy_fail(), sync()],
        ),
        sequence(
            "bad row, CopyFail, CopyDone, Sync",
            t(),
            [bad(), copy_fail(), copy_done(), sync()],
        ),
        sequence("CopyFail, Sync", t(), [copy_fail(), sync()]),
        sequence("CopyFail, two Syncs", t(), [copy_fail(), sync(), sync()]),
        sequence("Sync, CopyFail, Sync", t(), [sync(), copy_fail(), sync()]),
        sequence(
            "row, Sync, CopyDone, Sync",
            t(),
            [good(), sync(), copy_done(), sync()],
        ),
        sequence("Execute, bad row, Sync", execute("t"), [bad(), sync()]),
        sequence(
            "Execute, bad row, two Syncs",
            execute("t"),
            [bad(), sync(), sync()],
        ),
        sequence("Execute, Sync, bad row, Sync", synced(), [bad(), sync()]),
        sequence(
            "Execute, Sync, bad row, two Syncs",
            synced(),
            [bad(), sync(), sync()],
        ),
        sequence(
            "Execute, Sync, row, CopyDone, Sync",
            synced(),
            [good(), copy_done(), sync()],
        ),
        sequence(
            "Execute, Sync, bad row, CopyDone, Sync",
            synced(),
            [bad(), copy_done(), sync()],
        ),
        sequence(
            "Execute, Sync, CopyFail, Sync",
            synced(),
            [copy_fail(), sync()],
        ),
        sequence(
            "Execute, Sync, Sync, bad row, Sync",
            [synced(), sync()].concat(),
            [bad(), sync()],
        ),
        sequence("row trigger, Sync", into("each_row"), [good(), sync()]),
        sequence(
            "row trigger, Sync, CopyDone, Sync",
            into("each_row"),
            [good(), sync(), copy_done(), sync()],
        ),
        sequence("forged, Sync", into("forged"), [good(), sync()]),
        sequence(
            "statement trigger, Sync",
            into("at_end"),
            [good(), sync(), copy_done(), sync()],
        ),
        sequence(
            "statement trigger by Execute",
            execute("at_end"),
            [good(), sync(), copy_done(), sync()],
        ),
        sequence(
            "statement trigger by Execute and Sync",
            [execute("at_end"), sync()].concat(),
            [good(), copy_done(), sync()],
        ),
        sequence(
            "deferred trigger, Sync",
            into("at_commit"),
            [good(), sync(), copy_done(), sync()],
        ),
        sequence(
            "deferred trigger by Execute",
            execute("at_commit"),
            [good(), sync(), copy_done(), sync()],
        ),
        sequence(
            "check of a function, Sync",
            into("with_check"),
            [good(), sync()],
        ),
        sequence("check, Sync", into("small"), [good(), sync()]),
        sequence(
            "no such table",
            into("nowhere"),
            [bad(), sync(), copy_done(), sync()],
        ),
        sequence(
            "no such table by Execute",
            execute("nowhere"),
            [sync(), bad(), sync(), copy_done(), sync()],
        ),
        sequence(
            "two statements, bad row, Sync",
            query("copy t from stdin; select 'x'"),
            [bad(), sync()],
        ),
        sequence(
            "two COPYs in one text, bad row, Sync",
            query("copy t from stdin; copy t from stdin"),
            [good(), copy_done(), bad(), sync()],
        ),
        sequence(
            "in a transaction, bad row, Sync",
            query("begin; copy t from stdin"),
            [bad(), sync(), query("rollback")],
        ),
        sequence(
            "bad row, Sync, empty query",
            t(),
            [bad(), sync(), query("")],
        ),
        sequence(
            "bad row, Sync, empty query, Sync",
            t(),
            [bad(), sync(), query(""), sync()],
        ),
        sequence(
            "bad row, Sync, empty by Parse",
            t(),
            [bad(), sync(), parse("", ""), run(""), sync()],
        ),
        sequence(
            "bad row, Sync, COPY, bad row, Sync",
            t(),
            [bad(), sync(), t(), bad(), sync()],
        ),
        sequence("bad row, Sync, named", t(), [bad(), sync(), named()]),
        sequence(
            "bad row, Sync, named twice",
            t(),
            [bad(), sync(), named(), close("n"), named()],
        ),
        sequence(
            "bad row, named without a Sync before",
            t(),
            [bad(), named()],
        ),
        sequence(
            "bad binary data, Sync",
            query("copy t from stdin (format binary)"),
            [data("no binary data at all\n"), sync()],
        ),
        sequence(
            "rows out, Sync",
            query("copy (select 'out') to stdout"),
            [sync(), sync()],
        ),
        sequence(
            "data that nobody waits for",
            query("select 'x'"),
            [data("1\n"), sync(), copy_done(), copy_fail(), sync()],
        ),
        sequence("an error, Sync", query("select 1/0"), [sync(), sync()]),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaves {
    /// Once everything is answered.
    Afterwards,
    /// Terminate stands in the same send.
    Politely,
    Abruptly,
    /// Sends all at once, and no query stands behind the COPY.
    AtOncePolitely,
    AtOnceAbruptly,
}

const END: &str = "select 'end of A'";

async fn crosses(place: Place, n: usize, at_once: bool, leaves: Leaves) -> Verdict {
    let Sequence { name, copy, then } = sequences().swap_remove(n);
    let bare = [&copy[..], &then.concat()].concat();
    let queries = [query("select 'A', pg_sleep(0.3)"), query(END)].concat();
    let then = [then.concat(), queries].concat();

    let mut a = place.peer().await?;
    let mut b = place.peer().await?;
    // In session mode it has the connection from now on.
    a.run("select 1").await?;
    let asks = async |b: &mut Peer| ask(b).await.map_err(|e| format!("B: {e}"));
    match leaves {
        Leaves::Afterwards => {
            let mut oracle = place.direct().await?;
            let wanted = converse(&mut oracle, &copy, &then, at_once).await?;
            oracle.leave().await;
            let seen = async |a: &mut Peer| {
                let seen = converse(a, &copy, &then, at_once).await;
                seen.map_err(|e| format!("A: {e}"))
            };
            // Whether the server takes the fence for COPY data, nobody can say: then
            // the connection is closed, and A hears so.
            if name.contains(", COPY,") && !place.is_session() {
                let lost = async { Ok::<_, String>(seen(&mut a).await) };
                return tokio::try_join!(lost, asks(&mut b)).map(|_| ());
            }
            let seen = if place.is_session() {
                let seen = seen(&mut a).await;
                a.leave().await;
                asks(&mut b).await?;
                seen?
            } else {
                // While A has the connection, and after.
                tokio::try_join!(seen(&mut a), asks(&mut b))?.0
            };
            return same(seen.to_string(), wanted.to_string(), "A");
        }
        Leaves::Politely => a.send(&[copy, then, terminate()].concat()).await?,
        Leaves::Abruptly => a.send(&[copy, then].concat()).await?,
        Leaves::AtOncePolitely => a.send(&[bare, terminate()].concat()).await?,
        Leaves::AtOnceAbruptly => a.send(&bare).await?,
    }
    if matches!(leaves, Leaves::Abruptly | Leaves::AtOnceAbruptly) {
        drop(a);
        return asks(&mut b).await;
    }
    let rest = async { Ok(a.rest().await) };
    tokio::try_join!(rest, asks(&mut b)).map(|_| ())
}

/// Everything up to the end of what is sent.
async fn converse(
    peer: &mut Peer,
    copy: &[u8],
    then: &[u8],
    at_once: bool,
) -> Result<Answer, String> {
    let mut all = Answer::default();
    if at_once {
        peer.send(&[copy, then].concat()).await?;
    } else {
        peer.send(copy).await?;
        peer.send(&flush()).await?;
        // What begins no COPY is answered by an error or a row.
        let first = peer.next().await?;
        all.0.push(first);
        peer.send(then).await?;
    }
    while !all.rows().iter().any(|row| row == "end of A") {
        let more = peer.ready().await;
        let more = more.map_err(|e| format!("{e}; before that {all}"))?;
        all.0.extend(more.0);
    }
    Ok(all)
}

/// Checks that a client gets its own answers, by every protocol, and no others.
async fn ask(peer: &mut Peer) -> Verdict {
    for n in 0..4 {
        let sql = format!("select 'B{n}'");
        let (name, wanted) = (format!("b{n}"), format!("B{n}"));
        for (batch, tags) in [
            (query(&sql), "TDCZ"),
            ([parse("", &sql), run(""), sync()].concat(), "12DCZ"),
            ([parse(&name, &sql), run(&name), sync()].concat(), "12DCZ"),
        ] {
            let answer = peer.ask(&batch).await?;
            let seen = (answer.tags(), answer.rows());
            if seen != (tags.to_owned(), vec![wanted.clone()]) {
                return Err(format!("asked {sql}, and read {answer}"));
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_what_another_asked() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, Sequence { name, .. }) in sequences().iter().enumerate() {
        // They end in the same place, by different ways.
        let [one, other] = match n % 2 {
            0 => [Leaves::Politely, Leaves::AtOnceAbruptly],
            _ => [Leaves::Abruptly, Leaves::AtOncePolitely],
        };
        for (at_once, leaves) in [
            (true, Leaves::Afterwards),
            (false, Leaves::Afterwards),
            (true, one),
            (true, other),
        ] {
            let sent = if at_once { "at once" } else { "by steps" };
            let name = format!("{name}; {sent}, leaves {leaves:?}");
            cases.push(case(name, move |place| crosses(place, n, at_once, leaves)).pooled());
        }
    }
    judge(Kind {
        setup: SETUP,
        cases,
        beside: 12,
    })
    .await;
}

/// A message that has no place in a COPY ends the session; whoever comes next
/// gets a connection that works.
async fn violates(place: Place, tag: u8, body: &'static [u8]) -> Verdict {
    let mut a = place.peer().await?;
    let mut b = place.peer().await?;
    // In session mode it has the connection from now on.
    a.run("select 1").await?;
    let batch = [into("t"), message(tag, body), sync(), query("select 'A'")].concat();
    a.send(&batch).await?;
    let (_, asked) = tokio::join!(a.rest(), ask(&mut b));
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_place_in_a_copy_reaches_nobody() {
    let bodies: [(u8, &'static [u8]); 6] = [
        (b'Q', b"select 'x'\0"),
        (b'P', b"\0select 'x'\0\0\0"),
        (b'E', b"\0\0\0\0\0"),
        (b'C', b"Sx\0"),
        (b'F', b"\0\0\x08\x1e\0\0\0\0\0\0"),
        (b'X', b""),
    ];
    let named = bodies.map(|(tag, body)| {
        let name = format!("{} in a COPY", char::from(tag));
        case(name, move |place| violates(place, tag, body)).pooled()
    });
    judge(Kind {
        setup: SETUP,
        cases: named.into(),
        beside: 12,
    })
    .await;
}
