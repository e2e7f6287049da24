//! What a statement's text gives reason to suspect.
//!
//! Some statements leave state on the server connection that no command tag
//! shows: a temporary table, an advisory lock, a setting of a custom class
//! (which pg_settings hides). Words in the text only raise the suspicion; what
//! is true is asked of the server when the lease ends. A false alarm costs a
//! round trip. What is done inside a function's body is not seen.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::Regex;

use super::LIMITS;
use super::comments::{is_white, without_comments};
use super::tail::Tail;
use super::words::{self, Resets};

/// Texts are looked at closely up to this length.
const LOOK: usize = 64 * 1024;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// The server has to be asked.
    pub ask: bool,
    /// Settings of custom classes that may have been set.
    pub custom: Vec<Box<str>>,
    /// Time limits that may have been set, be it to what they were anyway.
    pub limits: Vec<Box<str>>,
    /// A setting was made whose name is not in the text.
    pub hidden_setting: bool,
    /// Settings may be others behind it, be it to the end of the transaction.
    pub touches: bool,
    /// LISTEN or UNLISTEN.
    pub listen: bool,
    /// The text has statements that begin with SET, and each ends with its
    /// transaction: their tags are no reason to ask.
    pub local_set: bool,
    /// Settings go back to where the session began.
    pub resets: Option<Resets>,
    /// The text is a DEALLOCATE of this name.
    pub deallocates: Option<Box<[u8]>>,
}

const WORDS: [&str; 7] = [
    "temp",
    "advisory_",
    "set_config",
    "hold",
    "listen",
    "pg_settings",
    // An identifier with escapes may be any of these.
    "u&\"",
];
/// They begin a comment, behind which anything may stand.
const COMMENTS: [&str; 2] = ["/*", "--"];

static SUSPICIOUS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| words(&WORDS));
static NOTEWORTHY: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| words(&[&WORDS[..], &COMMENTS].concat()));

fn words(words: &[&str]) -> Option<AhoCorasick> {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        // The fastest to run, and for a few words it is small.
        .kind(Some(AhoCorasickKind::DFA))
        .build(words)
        .ok()
}

/// Patterns are constants; `None` cannot happen, and would mean: never suspect.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(&format!("(?i-u){text}")).ok()
}

static STATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"\bcreate\s+(or\s+replace\s+)?((local|global)\s+)?temp(orary)?\b|\binto\s+((local|global)\s+)?temp(orary)?\b|\bpg_temp(_\d+)?\b|\bpg_(try_)?advisory_(un)?lock|\bwith\s+hold\b",
    )
});
static LISTEN: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\b(un)?listen\b"));
static CUSTOM_SET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        // Each part may be quoted or not; letters are any bytes above ASCII too.
        r#"(?:^|;)\s*(?:set|reset)\s+(?:session\s+)?((?:[a-z_\x80-\xff][\w$\x80-\xff]*|"[^"]+")(?:\s*\.\s*(?:[a-z_\x80-\xff][\w$\x80-\xff]*|"[^"]+"))+)"#,
    )
});
static LIMIT_SET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let names = LIMITS.join("|");
    pattern(&format!(r#"(?:^|;)\s*set\s+(?:session\s+)?"?({names})\b"#))
});
static LOCAL_SET: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"^set\s+(local|transaction|constraints)\b"));
/// `UPDATE pg_settings` sets what it updates (a rule of that view).
static SETTINGS_UPDATE: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\bupdate\b[\s\S]*\bpg_settings\b"));
/// In the body of a DO: a setting of a custom class, and what nobody can read.
static DO_SET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r#"\bset\s+(?:session\s+)?((?:[a-z_\x80-\xff][\w$\x80-\xff]*|"[^"]+")(?:\s*\.\s*(?:[a-z_\x80-\xff][\w$\x80-\xff]*|"[^"]+"))+)"#,
    )
});
static DO_EXECUTE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\bexecute\b"));
static SET_CONFIG: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r#"\bset_config"?\s*\("#));
/// The whole call in its plain form: name and is_local as literals.
static SET_CONFIG_PLAIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"\bset_config\s*\(\s*'([^']+)'\s*,\s*(?:'[^']*'|\$\d+(?:\s*::\s*\w+)?|[^(),]*)\s*,\s*(true|false)\s*\)",
    )
});

/// `None` for everyday statements.
pub fn suspect(text: &[u8]) -> Option<Box<Suspicion>> {
    let Some((near, _)) = text
        .split_at_checked(LOOK)
        .filter(|(_, far)| !far.is_empty())
    else {
        return look(text);
    };
    let mut suspicion = look(near).unwrap_or_default();
    // Whatever stands behind: a lock, a temporary table, a SET.
    suspicion.ask = true;
    suspicion.local_set = false;
    suspicion.deallocates = None;
    if Tail::behind(0).may_set(text) {
        suspicion.hidden_setting = true;
        suspicion.resets = Some(Resets::Some);
    }
    Some(suspicion)
}

