//! Takes values out of a [`Section`]. A value that is wrong is noted as a problem, and the
//! default of its key stands in for it, so that reading can go on.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::keys::Kind;
use super::section::{Section, Value, mismatch};
use super::values::secret;
use crate::base::{duration, nonempty};
use crate::secret::SecretId;

/// The longest duration, a year: long enough for anyone, short enough that adding it to a clock
/// never overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl<'p, 'i> Section<'p, 'i> {
    /// The value of a key as `read` understands it, or else the default's; `read` says what is
    /// wrong and what to write.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        if let Some(Value { at, value }) = self.take(key) {
            match read(&value) {
                Ok(value) => return Some(value),
                Err(message) => self.problems.add(&at, format!("{key}: {message}")),
            }
        }
        read(&self.default_of(key)?).ok()
    }

    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.value(key, |value| match value {
            DeValue::String(text) => read(text),
            other => Err(mismatch("text in quotes", other)),
        })
    }

    /// A secret, which may stand behind the name of its store.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<SecretId> {
        let problems = self.problems;
        self.text(key, |text| secret(text, &problems.stores()))
    }

    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let resolve = self.resolve(key);
        self.text(key, |text| nonempty(text).map(|text| resolve(&text)))
    }

    pub(super) fn paths(&mut self, key: &'static str) -> Vec<PathBuf> {
        let resolve = self.resolve(key);
        let paths = self.list(key, |text| nonempty(text).map(|text| resolve(&text)));
        paths.unwrap_or_default()
    }

    /// What makes a path of the text of a key: where that is written, a relative one begins
    /// where the file is.
    pub(super) fn resolve(&self, key: &str) -> impl Fn(&str) -> PathBuf + use<'p> {
        let (problems, written) = (self.problems, self.has(key));
        move |text| match written {
            true => problems.resolve(text),
            false => text.into(),
        }
    }

    /// The files of a certificate and its private key, which need each other.
    pub(super) fn pair(
        &mut self,
        certificate: &'static str,
        key: &'static str,
    ) -> Option<(PathBuf, PathBuf)> {
        match (self.has(certificate), self.has(key)) {
            (true, false) => self.wrong(format!(
                "{certificate} needs its private key; add {key} = \"FILE\""
            )),
            (false, true) => self.wrong(format!(
                "{key} needs its certificate; add {certificate} = \"FILE\""
            )),
            _ => {}
        }
        let (certificate, key) = (self.path(certificate), self.path(key));
        certificate.zip(key)
    }

    /// The meaning of one of the words that the key is defined with.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        debug_assert!(
            matches!(self.kind_of(key), Some(Kind::Words(defined))
                if defined.iter().eq(words.iter().map(|(word, _)| word))),
            "the words of {key} are not those it is defined with"
        );
        self.text(key, |text| word(text, words))
    }

    /// Reads a key that has a default like [`word`](Self::word).
    pub(super) fn choice<T: Copy, const N: usize>(
        &mut self,
        key: &'static str,
        words: [(&str, T); N],
    ) -> T {
        self.word(key, &words).unwrap_or(words[0].1)
    }

    /// Reads `true` or `false`, for a key that has a default.
    pub(super) fn boolean(&mut self, key: &'static str) -> bool {
        let read = |value: &DeValue<'_>| match value {
            DeValue::Boolean(b) => Ok(*b),
            other => Err(mismatch("true or false", other)),
        };
        self.value(key, read).unwrap_or_default()
    }

    /// Reads a whole number within the limits of its definition.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &'static str) -> Option<T> {
        let Some(Kind::Number(least, most)) = self.kind_of(key) else {
            debug_assert!(false, "{key} is not defined as a number");
            return None;
        };
        self.value(key, |value| {
            let n = integer(value)?;
            let allowed = Some(n).filter(|n| (least..=most).contains(n));
            allowed
                .and_then(|n| T::try_from(n).ok())
                .ok_or_else(|| format!("{n} is out of range; write {least} to {most}"))
        })
    }

    /// Reads a duration within the limits of its definition, for a key that has a default.
    pub(super) fn duration(&mut self, key: &'static str) -> Duration {
        let Some(Kind::Duration(least)) = self.kind_of(key) else {
            debug_assert!(false, "{key} is not defined as a duration");
            return Duration::ZERO;
        };
        let read = |text: &str| {
            let value = duration::parse(text)?;
            if (least..=LONGEST).contains(&value) {
                return Ok(value);
            }
            let (least, most) = (duration::format(least), duration::format(LONGEST));
            Err(format!(
                "{text:?} is out of range; write \"{least}\" to \"{most}\""
            ))
        };
        self.text(key, read).unwrap_or_default()
    }

    /// A list of texts, or one text alone. Elements that are wrong are noted each at its own
    /// place, and left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let written = self.take(key);
        let written = written.or_else(|| {
            let value = self.default_of(key)?;
            Some(Value { at: 0..0, value })
        });
        let mut list = Vec::new();
        for (at, item) in self.items(key, written?) {
            let item = match &item {
                DeValue::String(text) => read(text),
                other => Err(mismatch("a list of texts in quotes", other)),
            };
            match item {
                Ok(item) => list.push(item),
                Err(message) => self.problems.add(&at, format!("{key}: {message}")),
            }
        }
        Some(list)
    }

    fn items(&self, key: &str, value: Value<'i>) -> Vec<(Range<usize>, DeValue<'i>)> {
        let Value { at, value } = value;
        let DeValue::Array(array) = value else {
            return vec![(at, value)];
        };
        if array.is_empty() {
            let message = format!("{key}: the list is empty; fill it or leave it out");
            self.problems.add(&at, message);
        }
        let items = array.into_iter();
        items.map(|item| (item.span(), item.into_inner())).collect()
    }
}

/// The meaning of a text that has to be one of several words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(w, _)| *w == text) {
        return Ok(*value);
    }
    let quoted: Vec<String> = words.iter().map(|(w, _)| format!("\"{w}\"")).collect();
    let list = match &quoted[..] {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => quoted.concat(),
    };
    Err(format!("{text:?} is not possible; write {list}"))
}

/// Reads a whole number that is not negative.
pub(super) fn integer(value: &DeValue<'_>) -> Result<u64, String> {
    match value {
        DeValue::Integer(n) => u64::from_str_radix(n.as_str(), n.radix())
            .map_err(|_| "the number is negative or too large".to_owned()),
        other => Err(mismatch("a whole number without quotes", other)),
    }
}
