//! Names and ARNs of secrets, and which of them mean the same secret.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A secret as the configuration and the rules name it: a name or an ARN, behind the name of its
/// store and a colon where that is not the default store: `billing:prod/orders`.
#[derive(Clone)]
pub struct SecretId(Arc<Id>);

struct Id {
    text: Arc<str>,
    /// The place at which the id within its store begins.
    within: usize,
}

/// The VersionId of one version: the ClientRequestToken it was created with.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId(Arc<str>);

impl VersionId {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! shown_as_text {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

shown_as_text!(SecretId);
shown_as_text!(VersionId);

// Ids are compared by their text: an id that was taken from a message or an argument is that of
// the configuration, whether or not somebody has told its store from its name.

impl PartialEq for SecretId {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for SecretId {}

impl Hash for SecretId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl PartialOrd for SecretId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SecretId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.text.cmp(&other.0.text)
    }
}

impl SecretId {
    /// A secret of the default store.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        Self(Arc::new(Id { text, within: 0 }))
    }

    /// A secret of the store with this name; `None`: of the default store.
    pub fn of_store(store: Option<&str>, id: &str) -> Self {
        match store {
            None => Self::new(id),
            Some(store) => Self(Arc::new(Id {
                text: format!("{store}:{id}").into(),
                within: store.len() + 1,
            })),
        }
    }

    /// The whole id, with the name of the store.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The name of the store; `None`: the default store.
    pub fn store(&self) -> Option<&str> {
        self.0.text.get(..self.0.within.checked_sub(1)?)
    }

    /// The name or the ARN within the store, as the store itself knows it.
    pub fn within(&self) -> &str {
        self.0.text.get(self.0.within..).unwrap_or_default()
    }

    /// Another secret of the same store.
    pub fn beside(&self, id: &str) -> Self {
        Self::of_store(self.store(), id)
    }

    /// Whether this id means the secret of its store with that name and ARN: it may be the
    /// name, the whole ARN, or the ARN without its six random characters. A secret that
    /// was deleted and created again has other random characters, and is another
    /// secret.
    pub fn means(&self, name: &str, arn: &str) -> bool {
        let id = self.within();
        if id == name || id == arn {
            return true;
        }
        let partial = !is_whole(id) && secret_name(id).is_some();
        partial && arn.strip_suffix(suffix(arn).unwrap_or("")) == Some(id)
    }

    /// Whether an answer about this ARN can be the answer to a question about this
    /// id. A whole ARN stands for one secret only.
    pub fn admits(&self, arn: &str) -> bool {
        !is_whole(self.within()) || self.within() == arn
    }
}

/// The name in an ARN, with the six random characters or without, as the ARN has
/// it. `None`: this is no ARN of a secret.
pub fn secret_name(id: &str) -> Option<&str> {
    let mut parts = id.splitn(7, ':');
    let head = [parts.next()?, parts.next()?, parts.next()?];
    let (_region, _account) = (parts.next()?, parts.next()?);
    let is_secret = head[0] == "arn" && head[2] == "secretsmanager";
    (is_secret && parts.next()? == "secret").then(|| parts.next())?
}

/// Whether an id is an ARN with its six random characters. As in AWS, a name that
/// ends like them is taken to have them.
pub fn is_whole(id: &str) -> bool {
    secret_name(id).is_some_and(|name| suffix(name).is_some_and(|s| s.len() < name.len()))
}

/// The six random characters with their hyphen, if the text ends so: `-AbCdEf`.
fn suffix(text: &str) -> Option<&str> {
    let at = text.len().checked_sub(7)?;
    let end = text.get(at..)?;
    let random = end.strip_prefix('-')?;
    random
        .bytes()
        .all(|b| b.is_ascii_alphanumeric())
        .then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:local:000000000000:secret:prod/db-AbCdEf";

    #[test]
    fn a_whole_arn_means_one_secret_only() {
        let means = |id: &str, name: &str, arn: &str| SecretId::new(id).means(name, arn);
        let partial = ARN.strip_suffix("-AbCdEf").unwrap();
        for id in ["prod/db", partial, ARN] {
            assert!(means(id, "prod/db", ARN), "{id}");
        }
        let again = ARN.replace("AbCdEf", "ZyXwVu");
        assert!(!means(ARN, "prod/db", &again));
        assert!(means(partial, "prod/db", &again));
        // Another secret, whose name ends like the ARN of the first.
        let other = format!("{ARN}-ZyXwVu");
        assert!(!means(ARN, "prod/db-AbCdEf", &other));
        assert!(means("prod/db-AbCdEf", "prod/db-AbCdEf", &other));
        assert!(!means("prod/db", "prod/db-AbCdEf", &other));
        for (id, arn, admits) in [
            (ARN, ARN, true),
            (ARN, again.as_str(), false),
            (ARN, &other, false),
            (partial, &again, true),
            ("prod/db", &again, true),
        ] {
            assert_eq!(SecretId::new(id).admits(arn), admits, "{id} {arn}");
        }
    }

    #[test]
    fn a_store_stands_in_front_and_ids_are_compared_by_their_text() {
        let (plain, of_b) = (SecretId::new(ARN), SecretId::of_store(Some("b"), ARN));
        assert_eq!((plain.store(), plain.within()), (None, ARN));
        assert_eq!((of_b.store(), of_b.within()), (Some("b"), ARN));
        assert_eq!(of_b.as_str(), format!("b:{ARN}"));
        assert_eq!(of_b, SecretId::new(format!("b:{ARN}")));
        assert_ne!(of_b, plain);
        assert_eq!(of_b.beside("x").as_str(), "b:x");
        assert_eq!(plain.beside("x").as_str(), "x");
        // What an ARN stands for does not depend on the store.
        assert!(of_b.means("prod/db", ARN));
        assert!(!of_b.admits(&ARN.replace("AbCdEf", "ZyXwVu")));
    }

    #[test]
    fn what_is_an_arn() {
        assert_eq!(secret_name(ARN), Some("prod/db-AbCdEf"));
        for id in [
            "",
            "prod/db",
            "arn:aws:s3:::b",
            "arn:aws:secretsmanager:r:1:key:x",
        ] {
            assert_eq!(secret_name(id), None, "{id}");
            assert!(!is_whole(id));
        }
        assert!(is_whole(ARN));
        for name in [
            "db",
            "db-abc",
            "-AbCdEf",
            "db-AbCdE!",
            "db-AbCdEfg",
            "é-AbCdE",
        ] {
            let id = format!("arn:aws:secretsmanager:local:000000000000:secret:{name}");
            assert!(!is_whole(&id), "{id}");
        }
    }
}
