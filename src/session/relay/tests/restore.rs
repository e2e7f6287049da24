//! What a client brought is set anew behind its RESET, and it is told once.

use super::messages::{Say, frame, readable};
use crate::session::relay::fuzz::{Cuts, Session};

fn says(session: &mut Session, sql: &'static str) -> Vec<String> {
    readable(&session.client_says(&Say::Query(sql).bytes(), &Cuts::Nowhere, true, false))
}

fn done(tag: &str) -> Vec<u8> {
    frame(b'C', format!("{tag}\0").as_bytes())
}

fn zone(value: &str) -> Vec<u8> {
    frame(b'S', format!("TimeZone\0{value}\0").as_bytes())
}

/// What the client gets to see of it.
fn seen(session: &mut Session, answers: &[Vec<u8>]) -> Vec<String> {
    readable(&session.server_says(&answers.concat(), &Cuts::Nowhere))
}

/// The answers to what pgvalet sends: one statement, in a portal.
fn set_anew(value: &str, status: &[u8]) -> Vec<Vec<u8>> {
    let parts = [&b"3"[..], b"1", b"2"].map(|tag| frame(tag[0], b""));
    let rest = [
        done("SET"),
        frame(b'3', b""),
        frame(b'3', b""),
        zone(value),
        frame(b'Z', status),
    ];
    [&parts[..], &rest].concat()
}

/// A session that was told of UTC, which it has brought.
fn session() -> Session {
    let mut session = Session::default();
    says(&mut session, "SELECT 1");
    seen(
        &mut session,
        &[done("SELECT 1"), zone("UTC"), frame(b'Z', b"I")],
    );
    session
}

#[test]
fn the_client_is_told_of_the_end_alone() {
    for status in [b"I", b"T"] {
        let mut session = session();
        says(&mut session, "RESET timezone");
        // What comes behind it waits.
        assert!(says(&mut session, "SHOW timezone").is_empty());
        let ready = frame(b'Z', status);
        assert_eq!(
            seen(&mut session, &[done("RESET"), zone("login"), ready]),
            ["C RESET·"]
        );
        let ready = format!("Z {}", char::from(status[0]));
        assert_eq!(seen(&mut session, &set_anew("UTC", status)), [ready]);
        // And goes on then.
        assert_eq!(says(&mut session, "SHOW timezone"), ["Q SHOW timezone·"]);
    }
}

#[test]
fn a_cancel_that_comes_too_late_is_told_and_made_up_for() {
    let mut session = session();
    says(&mut session, "RESET timezone");
    let ready = || frame(b'Z', b"I");
    seen(&mut session, &[done("RESET"), zone("login"), ready()]);
    let cancelled = frame(b'E', b"SERROR\0VERROR\0C57014\0Mcancelled\0\0");
    assert_eq!(
        seen(&mut session, &[cancelled, ready()]),
        [
            "E SERROR·VERROR·C57014·Mcancelled··",
            "S TimeZone·login·",
            "Z I"
        ]
    );
    assert_eq!(says(&mut session, "SELECT 1"), ["Q SELECT 1·"]);
    assert_eq!(
        seen(&mut session, &[done("SELECT 1"), ready()]),
        ["C SELECT 1·"]
    );
    assert_eq!(
        seen(&mut session, &set_anew("UTC", b"I")),
        ["S TimeZone·UTC·", "Z I"]
    );
}

#[test]
fn whoever_brought_nothing_of_it_waits_for_nothing() {
    for (sql, tag) in [("RESET work_mem", "RESET"), ("SET a.b TO DEFAULT", "SET")] {
        let mut session = session();
        says(&mut session, sql);
        assert_eq!(says(&mut session, "SELECT 1"), ["Q SELECT 1·"]);
        assert_eq!(
            seen(&mut session, &[done(tag), frame(b'Z', b"I")]),
            [format!("C {tag}·"), "Z I".to_owned()]
        );
    }
}
