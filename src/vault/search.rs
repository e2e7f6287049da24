//! Searching for secrets, page by page: ListSecrets, and BatchGetSecretValue by
//! filters. Values are not read.

use serde::{Deserialize, Serialize};

use super::VaultError;
use super::secrets::Secret;
use super::storage::PageOf;
use super::tags::{self, Tag};
use super::tx::Tx;

/// A condition on a secret: one of its values has to match.
pub struct Filter {
    pub key: FilterKey,
    /// `!` in front of a value negates it.
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterKey {
    Description,
    Name,
    TagKey,
    TagValue,
    PrimaryRegion,
    OwningService,
    All,
}

impl FilterKey {
    pub const NAMES: [(&'static str, Self); 7] = [
        ("description", Self::Description),
        ("name", Self::Name),
        ("tag-key", Self::TagKey),
        ("tag-value", Self::TagValue),
        ("primary-region", Self::PrimaryRegion),
        ("owning-service", Self::OwningService),
        ("all", Self::All),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    #[default]
    Created,
    Accessed,
    Changed,
    Name,
}

impl SortBy {
    pub const NAMES: [(&'static str, Self); 4] = [
        ("created-date", Self::Created),
        ("last-accessed-date", Self::Accessed),
        ("last-changed-date", Self::Changed),
        ("name", Self::Name),
    ];

    fn of(self, secret: &Secret) -> Key {
        match self {
            Self::Created => Key::Time(secret.created),
            Self::Accessed => Key::Time(secret.accessed.unwrap_or(0)),
            Self::Changed => Key::Time(secret.changed),
            Self::Name => Key::Name(secret.name.clone()),
        }
    }
}

/// The last secret of a page. The next page begins after it, whatever was created
/// or deleted in the meantime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub(super) key: Key,
    pub(super) id: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Key {
    Time(i64),
    Name(String),
}

pub struct Search {
    pub filters: Vec<Filter>,
    pub planned_deletion: bool,
    pub sort_by: SortBy,
    pub descending: bool,
    pub after: Option<Cursor>,
    pub limit: usize,
}

/// A page, and where the next one begins.
pub struct Page {
    pub secrets: Vec<Secret>,
    pub next: Option<Cursor>,
}

/// How many secrets are read at a time.
const BATCH: usize = 256;

pub fn search(tx: &Tx<'_>, search: &Search) -> Result<Page, VaultError> {
    let cursor = |secret: &Secret| Cursor {
        key: search.sort_by.of(secret),
        id: secret.id,
    };
    let mut page = Page {
        secrets: Vec::new(),
        next: None,
    };
    let mut after = search.after.clone();
    loop {
        let batch = tx.rows.page(
            &PageOf {
                planned_deletion: search.planned_deletion,
                sort_by: search.sort_by,
                descending: search.descending,
                after: after.as_ref(),
                limit: BATCH,
            },
            tx.now,
        )?;
        let last = batch.last().map(cursor);
        let all = batch.len() < BATCH;
        for secret in batch {
            if !matches(tx, &secret, &search.filters)? {
                continue;
            }
            if page.secrets.len() == search.limit {
                page.next = page.secrets.last().map(cursor);
                return Ok(page);
            }
            page.secrets.push(secret);
        }
        if all {
            return Ok(page);
        }
        after = last;
    }
}

fn matches(tx: &Tx<'_>, secret: &Secret, filters: &[Filter]) -> Result<bool, VaultError> {
    let tagged = |f: &Filter| {
        matches!(
            f.key,
            FilterKey::TagKey | FilterKey::TagValue | FilterKey::All
        )
    };
    let tags = match filters.iter().any(tagged) {
        true => tags::of(tx, secret.id)?,
        false => Vec::new(),
    };
    Ok(filters.iter().all(|filter| {
        filter
            .values
            .iter()
            .any(|value| match value.strip_prefix('!') {
                Some(value) => !matches_value(secret, &tags, filter.key, value),
                None => matches_value(secret, &tags, filter.key, value),
            })
    }))
}

fn matches_value(secret: &Secret, tags: &[Tag], key: FilterKey, value: &str) -> bool {
    match key {
        FilterKey::Name => secret.name.starts_with(value),
        FilterKey::TagKey => tags.iter().any(|tag| tag.key.starts_with(value)),
        FilterKey::TagValue => tags.iter().any(|tag| tag.value.starts_with(value)),
        FilterKey::Description => has_words(secret.description.as_deref(), value),
        // The region is that of the ARN.
        FilterKey::PrimaryRegion => secret
            .arn
            .split(':')
            .nth(3)
            .is_some_and(|region| region.starts_with(value)),
        // No service creates secrets here.
        FilterKey::OwningService => false,
        FilterKey::All => {
            let of_tags = tags.iter().flat_map(|tag| [tag.key.as_str(), &tag.value]);
            let all = [Some(secret.name.as_str()), secret.description.as_deref()];
            has_words(all.into_iter().flatten().chain(of_tags), value)
        }
    }
}

/// Whether each word of `value` is the beginning of a word of one of the texts,
/// whatever the case. Words are separated by anything but letters and digits, and a
/// capital begins a word: `prod/ordersDb` has three.
fn has_words<'a>(texts: impl IntoIterator<Item = &'a str>, value: &str) -> bool {
    let there: Vec<String> = texts.into_iter().flat_map(words).collect();
    let mut wanted = words(value).peekable();
    wanted.peek().is_some() && wanted.all(|w| there.iter().any(|t| t.starts_with(&w)))
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .flat_map(parts)
        .map(str::to_lowercase)
}

/// Splits a word where the case changes: before a capital that follows a small
/// letter or a digit, and before the last of several capitals that a small letter
/// follows (`RDSProxy`).
fn parts(word: &str) -> Vec<&str> {
    let chars: Vec<(usize, char)> = word.char_indices().collect();
    let mut parts = Vec::new();
    let mut start = 0;
    for (n, &(at, c)) in chars.iter().enumerate().skip(1) {
        let before = chars[n - 1].1;
        let after = chars.get(n + 1).is_some_and(|(_, c)| c.is_lowercase());
        if c.is_uppercase() && (!before.is_uppercase() || after) {
            parts.extend(word.get(start..at));
            start = at;
        }
    }
    parts.extend(word.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_punctuation_and_where_the_case_changes() {
        let of = |text: &str| words(text).collect::<Vec<_>>();
        for (text, found) in [
            ("", vec![]),
            ("/-_", vec![]),
            ("prod/ordersDb", vec!["prod", "orders", "db"]),
            (
                "RDSProxy_for-Team2Blue",
                vec!["rds", "proxy", "for", "team2", "blue"],
            ),
            ("ABC aBC", vec!["abc", "a", "bc"]),
            ("Über alle@Maße", vec!["über", "alle", "maße"]),
        ] {
            assert_eq!(of(text), found, "{text}");
        }
        let has = |text: &str, value: &str| has_words([text], value);
        assert!(has("prod/ordersDb", "DB Ord"));
        assert!(has("prod/ordersDb", "ordersD"));
        assert!(!has("prod/ordersDb", "rders"));
        assert!(!has("prod/ordersDb", "ordersdb"));
        assert!(!has("prod/ordersDb", "db nothing"));
        assert!(!has("prod/ordersDb", "/"));
    }
}
