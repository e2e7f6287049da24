//! What a statement's text gives reason to suspect.
//!
//! Some statements leave state on the server connection that no command tag
//! shows: a temporary table, an advisory lock, a setting of a custom class
//! (which pg_settings hides). Words in the text only raise the suspicion; the
//! server is asked for the truth when the lease ends. A false alarm costs a
//! round trip. What a function does inside its body is not seen.
//!
//! This is no SQL parser, because a parser has to know the grammar of every version of
//! Postgres, and costs more than a round trip for every statement.
//!
//! * `patterns`  the words and patterns
//! * `start`     how statements begin

mod patterns;
mod start;
#[cfg(test)]
mod tests;

use super::comments::{is_white, literals, without_comments};
use super::tail::Tail;
use super::words::{self, Resets};
use patterns::{
    CONTINUED, CUSTOM_TARGET, DO_EXECUTE, DO_SET, ESCAPED, HOLDS, LIMIT_SET, LISTEN, LOCAL_TARGET,
    MAKES, MAKING, MOMENT, MOMENTS, NOTEWORTHY, PLAIN_TARGET, SET_CONFIG, SET_CONFIG_PLAIN,
    SET_TARGET, SETTINGS_UPDATE, STATE, SUSPICIOUS,
};
pub use start::runs_alone;
use start::{begins_with, may_set, sets_locally, start};

/// The number of bytes of a text that the patterns are matched against; [`Tail`] reads the rest.
const LOOK: usize = 64 * 1024;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// The server has to be asked.
    pub ask: bool,
    /// Settings of custom classes that may have been set.
    pub custom: Vec<Box<str>>,
    /// Time limits that may have been set, even to the value they had.
    pub limits: Vec<Box<str>>,
    /// A setting was made whose name is not in the text.
    pub hidden_setting: bool,
    /// The connection may hold something that ends only with it.
    pub holds: bool,
    /// Settings may differ afterwards, even if only to the end of the transaction.
    pub touches: bool,
    /// LISTEN or UNLISTEN.
    pub listen: bool,
    /// The text has statements that begin with SET, and each ends with its
    /// transaction: their tags are no reason to ask.
    pub local_set: bool,
    /// Settings go back to the value with which the session began.
    pub resets: Option<Resets>,
    /// The text is a DEALLOCATE of this name.
    pub deallocates: Option<Box<[u8]>>,
}

/// What a text gives reason to suspect; `None` for everyday statements.
pub fn suspect(text: &[u8]) -> Option<Box<Suspicion>> {
    let Some((near, _)) = text
        .split_at_checked(LOOK)
        .filter(|(_, far)| !far.is_empty())
    else {
        return look(text);
    };
    let mut suspicion = look(near).unwrap_or_default();
    // The rest may hold a lock, a temporary table, a SET.
    suspicion.ask = true;
    suspicion.local_set = false;
    suspicion.deallocates = None;
    if Tail::behind(0).may_set(text) {
        suspicion.hidden_setting = true;
        suspicion.resets = Some(Resets::Some);
    }
    Some(suspicion)
}

/// Whether a text may make a table although its command tag is that of a SELECT: CREATE TABLE
/// AS, CREATE MATERIALIZED VIEW and SELECT INTO. Other texts may have these words, too.
pub fn makes_table(text: &[u8]) -> bool {
    MAKING.are_in(text) && MAKES.is_in(text)
}

/// Whether a text may have the connection hold something that ends only with it.
pub fn holds(text: &[u8]) -> bool {
    SUSPICIOUS.are_in(text) && HOLDS.is_in(text)
}

/// Whether the constants of a text mean the same at any time. `'now'::timestamptz` is computed
/// when it is parsed (PostgreSQL, "Date/Time Input: Special Values"), and so is `'now()'`, because
/// signs are passed over; a literal with escapes, or one that goes on in the next line, may be
/// that, too.
pub fn is_timeless(text: &[u8]) -> bool {
    let quoted = text.iter().any(|b| matches!(b, b'\'' | b'$'));
    !quoted || !(MOMENTS.are_in(text) && has_moment(text) || goes_on(text))
}

/// Whether a literal of the text may mean the moment at which it is read.
fn has_moment(text: &[u8]) -> bool {
    ESCAPED.are_in(text) || literals(text).any(|literal| MOMENT.is_in(literal))
}

