//! Which secret is the administrator of which other. Only the configuration says so. Otherwise
//! whoever may write one secret could name another in its value, and have pgvalet log in with that
//! one.

use std::collections::BTreeMap;

use crate::base::Pattern;
use crate::secret::{SecretId, StoreName, secret_name};

/// `[secret.NAME] admin_secret`, and `[rotation] admin_secrets`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminSecrets {
    /// The administrator of each secret that has one.
    of: BTreeMap<SecretId, SecretId>,
    /// Names and ARNs that `masterarn` in the value of any secret of the same store may name.
    listed: Vec<(StoreName, Pattern)>,
}

impl AdminSecrets {
    pub fn new(of: BTreeMap<SecretId, SecretId>, listed: Vec<(StoreName, Pattern)>) -> Self {
        Self { of, listed }
    }

    /// The administrator that the configuration gives to the secret of this store with this
    /// name and ARN.
    pub fn of(&self, store: Option<&str>, name: &str, arn: &str) -> Option<&SecretId> {
        let mut all = self.of.iter();
        all.find(|(secret, _)| secret.store() == store && secret.means(name, arn))
            .map(|(_, admin)| admin)
    }

    /// Whether the secret of this store with this name and ARN may be an administrator because
    /// the value of another secret names it.
    pub fn lists(&self, store: Option<&str>, name: &str, arn: &str) -> bool {
        let mut patterns = self.patterns(store);
        patterns.any(|p| p.matches(name) || p.matches(arn))
    }

    fn patterns<'a>(&'a self, store: Option<&'a str>) -> impl Iterator<Item = &'a Pattern> {
        let listed = self.listed.iter();
        let of_store = listed.filter(move |(of, _)| of.as_deref() == store);
        of_store.map(|(_, pattern)| pattern)
    }

    /// Whether an id could be that of a listed administrator. If not, the store is
    /// not even asked. If so, the store says which secret the id means, and
    /// [`lists`](Self::lists) decides.
    pub fn may_list(&self, id: &SecretId) -> bool {
        let mut patterns = self.patterns(id.store());
        let id = id.within();
        let name = secret_name(id).unwrap_or(id);
        let bare = name.len().checked_sub(7).and_then(|at| name.get(..at));
        patterns.any(|p| {
            // A pattern of ARNs may name the random characters, which this id may
            // lack.
            p.as_str().starts_with("arn:")
                || [Some(id), Some(name), bare]
                    .into_iter()
                    .flatten()
                    .any(|n| p.matches(n))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "arn:aws:secretsmanager:local:000000000000:secret:";

    #[test]
    fn only_what_is_listed_administers() {
        let id = SecretId::new;
        let admins = AdminSecrets::new(
            [(id("prod/orders"), id("prod/admin"))].into(),
            vec![
                (None, Pattern::new("admins/*")),
                (None, Pattern::new("root")),
                (Some("b".into()), Pattern::new("only-b")),
            ],
        );
        let arn = |name: &str| format!("{PREFIX}{name}-AbCdEf");
        let of = |name: &str| admins.of(None, name, &arn(name)).map(SecretId::as_str);
        assert_eq!(of("prod/orders"), Some("prod/admin"));
        assert_eq!(of("prod/orders2"), None);
        for (name, listed) in [
            ("admins/a", true),
            ("root", true),
            ("root2", false),
            ("root-AbCdEf", false),
            ("prod/admin", false),
        ] {
            assert_eq!(admins.lists(None, name, &arn(name)), listed, "{name}");
        }
        for (id, may) in [
            ("root", true),
            ("admins/x", true),
            ("team-x/superuser", false),
            ("", false),
            ("é", false),
        ] {
            assert_eq!(admins.may_list(&SecretId::new(id)), may, "{id}");
            let whole = SecretId::new(arn(id));
            assert_eq!(admins.may_list(&whole), may, "{id} by its ARN");
        }
        // Nothing in one store administers what is in another.
        assert_eq!(admins.of(Some("b"), "prod/orders", "x"), None);
        assert!(!admins.lists(Some("b"), "root", "x") && !admins.lists(None, "only-b", "x"));
        assert!(admins.lists(Some("b"), "only-b", "x"));
        let of_b = |id: &str| SecretId::of_store(Some("b"), id);
        assert!(admins.may_list(&of_b("only-b")) && !admins.may_list(&of_b("root")));
        assert!(!admins.may_list(&SecretId::new("only-b")));
        // It may be the secret of another name: what the store says decides.
        assert!(admins.may_list(&SecretId::new(format!("{PREFIX}root-AbCdEf"))));
    }
}
