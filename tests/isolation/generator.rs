//! Sequences of messages, valid and not, of a seed: the same seed gives the same.

use super::common::raw::{message, parse, query, run, sync};
use super::peer::{call, copy_done, copy_fail, data, flush, terminate};

/// Numbers that look random (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// How a burst ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// Reads what is there, and closes the socket.
    Closed,
    /// Closes the socket at once.
    Abrupt,
    /// Terminate, in the same write.
    Terminate,
    HalfClosed,
    /// Sync and a last question, whose answer is waited for.
    Quiet,
}

pub struct Burst {
    pub bytes: Vec<u8>,
    /// The places where one write ends and the next begins.
    pub pieces: Vec<usize>,
    /// Whether others have their turn between two writes.
    pub yields: bool,
    pub end: End,
    /// Whether the answers are read.
    pub reads: bool,
    /// Whether the client has the other identity.
    pub stranger: bool,
}

const TEXTS: &[&str] = &[
    "select 'hostile'",
    "select 'hostile', pg_sleep(0.01)",
    "select 'hostile' from generate_series(1, 500)",
    "select repeat('hostile', 10000)",
    "select 'hostile' where false",
    "select 1/0",
    "selekt",
    "",
    ";",
    "select 'hostile'; select 'twice'",
    "select 'hostile'; select 1/0; select 'never'",
    "begin",
    "commit",
    "rollback",
    "savepoint s",
    "rollback to s",
    "begin; select 1/0",
    "begin; select 'hostile'; commit",
    "start transaction isolation level serializable",
    "set timezone = 'Asia/Tokyo'",
    "set local timezone = 'Asia/Tokyo'",
    "set work_mem = '77MB'",
    "set search_path = nowhere",
    "set app.tenant = 'hostile'",
    "set role boss",
    "set constraints all deferred",
    "set statement_timeout = '5s'",
    "reset all",
    "reset role",
    "discard all",
    "deallocate all",
    "deallocate a",
    "prepare s1 as select 'hostile by sql'",
    "execute s1",
    "declare c cursor for select 'hostile' from generate_series(1, 50)",
    "fetch 5 from c",
    "listen here",
    "notify here",
    "unlisten *",
    "create temp table if not exists temporary (n int)",
    "insert into t values (1)",
    "delete from t",
    "do $$ begin raise notice 'hostile'; end $$",
    "do $$ begin raise exception 'hostile'; end $$",
    "select pg_try_advisory_lock_shared(1)",
    "show timezone",
    "explain select 1",
    "copy t from stdin",
    "copy t from stdin",
    "copy t from stdin",
    "copy t from stdin (format binary)",
    "copy refusing from stdin",
    "copy at_end from stdin",
    "copy at_commit from stdin",
    "copy nowhere from stdin",
    "copy t to stdout",
    "copy (select 'hostile' from generate_series(1, 200)) to stdout",
    "copy (select 1/(5 - n) from generate_series(1, 9) n) to stdout",
    "copy t from stdin; select 'hostile behind'",
    "copy t from stdin; copy t from stdin",
    "begin; copy t from stdin",
    "copy (select 'hostile') to stdout; copy t from stdin",
];

const NAMES: &[&str] = &["", "", "", "a", "b", "s1"];

fn text(dice: &mut Dice) -> String {
    let text = dice.pick(TEXTS);
    match dice.below(60) {
        // Longer than a read, and than what is looked at closely.
        0 => format!("/* {} */ {text}", "x".repeat(40_000)),
        1 => format!("select '{}'; {text}", "x".repeat(80_000)),
        _ => text.to_owned(),
    }
}

fn bind(dice: &mut Dice) -> Vec<u8> {
    let (portal, name) = (dice.pick(&["", "", "", "p"]), dice.pick(NAMES));
    let mut body = format!("{portal}\0{name}\0\0\0").into_bytes();
    match dice.below(12) {
        0 => body.extend(b"\0\x01\0\0\0\x01x"),
        1 => body.extend(b"\0\x01\xff\xff\xff\xff"),
        _ => body.extend([0, 0]),
    }
    body.extend([0, 0]);
    message(b'B', &body)
}

fn row(dice: &mut Dice) -> Vec<u8> {
    match dice.below(12) {
        0..=3 => data("1\n"),
        4..=6 => data("bad\n"),
        7 => data("1\nbad\n1\n"),
        8 => data(""),
        9 => data("\\.\n"),
        10 => data(&"1\n".repeat(20_000)),
        _ => data("1"),
    }
}