/// Whether a literal goes on in another line: `'no'` and `'w'` are one there.
fn goes_on(text: &[u8]) -> bool {
    let lines = text.iter().any(|b| matches!(b, b'\n' | b'\r'));
    lines && CONTINUED.is_in(text)
}

/// Settings to which a text may give back the value with which the session began. For
/// callers that need nothing else of a [`Suspicion`].
pub fn resets(text: &[u8]) -> Option<Resets> {
    let start = start(text);
    if !may_set(start) && !start.starts_with(b"/*") && !start.starts_with(b"--") {
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
    if !NOTEWORTHY.are_in(text) && !may_set(start(text)) {
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
        // Where a literal ends can be hidden from both readings.
        suspicion.local_set = false;
        for names in [&mut suspicion.custom, &mut suspicion.limits] {
            names.sort_unstable();
            names.dedup();
        }
    }
    (suspicion != Suspicion::default()).then(|| Box::new(suspicion))
}

/// Adds what a text without comments gives reason to suspect.
fn read(text: &[u8], suspicion: &mut Suspicion) {
    if SUSPICIOUS.are_in(text) {
        suspicion.ask |= STATE.is_in(text) || SETTINGS_UPDATE.is_in(text);
        suspicion.listen |= LISTEN.is_in(text);
        suspicion.holds |= HOLDS.is_in(text);
        suspicion.ask |= suspicion.holds;
        set_config(text, suspicion);
        suspicion.touches |= SET_CONFIG.is_in(text) || SETTINGS_UPDATE.is_in(text);
        if contains(text, b"u&\"") {
            (suspicion.ask, suspicion.hidden_setting) = (true, true);
        }
    }
    let start = start(text);
    if begins_with(start, b"do") {
        DO_SET
            .groups(text)
            .for_each(|[name]| custom(name, suspicion));
        suspicion.hidden_setting |= DO_EXECUTE.is_in(text);
        suspicion.touches = true;
    }
    suspicion.touches |= begins_with(start, b"call");
    if may_set(start) {
        if let Some(resets) = words::resets(text) {
            suspicion.resets = Some(Resets::and(suspicion.resets.take(), resets));
        }
        suspicion.limits.extend(names(LIMIT_SET.groups(text)));
        SET_TARGET
            .groups(text)
            .for_each(|[target]| setting(target, suspicion));
    }
}

/// Notes what a SET or RESET is about; `target`: the text behind that word. Whatever is not
/// understood as a whole counts as the name of a custom setting that is hidden.
fn setting(target: &[u8], suspicion: &mut Suspicion) {
    match CUSTOM_TARGET.groups(target).next() {
        _ if LOCAL_TARGET.is_in(target) => {}
        Some([name]) => custom(name, suspicion),
        None => suspicion.hidden_setting |= !PLAIN_TARGET.is_in(target),
    }
}

/// Notes the name of a custom setting.
fn custom(text: &[u8], suspicion: &mut Suspicion) {
    // Postgres cuts names that are longer (NAMEDATALEN), and converts those that are in another
    // encoding.
    const LONGEST: usize = 63;
    match name(text).filter(|_| text.len() <= LONGEST) {
        Some(name) => suspicion.custom.push(name),
        None => suspicion.hidden_setting = true,
    }
}

/// Notes calls of set_config() that last beyond their transaction, or may.
fn set_config(text: &[u8], suspicion: &mut Suspicion) {
    let calls = SET_CONFIG.count(text);
    let mut understood = 0;
    for [set, local] in SET_CONFIG_PLAIN.groups(text) {
        understood += 1;
        if local.eq_ignore_ascii_case(b"false") {
            suspicion.ask = true;
            if set.contains(&b'.') {
                custom(set, suspicion);
            }
        }
    }
    if understood < calls {
        suspicion.ask = true;
        suspicion.hidden_setting = true;
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|w| w.eq_ignore_ascii_case(word))
}

fn names<'t>(found: impl Iterator<Item = [&'t [u8]; 1]>) -> impl Iterator<Item = Box<str>> {
    found.filter_map(|[text]| name(text))
}

/// A setting's name as Postgres compares it.
fn name(text: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(text).ok()?;
    let marks = |c: char| c == '"' || c.is_ascii() && is_white(c as u8);
    Some(text.replace(marks, "").to_ascii_lowercase().into())
}
