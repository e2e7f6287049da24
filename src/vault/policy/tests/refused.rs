//! Documents that are refused, with what is said about them.

use super::*;

fn refusal(text: &str, kind: Kind) -> String {
    match Policy::parse("p", text, kind) {
        Ok(_) => panic!("accepted: {text}"),
        Err(e) => e.to_string(),
    }
}

fn with(field: &str) -> String {
    let mut fields = vec![
        r#""Effect":"Allow""#,
        r#""Action":"secretsmanager:*""#,
        r#""Resource":"*""#,
    ];
    let key = |f: &str| f.split(':').next().unwrap().replace("Not", "");
    fields.retain(|f| key(f) != key(field));
    if !field.ends_with(":-") {
        fields.push(field);
    }
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{{}}}]}}"#,
        fields.join(",")
    )
}

#[test]
fn a_document_that_is_wrong_says_where_and_what() {
    for (text, said) in [
        ("", "not JSON"),
        ("[]", "must be an object"),
        ("{}", "no Statement"),
        (r#"{"Statement":[]}"#, "not empty"),
        (r#"{"Statement":"x"}"#, "list of statements"),
        (r#"{"Statement":[1]}"#, "Statement[0]: must be an object"),
        (
            r#"{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}"#,
            "\"Version\" occurs twice",
        ),
        (
            r#"{"Version":"2020-01-01","Statement":[]}"#,
            "Version: must be",
        ),
        (r#"{"Id":1,"Statement":[]}"#, "Id: must be text"),
        (&with(r#""Effect":"allow""#), "Effect must be"),
        (&with(r#""Effect":-"#), "Effect must be"),
        (&with(r#""Effekt":"Allow""#), "did you mean \"Effect\"?"),
        (&with(r#""Sid":"a b""#), "the Sid \"a b\""),
        (&with(r#""Sid":1"#), "Sid must be text"),
        (&with(r#""Action":-"#), "neither Action nor NotAction"),
        (
            &with(r#""Action":[]"#),
            "Statement[0].Action: is an empty list",
        ),
        (&with(r#""Action":"""#), "is empty"),
        (&with(r#""Action":7"#), "must be text, not a number"),
        (&with(r#""Action":"GetSecretValue""#), "is no action"),
        (
            &with(r#""Action":"secretsmanager:Get Secret""#),
            "is no action",
        ),
        (&with(r#""Action":"*:Get""#), "is no action"),
        (&with(r#""NotAction":"x""#), "NotAction: \"x\" is no action"),
        (
            &with(r#""Action":"s3:*","NotAction":"s3:*""#),
            "both Action and NotAction",
        ),
        (&with(r#""Resource":-"#), "neither Resource nor NotResource"),
        (&with(r#""Resource":"prod/orders""#), "is no resource"),
        (
            &with(r#""Resource":"arn:aws:s3:::${aws:username""#),
            "is not closed",
        ),
        (
            &with(r#""Resource":"arn:aws:s3:::${username}""#),
            "is no variable",
        ),
        (
            &with(r#""Resource":"arn:aws:s3:::${aws:username, x}""#),
            "single quotes",
        ),
        (&with(r#""Principal":"*""#), "has a principal"),
        (&with(r#""NotPrincipal":{"AWS":"*"}"#), "has a principal"),
        (&with(r#""Condition":[]"#), "object of operators"),
        (
            &with(r#""Condition":{"StringEquals":"x"}"#),
            "Condition.StringEquals: must be an object",
        ),
        (
            &with(r#""Condition":{"StringEquals":{"x":"y"}}"#),
            "is no condition key",
        ),
        (
            &with(r#""Condition":{"StringEquals":{"aws:x":[]}}"#),
            "is an empty list",
        ),
        (
            &with(r#""Condition":{"StringEquals":{"aws:x":{}}}"#),
            "must be text",
        ),
        (
            &with(r#""Condition":{"StringEquals":{"aws:x":null}}"#),
            "must be text, not null",
        ),
        (
            &with(r#""Condition":{"stringEquals":{"aws:x":"y"}}"#),
            "no condition operator",
        ),
        (
            &with(r#""Condition":{"ForSome:StringEquals":{"aws:x":"y"}}"#),
            "no condition operator",
        ),
        (
            &with(r#""Condition":{"NullIfExists":{"aws:x":"true"}}"#),
            "no condition operator",
        ),
        (
            &with(r#""Condition":{"BinaryEquals":{"aws:x":"eA=="}}"#),
            "no condition operator",
        ),
        (
            &with(r#""Condition":{"NumericEquals":{"aws:x":"many"}}"#),
            "is no number",
        ),
        (
            &with(r#""Condition":{"NumericEquals":{"aws:x":"inf"}}"#),
            "is no number",
        ),
        (
            &with(r#""Condition":{"Bool":{"aws:x":"yes"}}"#),
            "neither true nor false",
        ),
        (
            &with(r#""Condition":{"DateEquals":{"aws:x":"tomorrow"}}"#),
            "is no date",
        ),
        (
            &with(r#""Condition":{"IpAddress":{"aws:x":"10.0.0.0/33"}}"#),
            "is no address",
        ),
        (
            &with(r#""Condition":{"ArnLike":{"aws:x":"alice"}}"#),
            "is no ARN",
        ),
        (
            &with(r#""Condition":{"StringEquals":{"aws:x":"a","aws:x":"b"}}"#),
            "occurs twice",
        ),
        (
            &format!("{{\"Id\":\"{}\"}}", "x".repeat(20_480)),
            "at most 20480",
        ),
        (&"[".repeat(1000), "recursion limit"),
    ] {
        let refused = refusal(text, Kind::Identity);
        assert!(refused.contains(said), "{text}: {refused}");
    }
    let twice = document(&["a Allow * *", "a Deny * *"]);
    assert!(refusal(&twice, Kind::Identity).contains("\"a\" is there twice"));
}

#[test]
fn a_resource_policy_says_whom_it_is_about() {
    for (field, said) in [
        (r#""Sid":"x""#, "has no Principal"),
        (r#""Principal":"alice""#, "must be \"*\" or an object"),
        (r#""Principal":{}"#, "names nobody"),
        (r#""Principal":{"AWS":[]}"#, "is an empty list"),
        (r#""Principal":{"User":"x"}"#, "is no kind of principal"),
        (r#""Principal":{"AWS":"alice"}"#, "is no principal"),
        (r#""Principal":{"AWS":"12345"}"#, "is no principal"),
        (
            r#""Principal":{"AWS":"arn:aws:iam::000000000000:user/*"}"#,
            "has a wildcard",
        ),
        (
            r#""Principal":{"AWS":"arn:aws:iam::000000000000:group/x"}"#,
            "is no principal",
        ),
        (
            r#""Principal":{"AWS":"arn:aws:iam::000000000000:user/"}"#,
            "is no principal",
        ),
        (
            r#""Principal":"*","NotPrincipal":"*""#,
            "both Principal and NotPrincipal",
        ),
    ] {
        let refused = refusal(&with(field), Kind::Resource);
        assert!(refused.contains(said), "{field}: {refused}");
    }
    for principal in [
        r#""*""#,
        r#"{"AWS":"*"}"#,
        r#"{"AWS":["000000000000","arn:aws:iam::000000000000:root"]}"#,
        r#"{"AWS":"arn:aws:sts::000000000000:assumed-role/r/s"}"#,
        r#"{"Service":"rds.amazonaws.com","Federated":"x"}"#,
    ] {
        let field = format!(r#""Principal":{principal},"Sid":"any thing-1""#);
        Policy::parse("p", &with(&field), Kind::Resource).unwrap();
    }
}
