//! `aws_iam = { … }` of a `[[client]]` rule.

use super::section::Section;
use super::token::pattern;
use crate::access::{AwsIamRule, Sts, web_address};
use crate::base::nonempty;

/// Reads `aws_iam` where it is given.
pub(super) fn aws_iam(s: &mut Section<'_, '_>) -> Option<AwsIamRule> {
    let mut t = s.inner("aws_iam")?;
    if !t.has("role") {
        t.wrong("there is no role; add role = \"arn:aws:iam::ACCOUNT:role/NAME\"");
    }
    let role = t.text("role", |text| {
        let mut parts = text.splitn(6, ':');
        let arn = parts.next() == Some("arn") && parts.nth(1) == Some("iam");
        if arn && parts.nth(1).is_some_and(|account| !account.is_empty()) {
            pattern(text)
        } else {
            Err(format!(
                "{text:?} is no ARN of a role; write it like \"arn:aws:iam::123456789012:role/orders\"; * stands for anything"
            ))
        }
    });
    let audience = t.text("audience", nonempty);
    let endpoint = t.text("endpoint_url", web_address);
    t.finish();
    Some(AwsIamRule {
        role: role?,
        sts: Sts {
            audience: audience.unwrap_or_default(),
            endpoint,
        },
    })
}