/// Settings that a text may give back the value with which the session began,
/// where nothing else of it matters.
pub fn resets(text: &[u8]) -> Option<Resets> {
    let start = start(text);
    if !begins(start) && !start.starts_with(b"/*") && !start.starts_with(b"--") {
        return None;
    }
    let found = words::resets(&without_comments(text, false));
    if !text.contains(&b'\\') {
        return found;
    }
    match words::resets(&without_comments(text, true)) {
        None => found,
        Some(resets) => Some(Resets::and(found, resets)),
    }
}

fn look(text: &[u8]) -> Option<Box<Suspicion>> {
    let noteworthy = NOTEWORTHY.as_ref().is_some_and(|w| w.is_match(text));
    if !noteworthy && !begins(start(text)) {
        return None;
    }
    let mut suspicion = Suspicion::default();
    let plain = without_comments(text, false);
    read(&plain, &mut suspicion);
    suspicion.deallocates = words::deallocates(&plain);
    suspicion.local_set = sets_locally(&plain);
    if text.contains(&b'\\') {
        // Where quotes end, and so what is a comment, depends on
        // standard_conforming_strings, which this very text may change.
        let other = without_comments(text, true);
        read(&other, &mut suspicion);
        suspicion.local_set &= sets_locally(&other);
        for names in [&mut suspicion.custom, &mut suspicion.limits] {
            names.sort_unstable();
            names.dedup();
        }
    }
    (suspicion != Suspicion::default()).then(|| Box::new(suspicion))
}

/// Adds what a text without comments gives reason to suspect.
fn read(text: &[u8], suspicion: &mut Suspicion) {
    let words = SUSPICIOUS.as_ref().is_some_and(|w| w.is_match(text));
    let is = |pattern: &Option<Regex>| pattern.as_ref().is_some_and(|p| p.is_match(text));
    if words {
        suspicion.ask |= is(&STATE) || is(&SETTINGS_UPDATE);
        suspicion.listen |= is(&LISTEN);
        set_config(text, suspicion);
        suspicion.touches |= is(&SET_CONFIG) || is(&SETTINGS_UPDATE);
        if contains_word(text, "u&\"") {
            (suspicion.ask, suspicion.hidden_setting) = (true, true);
        }
    }
    if start(text)
        .get(..2)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"do"))
    {
        if let Some(pattern) = &*DO_SET {
            let names = pattern.captures_iter(text);
            suspicion
                .custom
                .extend(names.filter_map(|found| name(&found[1])));
        }
        suspicion.hidden_setting |= is(&DO_EXECUTE);
        suspicion.touches = true;
    }
    if start(text)
        .get(..4)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"call"))
    {
        suspicion.touches = true;
    }
    if begins(start(text)) {
        if let Some(resets) = words::resets(text) {
            suspicion.resets = Some(Resets::and(suspicion.resets.take(), resets));
        }
        if let Some(pattern) = &*LIMIT_SET {
            let names = pattern.captures_iter(text);
            suspicion
                .limits
                .extend(names.filter_map(|found| name(&found[1])));
        }
        if let Some(pattern) = &*CUSTOM_SET {
            for found in pattern.captures_iter(text) {
                suspicion.custom.extend(name(&found[1]));
            }
        }
    }
}

fn contains_word(text: &[u8], word: &str) -> bool {
    let word = word.as_bytes();
    text.windows(word.len())
        .any(|w| w.eq_ignore_ascii_case(word))
}

/// Whether there are statements that begin with SET, and each of them ends with
/// its transaction. A semicolon in quotes makes more statements of a text than
/// there are, and never fewer.
fn sets_locally(text: &[u8]) -> bool {
    let mut any = false;
    for statement in text.split(|b| *b == b';') {
        let statement = start(statement);
        let first = statement.get(..3);
        if first.is_some_and(|first| first.eq_ignore_ascii_case(b"set")) {
            any = true;
            if !LOCAL_SET
                .as_ref()
                .is_some_and(|local| local.is_match(statement))
            {
                return false;
            }
        }
    }
    any
}

fn start(text: &[u8]) -> &[u8] {
    let white = text.iter().position(|b| !is_white(*b));
    &text[white.unwrap_or(text.len())..]
}

