//! What holds of all policies: deny wins, and order does not matter.

use proptest::prelude::*;

use super::*;
use crate::vault::policy::pattern::{self, Case, Token};

const LINES: &[&str] = &[
    "Allow * *",
    "Deny * *",
    "Allow secretsmanager:Get* *",
    "Allow secretsmanager:GetSecretValue arn:aws:secretsmanager:*:*:secret:prod/*",
    "Allow !secretsmanager:Put* *",
    "Deny !secretsmanager:Get* *",
    "Deny secretsmanager:PutSecretValue *",
    "Deny * arn:aws:secretsmanager:*:*:secret:test/*",
    r#"Allow * * {"StringEquals":{"aws:PrincipalTag/team":"blue"}}"#,
    r#"Deny * * {"StringNotEquals":{"aws:PrincipalTag/team":"blue"}}"#,
    r#"Deny * * {"Bool":{"aws:SecureTransport":"false"}}"#,
];

fn parse(lines: &[usize]) -> Policy {
    let lines: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| format!("s{n} {}", LINES[*line]))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Policy::parse("p", &document(&lines), Kind::Identity).unwrap()
}

/// The outcome without who decided.
fn outcome(decision: Decision<'_>) -> &'static str {
    match decision {
        Decision::Allowed(_) => "allowed",
        Decision::Denied(_) => "denied",
        Decision::NotAllowed => "not allowed",
    }
}

proptest! {
    #[test]
    fn order_does_not_matter_and_deny_wins(
        lines in proptest::collection::vec(0..LINES.len(), 1..7),
        swaps in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
        cut in any::<prop::sample::Index>(),
        who in prop::sample::select(vec!["alice", "bob", "root"]),
        operation in prop::sample::select(vec!["GetSecretValue", "PutSecretValue", "DeleteSecret"]),
        secure in any::<bool>(),
    ) {
        let principal = principal(who);
        let action = format!("secretsmanager:{operation}");
        let context = Context::new().with("aws:SecureTransport", secure.to_string());
        let request = Request { principal: &principal, action: &action, resource: SECRET, context: &context };
        let whole = parse(&lines);
        let decided = outcome(evaluate(&request, [&whole], None));

        // The statements in another order, and spread over two policies.
        let mut others = lines.clone();
        for (a, b) in &swaps {
            let (a, b) = (a.index(others.len()), b.index(others.len()));
            others.swap(a, b);
        }
        let cut = cut.index(others.len());
        let parts: Vec<Policy> = [&others[..cut], &others[cut..]]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(parse)
            .collect();
        prop_assert_eq!(outcome(evaluate(&request, &parts, None)), decided);

        // What each statement says alone decides for all of them.
        let alone: Vec<&str> = lines.iter().map(|line| {
            outcome(evaluate(&request, [&parse(&[*line])], None))
        }).collect();
        let expected = ["denied", "allowed", "not allowed"];
        let expected = expected.into_iter().find(|o| alone.contains(o)).unwrap();
        prop_assert_eq!(decided, expected);
    }

    /// The matcher against the plainest one there is.
    #[test]
    fn wildcards_match_as_the_definition_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
        fn plain(pattern: &[Token], text: &[char]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (Some((Token::Any, rest)), _) => {
                    (0..=text.len()).any(|n| plain(rest, &text[n..]))
                }
                (Some((Token::One, rest)), Some((_, left))) => plain(rest, left),
                (Some((Token::Char(a), rest)), Some((b, left))) => a == b && plain(rest, left),
                _ => false,
            }
        }
        let tokens: Vec<Token> = pattern.chars().map(|c| match c {
            '*' => Token::Any,
            '?' => Token::One,
            c => Token::Char(c),
        }).collect();
        let chars: Vec<char> = text.chars().collect();
        prop_assert_eq!(
            pattern::matches(&tokens, &text, Case::Matters),
            plain(&tokens, &chars)
        );
    }

    /// Whatever is written in a document, it is parsed or refused.
    #[test]
    fn no_document_is_a_panic(text in r#"[\{\}\[\]":,\$a-zA-Z\*\? ]{0,200}"#, value in ".{0,60}") {
        let _ = Policy::parse("p", &text, Kind::Resource);
        for field in ["Action", "Resource", "Sid", "NotPrincipal"] {
            let document = serde_json::json!({
                "Version": "2012-10-17",
                "Statement": { "Effect": "Deny", "Action": "*", "Resource": "*", field: value },
            });
            let _ = Policy::parse("p", &document.to_string(), Kind::Identity);
        }
        for operator in ["StringLike", "ArnLike", "DateEquals", "IpAddress", "NumericEquals", "Bool"] {
            let document = serde_json::json!({
                "Version": "2012-10-17",
                "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*",
                    "Condition": { operator: { "aws:CurrentTime": value } } },
            });
            if let Ok(policy) = Policy::parse("p", &document.to_string(), Kind::Identity) {
                let context = Context::new().with("aws:CurrentTime", value.as_str());
                let principal = principal("alice");
                let request = Request {
                    principal: &principal, action: "a:b", resource: SECRET, context: &context,
                };
                let _ = evaluate(&request, [&policy], None);
            }
        }
    }
}

/// Patterns that would take for ever where a matcher tries every way.
#[test]
fn a_pattern_of_stars_ends() {
    let tokens: Vec<Token> = [Token::Any, Token::Char('a')].repeat(5_000);
    let text = "a".repeat(2_000);
    let started = std::time::Instant::now();
    assert!(!pattern::matches(&tokens, &(text + "b"), Case::Matters));
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}
