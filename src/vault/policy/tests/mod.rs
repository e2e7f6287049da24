//! The evaluation against a table of expected decisions, documents that are
//! refused, and what holds of all policies.

mod checks;
mod laws;
mod refused;
mod table;

use std::collections::BTreeMap;

use super::*;

const SECRET: &str = "arn:aws:secretsmanager:local:000000000000:secret:prod/orders-AbCdEf";

/// `alice`, of team blue; `bob`, without tags; the account itself.
fn principal(name: &str) -> Principal {
    let (arn, tags) = match name {
        "root" => ("root".to_owned(), vec![]),
        "alice" => (
            "user/people/alice".to_owned(),
            vec![("Team", "blue"), ("star", "*")],
        ),
        other => (format!("user/{other}"), vec![]),
    };
    let tags = tags.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
    Principal {
        arn: format!("arn:aws:iam::000000000000:{arn}"),
        id: format!("AIDA{}", name.to_uppercase()),
        tags: tags.collect::<BTreeMap<_, _>>(),
    }
}

/// `SID EFFECT ACTION RESOURCE [@PRINCIPAL] [CONDITION]`, where a list has
/// commas (`;` is one that is meant) and `!` stands for NotAction and so on.
fn statement(line: &str) -> String {
    let mut words = line.splitn(5, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (sid, effect, action, resource, rest) = (word(), word(), word(), word(), word());
    let listed = |name: &str, text: &str| {
        let (not, text) = match text.strip_prefix('!') {
            Some(text) => ("Not", text),
            None => ("", text),
        };
        let list: Vec<String> = text.split(',').map(|t| t.replace(';', ",")).collect();
        (format!("{not}{name}"), serde_json::json!(list))
    };
    let mut fields = vec![
        ("Sid".to_owned(), serde_json::json!(sid)),
        ("Effect".to_owned(), serde_json::json!(effect)),
        listed("Action", action),
        listed("Resource", resource),
    ];
    let condition = match rest.strip_prefix('@') {
        None => rest,
        Some(rest) => {
            let (who, condition) = rest.split_once(' ').unwrap_or((rest, ""));
            let (key, list) = listed("Principal", who);
            fields.push((key, serde_json::json!({ "AWS": list })));
            condition
        }
    };
    if !condition.is_empty() {
        let condition = serde_json::from_str(condition).unwrap_or_else(|e| panic!("{line}: {e}"));
        fields.push(("Condition".to_owned(), condition));
    }
    serde_json::Value::Object(fields.into_iter().collect()).to_string()
}

fn document(statements: &[&str]) -> String {
    let statements: Vec<String> = statements.iter().map(|s| statement(s)).collect();
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{}]}}"#,
        statements.join(",")
    )
}