/// A SET, RESET, DISCARD or DEALLOCATE stands at the beginning, or may behind a
/// semicolon.
fn begins(start: &[u8]) -> bool {
    let begins = |word: &[u8]| {
        let first = start.get(..word.len());
        first.is_some_and(|first| first.eq_ignore_ascii_case(word))
    };
    let such = match start.first() {
        Some(b's' | b'S') => begins(b"set"),
        Some(b'r' | b'R') => begins(b"reset"),
        Some(b'd' | b'D') => begins(b"discard") || begins(b"deallocate") || begins(b"do"),
        Some(b'c' | b'C') => begins(b"call"),
        _ => false,
    };
    such || behind_semicolon(start)
}

/// Whether there is more than one statement. The semicolon at the end, and the
/// NUL of the message, are everyday.
fn behind_semicolon(text: &[u8]) -> bool {
    memchr::memchr(b';', text).is_some_and(|at| {
        let rest = &text[at + 1..];
        !rest.iter().all(|b| is_white(*b) || *b == 0)
    })
}

/// set_config() that lasts beyond its transaction, or may.
fn set_config(text: &[u8], suspicion: &mut Suspicion) {
    let (Some(call), Some(plain)) = (&*SET_CONFIG, &*SET_CONFIG_PLAIN) else {
        return;
    };
    let calls = call.find_iter(text).count();
    let mut understood = 0;
    for found in plain.captures_iter(text) {
        understood += 1;
        if found[2].eq_ignore_ascii_case(b"false") {
            suspicion.ask = true;
            suspicion
                .custom
                .extend(name(&found[1]).filter(|n| n.contains('.')));
        }
    }
    if understood < calls {
        suspicion.ask = true;
        suspicion.hidden_setting = true;
    }
}