fn one(dice: &mut Dice, out: &mut Vec<u8>) {
    let name = dice.pick(NAMES);
    match dice.below(100) {
        0..=17 => out.extend(query(&text(dice))),
        18..=29 => out.extend(parse(name, &text(dice))),
        30..=39 => out.extend(bind(dice)),
        40..=47 => {
            let rows = dice.pick(&[0_u32, 0, 1, 3]);
            let portal = dice.pick(&["", "", "p"]);
            let body = [portal.as_bytes(), b"\0", &rows.to_be_bytes()].concat();
            out.extend(message(b'E', &body));
        }
        48..=49 => out.extend(run(name)),
        50..=53 => {
            let kind = dice.pick(&["S", "P"]);
            out.extend(message(b'D', format!("{kind}{name}\0").as_bytes()));
        }
        54..=57 => {
            let kind = dice.pick(&["S", "P"]);
            out.extend(message(b'C', format!("{kind}{name}\0").as_bytes()));
        }
        58..=71 => out.extend(sync()),
        72..=75 => out.extend(flush()),
        76..=87 => out.extend(row(dice)),
        88..=91 => out.extend(copy_done()),
        92..=94 => out.extend(copy_fail()),
        95..=97 => {
            // int4pl, pg_backend_pid, current_setting, and none.
            let (oid, arguments): (u32, &[&str]) = dice.pick(&[
                (177, &["1", "2"][..]),
                (2026, &[]),
                (2077, &["work_mem"]),
                (177, &["x"]),
                (0, &[]),
            ]);
            out.extend(call(oid, arguments));
        }
        98 if dice.one_in(4) => out.extend(message(b'y', b"no such message")),
        98 if dice.one_in(4) => out.extend(b"Q\0\0\0\x02"),
        98 if dice.one_in(4) => out.extend(message(b'Q', b"no end")),
        _ => out.extend([parse("", "select 'hostile'"), run(""), sync()].concat()),
    }
}

/// Sequences of COPY that drivers send and such as they must not: data behind a
/// failure, with Sync among them, and questions behind that.
fn copy(dice: &mut Dice, out: &mut Vec<u8>) {
    let table = dice.pick(&["t", "t", "refusing", "at_end", "at_commit"]);
    let sql = format!("copy {table} from stdin");
    match dice.below(3) {
        0 => out.extend(query(&sql)),
        1 => out.extend([parse("", &sql), run("")].concat()),
        _ => out.extend([parse("", &sql), run(""), sync()].concat()),
    }
    for _ in 0..dice.below(6) {
        match dice.below(5) {
            0 | 1 => out.extend(row(dice)),
            2 | 3 => out.extend(sync()),
            _ => out.extend(flush()),
        }
    }
    match dice.below(4) {
        0 => out.extend(copy_fail()),
        1 => {}
        _ => out.extend(copy_done()),
    }
    for _ in 0..dice.below(3) {
        out.extend(sync());
    }
    if dice.one_in(2) {
        out.extend(query("select 'hostile', pg_sleep(0.01)"));
    }
}

impl Burst {
    /// The burst as text, a word a message.
    pub fn shown(&self) -> String {
        let mut words = Vec::new();
        let mut rest = &self.bytes[..];
        while let Some((&[tag, a, b, c, d], after)) = rest.split_first_chunk::<5>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some(body) = length.checked_sub(4).and_then(|n| after.get(..n)) else {
                words.push("(no message)".to_owned());
                break;
            };
            let text: String = String::from_utf8_lossy(body).chars().take(60).collect();
            words.push(format!("{}({})", char::from(tag), text.escape_default()));
            rest = &after[length - 4..];
        }
        let Self {
            end, reads, yields, ..
        } = self;
        let pieces = self.pieces.len();
        format!(
            "{}; {end:?}, reads {reads}, yields {yields}, {pieces} pieces",
            words.join(" ")
        )
    }
}

pub const QUIET: &str = "the last word of the hostile one";

pub fn burst(seed: u64) -> Burst {
    let mut dice = Dice::new(seed);
    let mut bytes = Vec::new();
    for _ in 0..1 + dice.below(12) {
        match dice.below(5) {
            0 => copy(&mut dice, &mut bytes),
            _ => one(&mut dice, &mut bytes),
        }
    }
    let end = match dice.below(10) {
        0 | 1 => End::Closed,
        2 | 3 => End::Abrupt,
        4 | 5 => End::Terminate,
        6 => End::HalfClosed,
        _ => End::Quiet,
    };
    match end {
        End::Terminate => bytes.extend(terminate()),
        End::Quiet => {
            // Whatever is open, this ends it.
            let last = query(&format!("select '{QUIET}'"));
            bytes.extend([sync(), sync(), query("rollback"), last].concat());
        }
        _ => {}
    }
    let pieces = pieces(&mut dice, bytes.len());
    Burst {
        bytes,
        pieces,
        yields: dice.one_in(2),
        end,
        reads: end == End::Quiet || !dice.one_in(6),
        stranger: dice.one_in(3),
    }
}

fn pieces(dice: &mut Dice, length: usize) -> Vec<usize> {
    let mut cuts = match dice.below(5) {
        0 if length < 1500 => (1..length).collect(),
        1 if length < 6000 => {
            let step = 2 + dice.below(9);
            (1..length).step_by(step).collect()
        }
        2 => (0..3).map(|_| dice.below(length.max(1))).collect(),
        3 => (1..length).step_by(1021).collect(),
        _ => Vec::new(),
    };
    cuts.push(length);
    cuts.sort_unstable();
    cuts
}
