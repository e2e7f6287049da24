//! What PutResourcePolicy refuses and ValidateResourcePolicy reports.

use super::*;
use crate::vault::policy::check::{Caller, Check, validate};

fn found(text: &str, caller: Option<Caller<'_>>) -> Vec<&'static str> {
    let findings = validate(text, SECRET, caller);
    findings.iter().map(|f| f.check.name()).collect()
}

#[test]
fn public_is_whoever_is_not_held_by_a_fixed_value() {
    for (line, is_public) in [
        ("a Allow secretsmanager:GetSecretValue * @*", true),
        ("a Deny secretsmanager:GetSecretValue * @*", false),
        ("a Allow * * @000000000000", false),
        ("a Allow * * @arn:aws:iam::000000000000:user/bob", false),
        ("a Allow * * !@", true),
        (
            r#"a Allow * * @* {"StringEquals":{"aws:PrincipalAccount":"000000000000"}}"#,
            false,
        ),
        (
            r#"a Allow * * @* {"StringLike":{"aws:PrincipalAccount":"0*"}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"StringNotEquals":{"aws:PrincipalAccount":"1"}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"StringEqualsIfExists":{"aws:PrincipalAccount":"0"}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"ForAllValues:StringEquals":{"aws:PrincipalAccount":"0"}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"StringEquals":{"aws:PrincipalArn":"${aws:PrincipalArn}"}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/*"}}"#,
            false,
        ),
        (
            r#"a Allow * * @* {"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/bob"}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"ArnLike":{"aws:PrincipalArn":"*"}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"StringEquals":{"aws:PrincipalTag/team":"blue"}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"Bool":{"aws:SecureTransport":"true"}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#,
            false,
        ),
        (
            r#"a Allow * * @* {"IpAddress":{"aws:SourceIp":["10.0.0.0/8","0.0.0.0/1"]}}"#,
            true,
        ),
        (
            r#"a Allow * * @* {"IpAddress":{"aws:SourceIp":"::/0"}}"#,
            true,
        ),
        (r#"a Allow * * @* {"Null":{"aws:SourceIp":"false"}}"#, true),
    ] {
        // `!@` is NotPrincipal, which the short form cannot say with a name.
        let text = match line.strip_suffix(" !@") {
            Some(line) => document(&[&format!("{line} @!arn:aws:iam::000000000000:user/bob")]),
            None => document(&[line]),
        };
        let expected: &[&str] = if is_public { &["PublicAccess"] } else { &[] };
        assert_eq!(found(&text, None), expected, "{line}");
    }
}

#[test]
fn a_policy_that_locks_out_its_author_is_found() {
    let alice = principal("alice");
    let context = Context::new();
    let all = [Policy::parse("p", &document(&["a Allow * *"]), Kind::Identity).unwrap()];
    let with = |identity| {
        Some(Caller {
            principal: &alice,
            identity,
            context: &context,
        })
    };
    let for_bob = document(&["a Allow * * @arn:aws:iam::000000000000:user/bob"]);
    let not_people = document(&[
        r#"d Deny * * @* {"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/people/*"}}"#,
    ]);
    let only_writing = document(&["d Deny secretsmanager:PutSecretValue * @*"]);
    assert_eq!(found(&for_bob, with(&all)), [""; 0]);
    assert_eq!(found(&for_bob, with(&[])), ["CallerLockout"]);
    assert_eq!(found(&not_people, with(&all)), ["CallerLockout"]);
    assert_eq!(found(&only_writing, with(&all)), [""; 0]);
}

#[test]
fn what_cannot_have_an_effect_is_found() {
    for (line, said) in [
        ("a Allow s3:* * @000000000000", "no operation"),
        (
            "a Allow secretsmanager:GetSecretValues * @000000000000",
            "no operation",
        ),
        (
            "a Allow * arn:aws:secretsmanager:*:*:secret:test/* @000000000000",
            "not about this secret",
        ),
    ] {
        let findings = validate(&document(&[line]), SECRET, None);
        assert_eq!(findings.len(), 1, "{line}");
        assert_eq!(findings[0].check, Check::WithoutEffect);
        assert!(findings[0].message.contains(said), "{:?}", findings[0]);
    }
    assert_eq!(found("{}", None), ["PolicySyntax"]);
}
