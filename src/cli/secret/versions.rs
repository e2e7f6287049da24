//! Finding a version by its first characters.

use super::SecretCommandError;
use crate::secret::{SecretId, Source, StoreError, VersionId};

/// The shortest beginning that is looked for.
const SHORTEST: usize = 4;

/// The one version whose VersionId begins so.
pub(super) async fn find(
    store: &dyn Source,
    id: &SecretId,
    prefix: &str,
) -> Result<VersionId, SecretCommandError> {
    // Whoever may not list versions names them in full.
    let given = VersionId::new(prefix);
    let known = match store.describe(id).await {
        Ok(description) => description.versions.into_keys().collect(),
        Err(StoreError::Denied(_)) => return Ok(given),
        Err(error) => return Err(error.into()),
    };
    if let Some(found) = pick(id, prefix, known)? {
        return Ok(found);
    }
    let all = match store.versions(id).await {
        Ok(all) => all,
        Err(StoreError::Denied(_) | StoreError::Unsupported(_)) => return Ok(given),
        Err(error) => return Err(error.into()),
    };
    let known = listed(&all);
    pick(id, prefix, all)?.ok_or_else(|| SecretCommandError::NoVersion {
        id: id.clone(),
        prefix: prefix.to_owned(),
        known,
    })
}

fn pick(
    id: &SecretId,
    prefix: &str,
    known: Vec<VersionId>,
) -> Result<Option<VersionId>, SecretCommandError> {
    if let Some(same) = known.iter().find(|v| v.as_str() == prefix) {
        return Ok(Some(same.clone()));
    }
    if prefix.len() < SHORTEST {
        return Ok(None);
    }
    let begins = known.into_iter().filter(|v| v.as_str().starts_with(prefix));
    let found: Vec<VersionId> = begins.collect();
    match &found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        several => Err(SecretCommandError::SeveralVersions {
            id: id.clone(),
            prefix: prefix.to_owned(),
            known: listed(several),
        }),
    }
}

fn listed(versions: &[VersionId]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<&str> = versions.iter().take(SHOWN).map(VersionId::as_str).collect();
    match versions.len() {
        0 => "none".to_owned(),
        n if n > SHOWN => format!("{} and {} more", names.join(", "), n - SHOWN),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_beginning_is_enough() {
        let known = || {
            ["aaaa1111", "aaaa2222", "bbbb1111"]
                .map(VersionId::new)
                .to_vec()
        };
        let id = SecretId::new("s");
        let found = |prefix| pick(&id, prefix, known());
        assert_eq!(
            found("bbbb").expect("one"),
            Some(VersionId::new("bbbb1111"))
        );
        assert_eq!(
            found("aaaa2222").expect("one"),
            Some(VersionId::new("aaaa2222"))
        );
        assert_eq!(found("bbb").expect("too short"), None);
        assert_eq!(found("cccc").expect("none"), None);
        let several = found("aaaa").expect_err("two").to_string();
        assert!(several.contains("aaaa1111, aaaa2222"), "{several}");
    }
}
