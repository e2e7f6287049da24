//! The constraints of the service model: lengths, ranges, words. They are checked
//! before an operation runs, and all violations are told at once, as AWS does.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::ApiError;

/// Collects what is wrong with the fields of one request. `at` is the name of a
/// field as AWS writes it in these errors: `secretId`.
#[derive(Default)]
pub struct Check(Vec<String>);

impl Check {
    /// # Errors
    /// ValidationException, if anything was wrong.
    pub fn finish(self) -> Result<(), ApiError> {
        let errors = match self.0.len() {
            0 => return Ok(()),
            1 => "1 validation error".to_owned(),
            n => format!("{n} validation errors"),
        };
        Err(ApiError::new(
            "ValidationException",
            format!("{errors} detected: {}", self.0.join("; ")),
        ))
    }

    fn fault(&mut self, value: Option<&dyn Display>, at: &str, must: impl Display) {
        let value = value.map_or_else(|| "Value".to_owned(), |v| format!("Value '{v}'"));
        self.0.push(format!(
            "{value} at '{at}' failed to satisfy constraint: Member must {must}"
        ));
    }

    pub fn required<T>(&mut self, at: &str, value: Option<&T>) {
        if value.is_none() {
            self.0.push(format!(
                "Value null at '{at}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }

    pub fn text(&mut self, at: &str, value: Option<&String>, length: RangeInclusive<usize>) {
        if let Some(value) = value {
            self.length(Some(value), at, value.chars().count(), length);
        }
    }

    /// Checks the length of a text that no message may show.
    pub fn secret(&mut self, at: &str, length: Option<usize>, allowed: RangeInclusive<usize>) {
        if let Some(length) = length {
            self.length(None, at, length, allowed);
        }
    }

    fn length(
        &mut self,
        value: Option<&dyn Display>,
        at: &str,
        length: usize,
        allowed: RangeInclusive<usize>,
    ) {
        if length < *allowed.start() {
            let least = allowed.start();
            self.fault(
                value,
                at,
                format!("have length greater than or equal to {least}"),
            );
        }
        if length > *allowed.end() {
            let most = allowed.end();
            self.fault(
                value,
                at,
                format!("have length less than or equal to {most}"),
            );
        }
    }

    pub fn number(&mut self, at: &str, value: Option<i64>, allowed: RangeInclusive<i64>) {
        let Some(value) = value else { return };
        if value < *allowed.start() {
            let least = allowed.start();
            self.fault(
                Some(&value),
                at,
                format!("have value greater than or equal to {least}"),
            );
        }
        if value > *allowed.end() {
            let most = allowed.end();
            self.fault(
                Some(&value),
                at,
                format!("have value less than or equal to {most}"),
            );
        }
    }

    pub fn list<T>(&mut self, at: &str, list: Option<&Vec<T>>, allowed: RangeInclusive<usize>) {
        let Some(list) = list else { return };
        if list.len() < *allowed.start() {
            let least = allowed.start();
            self.fault(
                None,
                at,
                format!("have length greater than or equal to {least}"),
            );
        }
        if list.len() > *allowed.end() {
            let most = allowed.end();
            self.fault(
                None,
                at,
                format!("have length less than or equal to {most}"),
            );
        }
    }

    /// Checks that a text is a word of an enumeration.
    pub fn word<T>(&mut self, at: &str, value: Option<&String>, words: &[(&'static str, T)]) {
        let Some(value) = value else { return };
        if !words.iter().any(|(word, _)| word == value) {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.fault(
                Some(value),
                at,
                format!("satisfy enum value set: [{}]", words.join(", ")),
            );
        }
    }

    pub fn characters(
        &mut self,
        at: &str,
        value: Option<&String>,
        pattern: &str,
        allowed: impl Fn(char) -> bool,
    ) {
        if let Some(value) = value
            && !value.chars().all(allowed)
        {
            self.fault(
                Some(value),
                at,
                format!("satisfy regular expression pattern: {pattern}"),
            );
        }
    }

    // Fields that several operations have.

    pub fn secret_id(&mut self, id: Option<&String>) {
        self.required("secretId", id);
        self.text("secretId", id, 1..=2048);
    }

    pub fn token(&mut self, token: Option<&String>) {
        self.text("clientRequestToken", token, 32..=64);
    }

    pub fn next_token(&mut self, token: Option<&String>) {
        self.text("nextToken", token, 1..=4096);
    }
}