/// A setting's name as Postgres compares it.
fn name(text: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(text).ok()?;
    let marks = |c: char| c == '"' || c.is_ascii() && is_white(c as u8);
    Some(text.replace(marks, "").to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Suspicion {
        suspect(text.as_bytes()).map_or_else(Suspicion::default, |s| *s)
    }

    #[test]
    fn everyday_statements_raise_none() {
        for text in [
            "SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
            "UPDATE t SET a.b = 1 WHERE c = 2",
            "select temp, template, household from sensors",
            "begin; select 1; commit",
            "select pg_advisory_xact_lock(1)",
            "",
        ] {
            assert_eq!(suspect(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn state_that_no_tag_shows() {
        for text in [
            "CREATE TEMP TABLE t (a int)",
            "create temporary view v as select 1",
            "create or replace local temp view v as select 1",
            "select 1 into temp t",
            "create table pg_temp.t (a int)",
            "SELECT pg_advisory_lock(1)",
            "select pg_try_advisory_lock_shared(1)",
            "select pg_advisory_unlock_all()",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        ] {
            assert!(of(text).ask, "{text}");
        }
    }

    #[test]
    fn settings_of_custom_classes_by_their_names() {
        let names = |text| {
            of(text)
                .custom
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("SET app.tenant = 'x'"), ["app.tenant"]);
        assert_eq!(
            names("begin;\n set session App.User to 5; commit"),
            ["app.user"]
        );
        assert_eq!(names("set \"My\".\"x\" = 1"), ["my.x"]);
        assert_eq!(names("set my.\"x\" = 1"), ["my.x"]);
        assert_eq!(names("set \"my\" . x = 1"), ["my.x"]);
        assert_eq!(names("set app.größe = 1"), ["app.größe"]);
        assert_eq!(
            names("select set_config('app.tenant', $1, false)"),
            ["app.tenant"]
        );
        assert_eq!(of("set work_mem = '4MB'"), Suspicion::default());
        let plain = of("select set_config('app.tenant', $1, false)");
        assert!(plain.ask && !plain.hidden_setting);
    }

    #[test]
    fn what_is_white_or_a_comment_hides_nothing() {
        for text in [
            "/* orders-api */ set app.tenant = 'x'",
            "-- orders-api\nset app.tenant = 'x'",
            "set /* the */ app.tenant = 'x'",
            "\u{b}set app.tenant = 'x'",
            "select '--'; /* ; */ set app.tenant = 'x'",
            // One statement more or less, by standard_conforming_strings.
            r"select '\'; /*'; set app.tenant = 'x'; -- */",
        ] {
            let custom = of(text).custom;
            assert!(custom.len() == 1 && &*custom[0] == "app.tenant", "{text}");
        }
        assert!(of("create /* a */ temp table t ()").ask);
        assert_eq!(suspect(b"/* listen, temp */ select 1 -- with hold"), None);
    }

    #[test]
    fn a_setting_beyond_what_is_looked_at_is_hidden() {
        for length in LOOK - 20..LOOK + 20 {
            let long = "x".repeat(length);
            for text in [
                format!("select '{long}'; set a.b = 1"),
                format!("select '{long}', set_config('a.b', 'c', false)"),
            ] {
                let s = of(&text);
                assert!(s.hidden_setting || s.custom.len() == 1, "{length}");
            }
            // Whatever else may stand there is asked for.
            let s = of(&format!("select '{long}'; select pg_advisory_lock(1)"));
            assert!(s.ask && !s.hidden_setting, "{length}");
        }
    }

    /// What is local is no reason to ask, but nothing that is parsed behind it is
    /// known by the profile.
    #[test]
    fn what_touches_settings() {
        for text in [
            "select set_config('app.tenant', $1, true)",
            "SELECT set_config('role', $1::text, TRUE), set_config('a.b', 'c', true)",
            "do $$ begin perform 1; end $$",
            "call p()",
        ] {
            let s = of(text);
            assert!(s.touches && !s.ask, "{text}");
        }
        assert!(!of("select call, docs from t; select 1").touches);
    }

    #[test]
    fn settings_by_other_ways() {
        for text in [
            "update pg_settings set setting = 'x' where name = 'timezone'",
            "with a as (UPDATE pg_catalog.pg_settings set setting = 'x' returning 1) table a",
            r#"select "set_config"('a.b', 'c', false)"#,
            r#"select pg_catalog."set_config"('a.b', 'c', false)"#,
            r#"select U&"set\005fconfig"('a.b', 'c', false)"#,
        ] {
            assert!(of(text).ask, "{text}");
        }
        assert!(of(r#"select U&"set\005fconfig"('a.b', 'c', false)"#).hidden_setting);
        assert!(of(r#"select "set_config"('a.b', 'c', false)"#).hidden_setting);
        assert!(!of("select * from pg_settings").ask);
        assert!(!of("select 1 from pg_proc where proname = 'set_config'").ask);
        let s = of("do $$ begin set app.tenant = 'x'; end $$");
        assert_eq!(s.custom, [Box::from("app.tenant")]);
        assert!(of("DO $$ begin execute 'se' || 't a.b = 1'; end $$").hidden_setting);
        assert!(of("do $$ begin perform set_config(n, v, false); end $$").hidden_setting);
        assert!(!of("do $$ begin perform 1; end $$").hidden_setting);
    }

    #[test]
    fn listening() {
        assert!(of("LISTEN a").listen && of("begin; unlisten *").listen);
        assert!(!of("select * from listen_events, glisten").listen);
    }

    #[test]
    fn a_setting_whose_name_is_hidden() {
        for text in [
            "select set_config($1, $2, false)",
            "select set_config('app.tenant', f(1, true), false)",
            "select set_config('app.tenant', 'x', $1)",
            "select set_config('a.b','c',true), set_config(x, y, z)",
        ] {
            let s = of(text);
            assert!(s.ask && s.hidden_setting, "{text}");
        }
    }

    #[test]
    fn a_set_that_ends_with_its_transaction() {
        assert!(of("SET LOCAL work_mem = '4MB';").local_set);
        assert!(of("set transaction isolation level serializable").local_set);
        assert!(!of("set local a.b = 1; set c.d = 2").local_set);
        assert!(of("begin; set constraints all deferred; set local a.b = 1; commit").local_set);
        assert!(!of("begin; set constraints all deferred; set role boss; commit").local_set);
        assert!(!of(r"set local a.b = '\'; set c.d = 1; --'").local_set);
        assert!(!of("set timezone = 'utc'").local_set);
    }

    #[test]
    fn what_resets_and_what_deallocates() {
        for text in [
            "/* pool */ RESET ALL",
            "-- pool\ndiscard/**/all",
            " reset all;",
        ] {
            assert_eq!(of(text).resets, Some(Resets::All), "{text}");
            assert_eq!(resets(text.as_bytes()), Some(Resets::All), "{text}");
        }
        for text in [
            "select pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
            // Two statements or one, by standard_conforming_strings.
            r"select '\'; reset all; --'",
        ] {
            assert_eq!(of(text).resets, Some(Resets::Some), "{text}");
            assert_eq!(resets(text.as_bytes()), Some(Resets::Some), "{text}");
        }
        for text in ["select 'reset all'", "set timezone = 'utc'", "select 1;"] {
            assert_eq!(resets(text.as_bytes()), None, "{text}");
            assert_eq!(of(text), Suspicion::default(), "{text}");
        }
        assert_eq!(
            of("/**/ deallocate a; -- b").deallocates.as_deref(),
            Some(&b"a"[..])
        );
        assert_eq!(of("deallocate a; select 1").deallocates, None);
    }
}
