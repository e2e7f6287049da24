//! TagResource, UntagResource.

use super::authorize::Asked;
use super::call::{Call, Nothing, Operation};
use super::shapes::{self, TagShape, request};
use super::{ApiError, Check};
use crate::vault::{secrets, tags};

request!(TagResource {
    id: String = "SecretId",
    tags: Vec<TagShape> = "Tags",
});

impl Operation for TagResource {
    type Answer = Nothing;
    const NAME: &'static str = "TagResource";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.required("tags", self.tags.as_ref());
        shapes::check_tags(check, self.tags.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Nothing, ApiError> {
        let id = self.id.unwrap_or_default();
        let added = shapes::tags(self.tags);
        let keys = added.iter().map(|tag| tag.key.clone());
        let mut asked = Asked::new(Self::NAME)
            .with("secretsmanager:SecretId", Some(&id))
            .with_list("aws:TagKeys", keys);
        for tag in &added {
            asked = asked.with(&format!("aws:RequestTag/{}", tag.key), Some(&tag.value));
        }
        let secret = call.live(&asked, &id)?;
        tags::add(call.tx, &secret, &added)?;
        secrets::touch(call.tx, &secret)?;
        // Tags that lock out the caller could not be removed again.
        call.still(&asked, &secret)?;
        Ok(Nothing {})
    }
}

request!(UntagResource {
    id: String = "SecretId",
    keys: Vec<String> = "TagKeys",
});

impl Operation for UntagResource {
    type Answer = Nothing;
    const NAME: &'static str = "UntagResource";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
        check.required("tagKeys", self.keys.as_ref());
        for key in self.keys.iter().flatten() {
            check.text("tagKeys", Some(key), 1..=128);
        }
    }

    fn run(self, call: &Call<'_>) -> Result<Nothing, ApiError> {
        let id = self.id.unwrap_or_default();
        let keys = self.keys.unwrap_or_default();
        let asked = Asked::new(Self::NAME)
            .with("secretsmanager:SecretId", Some(&id))
            .with_list("aws:TagKeys", keys.clone());
        let secret = call.live(&asked, &id)?;
        tags::remove(call.tx, &secret, &keys)?;
        secrets::touch(call.tx, &secret)?;
        call.still(&asked, &secret)?;
        Ok(Nothing {})
    }
}
