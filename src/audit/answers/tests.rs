//! Answers from logs that are written line by line.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

/// A log with a record for each value, a second apart, by process `proxy`.
fn log(directory: &Path, name: &str, proxy: &str, records: &[Value]) -> PathBuf {
    let mut text = String::new();
    for (n, record) in records.iter().enumerate() {
        let mut line = json!({
            "v": 2, "seq": n + 1, "time": at(n), "proxy": proxy, "prev": "00000000",
        });
        for (key, value) in record.as_object().expect("an object") {
            line[key] = value.clone();
        }
        // Members stand in the order of the contract.
        let start = format!("{{\"v\":2,\"seq\":{},\"time\":{}", n + 1, line["time"]);
        let rest = line.as_object_mut().expect("an object");
        for key in ["v", "seq", "time"] {
            rest.remove(key);
        }
        text += &format!("{start},{}\n", &line.to_string()[1..]);
    }
    let path = directory.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn at(second: usize) -> String {
    format!("2026-01-02T03:04:{second:02}.500000Z")
}

fn credential(version: &str) -> Value {
    json!({ "secret": "prod/orders", "version": version, "user": "app" })
}

fn start(session: &str, client: &str) -> Value {
    json!({
        "event": "session.start", "session": session, "client": client,
        "source": "10.0.0.9:1", "identity": { "method": "network", "subject": "x" },
    })
}

fn used(session: &str, client: &str, version: &str) -> Value {
    json!({
        "event": "credential.use", "session": session, "client": client,
        "database": "orders", "credential": credential(version),
    })
}

fn ends(session: &str, version: &str, first: usize, last: usize) -> Value {
    let second = |n: usize| format!("2026-01-02T03:04:{n:02}Z");
    json!({
        "event": "session.end", "session": session,
        "uses": [{
            "secret": "prod/orders", "version": version, "leases": 1, "transactions": 7,
            "bytes_in": 1, "bytes_out": 1, "first": second(first), "last": second(last), "pids": [1],
        }],
    })
}

fn adopts(version: &str) -> Value {
    json!({ "event": "secret.adopt", "database": "orders", "credential": credential(version) })
}

#[test]
fn a_report_says_who_used_which_version_and_who_holds_an_old_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = log(
        directory.path(),
        "audit.jsonl",
        "h:1",
        &[
            adopts("one"),
            start("1", "api"),
            used("1", "api", "one"),
            start("2", "batch"),
            used("2", "batch", "one"),
            adopts("two"),
            used("1", "api", "two"),
            ends("1", "two", 6, 7),
            json!({ "event": "gap", "reason": "killed", "lost": 3 }),
        ],
    );
    let history = history(&[path], &[], None, |_| {}).expect("read");
    assert_eq!((history.records, history.first), (9, at(0)));
    let shape: Vec<_> = history
        .versions
        .iter()
        .map(|v| (&*v.version, v.newest, v.clients.len(), v.held.len()))
        .collect();
    assert_eq!(shape, [("two", true, 1, 0), ("one", false, 2, 1)]);
    let held = &history.versions[1].held[0];
    assert_eq!((&*held.client, &*held.source), ("batch", "10.0.0.9:1"));
    assert_eq!(history.versions[0].clients["api"].transactions, 7);
    assert_eq!(history.clients["api"].methods["network"], 1);
    assert_eq!(history.gaps.len(), 2);
    assert!(history.gaps[1].why.contains("3 records"));
}

/// What a process held that is gone is held by nobody.
#[test]
fn sessions_end_with_their_process_and_not_with_a_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let records = [adopts("one"), start("1", "api"), used("1", "api", "one")];
    let first = log(directory.path(), "audit.jsonl", "h:1", &records);
    let start_of = [json!({ "event": "gap", "reason": "killed" })];
    let second = log(directory.path(), "audit.jsonl.2", "h:2", &start_of);
    let held = |log: &[PathBuf], beside: &[PathBuf]| {
        let history = history(log, beside, None, |_| {}).expect("read");
        history.versions[0].held.len()
    };
    let (log, command) = (std::slice::from_ref(&first), std::slice::from_ref(&second));
    assert_eq!(held(log, &[]), 1);
    assert_eq!(held(log, command), 1);
    assert_eq!(held(&[first.clone(), second.clone()], &[]), 0);
}

#[test]
fn a_use_is_in_a_span_or_perhaps_or_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = log(
        directory.path(),
        "audit.jsonl",
        "h:1",
        &[
            start("1", "api"),
            used("1", "api", "one"), // at 1.5
            start("2", "api"),
            used("2", "api", "one"), // at 3.5, and goes on
            json!({ "event": "start" }),
            json!({ "event": "start" }),
            json!({ "event": "start" }),
            ends("1", "one", 1, 5),
        ],
    );
    let mut stays = Vec::new();
    history(&[path], &[], None, |stay| stays.push(stay.clone())).expect("read");
    stays.sort_by(|a, b| a.session.cmp(&b.session));
    let [ended, open] = &stays[..] else {
        panic!("two: {stays:?}")
    };
    for (from, until, expected) in [
        (0, 1, Some(false)),
        (0, 2, Some(true)),
        (2, 4, None),
        (4, 6, Some(true)),
        (6, 9, Some(false)),
    ] {
        assert_eq!(
            ended.was_in(&at(from), &at(until)),
            expected,
            "{from} {until}"
        );
    }
    assert_eq!(open.was_in(&at(0), &at(3)), Some(false));
    assert_eq!(open.was_in(&at(3), &at(4)), Some(true));
    assert_eq!(open.was_in(&at(20), &at(30)), None);
}

#[test]
fn a_rotation_is_told_with_the_proof_that_the_old_password_is_dead() {
    let directory = tempfile::tempdir().expect("a directory");
    let step = |step: &str, outcome: &str, reason: &str, version: &str| {
        json!({
            "event": "rotation.step", "step": step, "outcome": outcome, "reason": reason,
            "credential": credential(version),
        })
    };
    let path = log(
        directory.path(),
        "audit.jsonl",
        "h:1",
        &[
            step("begin", "success", "", ""),
            step("createSecret", "success", "", "two"),
            step("setSecret", "failure", "no right", "two"),
            step("begin", "success", "", ""),
            step("createSecret", "success", "", "three"),
            step("finishSecret", "success", "", "three"),
            step("verify", "success", "the old password is refused", "three"),
            step("terminate", "success", "2 sessions ended", "three"),
        ],
    );
    let rotations = history(&[path], &[], None, |_| {}).expect("read").rotations;
    let shape: Vec<_> = rotations
        .iter()
        .map(|r| (&*r.version, &*r.outcome, &*r.old_password, r.emergency))
        .collect();
    let proof = "the old password is refused";
    assert_eq!(
        shape,
        [
            ("two", "failure", "", false),
            ("three", "success", proof, true)
        ]
    );
    assert_eq!(rotations[0].detail, "no right");
}
