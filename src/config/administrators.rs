//! `[secret.NAME]` and `[rotation]`: which secret administers which.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::section::Section;
use super::stores::secret_in;
use super::values::secret;
use crate::base::{Pattern, nonempty};
use crate::rotation::AdminSecrets;

pub(super) fn administrators(document: &mut Section<'_, '_>) -> AdminSecrets {
    let mut of = BTreeMap::new();
    for (name, mut s) in document.named("secret") {
        let rotated = secret(&name, &s.problems.stores())
            .map_err(|why| s.wrong(why))
            .ok();
        let admin = s.secret("admin_secret");
        if let Some((rotated, admin)) = rotated.zip(admin) {
            if rotated == admin {
                s.wrong("admin_secret: a secret is not its own administrator; leave it out");
            }
            of.insert(rotated, admin);
        }
        s.finish();
    }
    let stores = document.problems.stores().clone();
    let mut s = document.section("rotation");
    let listed = s.list("admin_secrets", |text| {
        nonempty(text)?;
        // A pattern is of one store, as the secrets are that it lists.
        let id = secret_in(text, &stores);
        if id.within().chars().all(|c| c == '*') {
            return Err(
                "this lists every secret, so that a user who may write one could use any; write the names of administrators' secrets, like \"admins/*\""
                    .to_owned(),
            );
        }
        Ok((id.store().map(Arc::from), Pattern::new(id.within())))
    });
    s.finish();
    AdminSecrets::new(of, listed.unwrap_or_default())
}
