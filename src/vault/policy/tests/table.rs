//! (principal, policies, request) → decision, a rule of IAM a row.

use super::*;

struct Row {
    what: &'static str,
    /// A principal's policies, one statement each; a new policy after `---`.
    identity: &'static [&'static str],
    resource: &'static [&'static str],
    /// Who, and which operation.
    ask: &'static str,
    context: &'static [(&'static str, &'static str)],
    /// `allow SID`, `deny SID`, `none`.
    want: &'static str,
}

const GET: &str = "alice GetSecretValue";
const ALICE: &str = "arn:aws:iam::000000000000:user/people/alice";

macro_rules! rows {
    ($($what:literal: [$($identity:literal),*] [$($resource:literal),*]
        $ask:tt [$($key:literal = $value:literal),*] => $want:literal;)*) => {
        &[$(Row {
            what: $what,
            identity: &[$($identity),*],
            resource: &[$($resource),*],
            ask: $ask,
            context: &[$(($key, $value)),*],
            want: $want,
        }),*]
    };
}

const ROWS: &[Row] = rows! {
// Effects and where they come from.
"nothing is allowed that nobody allows": [] [] GET [] => "none";
"an identity policy suffices": ["a Allow secretsmanager:GetSecretValue *"] [] GET [] => "allow a";
"a resource policy suffices": [] ["a Allow secretsmanager:GetSecretValue * @arn:aws:iam::000000000000:user/people/alice"] GET [] => "allow a";
"a resource policy for somebody else": [] ["a Allow secretsmanager:GetSecretValue * @arn:aws:iam::000000000000:user/bob"] GET [] => "none";
"deny in the same policy wins": ["a Allow * *", "d Deny secretsmanager:GetSecretValue *"] [] GET [] => "deny d";
"deny first or last": ["d Deny secretsmanager:GetSecretValue *", "a Allow * *"] [] GET [] => "deny d";
"deny in another policy wins": ["a Allow * *", "---", "d Deny * *"] [] GET [] => "deny d";
"deny in the resource policy wins": ["a Allow * *"] ["d Deny secretsmanager:* * @*"] GET [] => "deny d";
"an identity's deny beats the resource's allow": ["d Deny * *"] ["a Allow * * @*"] GET [] => "deny d";
"a deny of another action": ["a Allow * *", "d Deny secretsmanager:DeleteSecret *"] [] GET [] => "allow a";
"the first that allows is named": ["a Allow secretsmanager:* *", "b Allow * *"] [] GET [] => "allow a";
"the second policy's allow": ["a Allow secretsmanager:ListSecrets *", "---", "b Allow * *"] [] GET [] => "allow b";
// Actions.
"action names have no case": ["a Allow SecretsManager:getsecretvalue *"] [] GET [] => "allow a";
"a star in an action": ["a Allow secretsmanager:Get* *"] [] GET [] => "allow a";
"a star in the midst": ["a Allow secretsmanager:*Secret* *"] [] "alice PutSecretValue" [] => "allow a";
"a star that needs more": ["a Allow secretsmanager:*Policy *"] [] GET [] => "none";
"a question mark is one": ["a Allow secretsmanager:GetSecretValu? *"] [] GET [] => "allow a";
"a question mark is not none": ["a Allow secretsmanager:GetSecretValue? *"] [] GET [] => "none";
"another service": ["a Allow s3:* *"] [] GET [] => "none";
"one of several actions": ["a Allow s3:*,secretsmanager:GetSecretValue *"] [] GET [] => "allow a";
"an action that is a prefix": ["a Allow secretsmanager:GetSecret *"] [] GET [] => "none";
"NotAction leaves out": ["a Allow !secretsmanager:Delete*,secretsmanager:Put* *"] [] "alice PutSecretValue" [] => "none";
"NotAction takes the rest": ["a Allow !secretsmanager:Delete*,secretsmanager:Put* *"] [] GET [] => "allow a";
"a deny of all but reading": ["a Allow * *", "d Deny !secretsmanager:Get*,secretsmanager:Describe* *"] [] "alice DeleteSecret" [] => "deny d";
// Resources.
"the exact ARN": ["a Allow * arn:aws:secretsmanager:local:000000000000:secret:prod/orders-AbCdEf"] [] GET [] => "allow a";
"the ARN with its random part open": ["a Allow * arn:aws:secretsmanager:*:*:secret:prod/orders-??????"] [] GET [] => "allow a";
"one question mark too few": ["a Allow * arn:aws:secretsmanager:*:*:secret:prod/orders-?????"] [] GET [] => "none";
"a folder": ["a Allow * arn:aws:secretsmanager:*:*:secret:prod/*"] [] GET [] => "allow a";
"another folder": ["a Allow * arn:aws:secretsmanager:*:*:secret:test/*"] [] GET [] => "none";
"resources have case": ["a Allow * arn:aws:secretsmanager:*:*:secret:PROD/*"] [] GET [] => "none";
"a star reaches across colons": ["a Allow * arn:aws:secretsmanager:*"] [] GET [] => "allow a";
"NotResource leaves out": ["a Allow * !arn:aws:secretsmanager:*:*:secret:prod/*"] [] GET [] => "none";
"NotResource takes the rest": ["a Allow * !arn:aws:secretsmanager:*:*:secret:test/*"] [] GET [] => "allow a";
"star in a resource policy is this secret": [] ["a Allow secretsmanager:* * @*"] GET [] => "allow a";
"a resource policy about another secret": [] ["a Allow * arn:aws:secretsmanager:*:*:secret:test/* @*"] GET [] => "none";
"a variable in a resource": ["a Allow * arn:aws:secretsmanager:*:*:secret:${aws:username}/*"] [] "prod GetSecretValue" [] => "allow a";
"a variable with another value": ["a Allow * arn:aws:secretsmanager:*:*:secret:${aws:username}/*"] [] GET [] => "none";
"a variable without a value": ["a Allow * arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/none}*"] [] GET [] => "none";
"a star in a tag is a character": ["a Allow * arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/star}"] [] GET [] => "none";
"a default": ["a Allow * arn:aws:secretsmanager:*:*:secret:prod/${aws:PrincipalTag/none;'orders'}-*"] [] GET [] => "allow a";
"NotResource with an unknown variable allows nothing": ["a Allow * !arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/none}/*"] [] GET [] => "none";
"NotResource with an unknown variable denies": ["a Allow * *", "d Deny * !arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/none}/*"] [] GET [] => "deny d";
// Principals.
"everybody": [] ["a Allow * * @*"] "bob GetSecretValue" [] => "allow a";
"an account only delegates": [] ["a Allow * * @arn:aws:iam::000000000000:root"] GET [] => "none";
"an account and an identity policy": ["b Allow * *"] ["a Allow * * @000000000000"] GET [] => "allow b";
"the account itself": [] ["a Allow * * @000000000000"] "root GetSecretValue" [] => "allow a";
"an account's deny is for all in it": ["a Allow * *"] ["d Deny * * @000000000000"] GET [] => "deny d";
"another account's deny": ["a Allow * *"] ["d Deny * * @111111111111"] GET [] => "allow a";
"a name that is a prefix": [] ["a Allow * * @arn:aws:iam::000000000000:user/people/alic"] GET [] => "none";
// Text conditions.
"StringEquals": [r#"a Allow * * {"StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}"#] [] GET ["secretsmanager:VersionStage" = "AWSCURRENT"] => "allow a";
"StringEquals, another value": [r#"a Allow * * {"StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}"#] [] GET ["secretsmanager:VersionStage" = "AWSPENDING"] => "none";
"StringEquals, absent": [r#"a Allow * * {"StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}"#] [] GET [] => "none";
"keys have no case": [r#"a Allow * * {"StringEquals":{"SECRETSMANAGER:versionstage":"AWSCURRENT"}}"#] [] GET ["secretsmanager:VersionStage" = "AWSCURRENT"] => "allow a";
"values are alternatives": [r#"a Allow * * {"StringEquals":{"secretsmanager:VersionStage":["A","B"]}}"#] [] GET ["secretsmanager:VersionStage" = "B"] => "allow a";
"keys must all hold": [r#"a Allow * * {"StringEquals":{"secretsmanager:VersionStage":"A","secretsmanager:VersionId":"1"}}"#] [] GET ["secretsmanager:VersionStage" = "A"] => "none";
"operators must all hold": [r#"a Allow * * {"StringEquals":{"secretsmanager:VersionStage":"A"},"Bool":{"aws:SecureTransport":"true"}}"#] [] GET ["secretsmanager:VersionStage" = "A", "aws:SecureTransport" = "false"] => "none";
"StringEquals has no wildcards": [r#"a Allow * * {"StringEquals":{"secretsmanager:Name":"prod/*"}}"#] [] GET ["secretsmanager:Name" = "prod/orders"] => "none";
"StringLike has": [r#"a Allow * * {"StringLike":{"secretsmanager:Name":"prod/*"}}"#] [] GET ["secretsmanager:Name" = "prod/orders"] => "allow a";
"a literal star": [r#"a Allow * * {"StringLike":{"secretsmanager:Name":"prod/${*}"}}"#] [] GET ["secretsmanager:Name" = "prod/orders"] => "none";
"case ignored": [r#"a Allow * * {"StringEqualsIgnoreCase":{"secretsmanager:Name":"PROD/Orders"}}"#] [] GET ["secretsmanager:Name" = "prod/orders"] => "allow a";
"StringNotEquals, absent": [r#"a Allow * * {"StringNotEquals":{"secretsmanager:VersionStage":"AWSPENDING"}}"#] [] GET [] => "allow a";
"StringNotEquals is none of them": ["a Allow * *", r#"d Deny * * {"StringNotEquals":{"secretsmanager:VersionStage":["A","B"]}}"#] [] GET ["secretsmanager:VersionStage" = "B"] => "allow a";
"StringNotLike": ["a Allow * *", r#"d Deny * * {"StringNotLike":{"secretsmanager:Name":"test/*"}}"#] [] GET ["secretsmanager:Name" = "prod/orders"] => "deny d";
"IfExists, absent": [r#"a Allow * * {"StringEqualsIfExists":{"secretsmanager:VersionStage":"A"}}"#] [] GET [] => "allow a";
"IfExists, there": [r#"a Allow * * {"StringEqualsIfExists":{"secretsmanager:VersionStage":"A"}}"#] [] GET ["secretsmanager:VersionStage" = "B"] => "none";
"Null: must be absent": [r#"a Allow * * {"Null":{"secretsmanager:VersionId":"true"}}"#] [] GET ["secretsmanager:VersionId" = "1"] => "none";
"Null: must be there": [r#"a Allow * * {"Null":{"secretsmanager:VersionId":false}}"#] [] GET ["secretsmanager:VersionId" = "1"] => "allow a";
// The principal's own keys.
"tags of both must agree": [r#"a Allow * * {"StringEquals":{"secretsmanager:ResourceTag/team":"${aws:PrincipalTag/team}"}}"#] [] GET ["secretsmanager:ResourceTag/team" = "blue"] => "allow a";
"tags that differ": [r#"a Allow * * {"StringEquals":{"secretsmanager:ResourceTag/team":"${aws:PrincipalTag/team}"}}"#] [] GET ["secretsmanager:ResourceTag/team" = "red"] => "none";
"a tag that bob has not": [r#"a Allow * * {"StringEquals":{"secretsmanager:ResourceTag/team":"${aws:PrincipalTag/team}"}}"#] [] "bob GetSecretValue" ["secretsmanager:ResourceTag/team" = "red"] => "none";
"nothing is unlike a missing tag, and denied": ["a Allow * *", r#"d Deny * * {"StringNotEquals":{"secretsmanager:ResourceTag/team":"${aws:PrincipalTag/team}"}}"#] [] "bob GetSecretValue" ["secretsmanager:ResourceTag/team" = "red"] => "deny d";
"a default in a condition": [r#"a Allow * * {"StringEquals":{"secretsmanager:ResourceTag/team":"${aws:PrincipalTag/team, 'none'}"}}"#] [] "bob GetSecretValue" ["secretsmanager:ResourceTag/team" = "none"] => "allow a";
"a context cannot claim a principal's tag": [r#"a Allow * * {"StringEquals":{"aws:PrincipalTag/team":"blue"}}"#] [] "bob GetSecretValue" ["aws:PrincipalTag/team" = "blue"] => "none";
"a context cannot claim another ARN": [r#"a Allow * * {"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/people/alice"}}"#] [] "bob GetSecretValue" ["aws:PrincipalArn" = "arn:aws:iam::000000000000:user/people/alice"] => "none";
"ArnLike": [] [r#"a Allow * * @* {"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/people/*"}}"#] GET [] => "allow a";
"ArnLike stays within its part": [] [r#"a Allow * * @* {"ArnLike":{"aws:PrincipalArn":"arn:*:user/people/alice:::"}}"#] GET [] => "none";
"ArnNotEquals": [] ["a Allow * * @*", r#"d Deny * * @* {"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/people/alice"}}"#] "bob GetSecretValue" [] => "deny d";
"ArnNotEquals, the one": [] ["a Allow * * @*", r#"d Deny * * @* {"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/people/alice"}}"#] GET [] => "allow a";
"the account as a condition": [] [r#"a Allow * * @* {"StringEquals":{"aws:PrincipalAccount":"000000000000"}}"#] GET [] => "allow a";
// Numbers, dates, truth values, networks.
"a window that is long enough": ["a Allow * *", r#"d Deny * * {"NumericLessThan":{"secretsmanager:RecoveryWindowInDays":"14"}}"#] [] "alice DeleteSecret" ["secretsmanager:RecoveryWindowInDays" = "30"] => "allow a";
"a window that is too short": ["a Allow * *", r#"d Deny * * {"NumericLessThan":{"secretsmanager:RecoveryWindowInDays":14}}"#] [] "alice DeleteSecret" ["secretsmanager:RecoveryWindowInDays" = "7"] => "deny d";
"equal is not less": ["a Allow * *", r#"d Deny * * {"NumericLessThan":{"secretsmanager:RecoveryWindowInDays":7}}"#] [] "alice DeleteSecret" ["secretsmanager:RecoveryWindowInDays" = "7"] => "allow a";
"numbers are not texts": [r#"a Allow * * {"NumericEquals":{"secretsmanager:RecoveryWindowInDays":"7"}}"#] [] "alice DeleteSecret" ["secretsmanager:RecoveryWindowInDays" = "7.0"] => "allow a";
"no number is not equal to one": [r#"a Allow * * {"NumericGreaterThanEquals":{"secretsmanager:RecoveryWindowInDays":"7"}}"#] [] "alice DeleteSecret" ["secretsmanager:RecoveryWindowInDays" = "many"] => "none";
"no deletion without a window": ["a Allow * *", r#"d Deny secretsmanager:DeleteSecret * {"Bool":{"secretsmanager:ForceDeleteWithoutRecovery":"true"}}"#] [] "alice DeleteSecret" ["secretsmanager:ForceDeleteWithoutRecovery" = "true"] => "deny d";
"deletion with a window": ["a Allow * *", r#"d Deny secretsmanager:DeleteSecret * {"Bool":{"secretsmanager:ForceDeleteWithoutRecovery":true}}"#] [] "alice DeleteSecret" ["secretsmanager:ForceDeleteWithoutRecovery" = "false"] => "allow a";
"only over TLS": ["a Allow * *"] [r#"d Deny * * @* {"Bool":{"aws:SecureTransport":"false"}}"#] GET ["aws:SecureTransport" = "false"] => "deny d";
"before its time": [r#"a Allow * * {"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}"#] [] GET ["aws:CurrentTime" = "2025-12-31T23:59:59Z"] => "none";
"within its time": [r#"a Allow * * {"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"},"DateLessThanEquals":{"aws:CurrentTime":"2026-12-31T00:00:00+01:00"}}"#] [] GET ["aws:CurrentTime" = "2026-12-30T23:00:00Z"] => "allow a";
"dates in seconds": [r#"a Allow * * {"DateLessThan":{"aws:EpochTime":1767225600}}"#] [] GET ["aws:EpochTime" = "1767225599"] => "allow a";
"a network": [r#"a Allow * * {"IpAddress":{"aws:SourceIp":["10.0.0.0/8","::1"]}}"#] [] GET ["aws:SourceIp" = "10.255.0.1"] => "allow a";
"outside of the network": [r#"a Allow * * {"IpAddress":{"aws:SourceIp":["10.0.0.0/8","::1"]}}"#] [] GET ["aws:SourceIp" = "11.0.0.1"] => "none";
"an address of six written as four": [r#"a Allow * * {"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#] [] GET ["aws:SourceIp" = "::ffff:10.0.0.1"] => "allow a";
"NotIpAddress": ["a Allow * *", r#"d Deny * * {"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#] [] GET ["aws:SourceIp" = "192.168.0.1"] => "deny d";
"NotIpAddress of an unknown source": ["a Allow * *", r#"d Deny * * {"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#] [] GET [] => "deny d";
// Keys with several values.
"ForAllValues": [r#"a Allow * * {"ForAllValues:StringEquals":{"aws:TagKeys":["team","env"]}}"#] [] "alice TagResource" ["aws:TagKeys" = "team", "aws:TagKeys" = "env"] => "allow a";
"ForAllValues, one too many": [r#"a Allow * * {"ForAllValues:StringEquals":{"aws:TagKeys":["team","env"]}}"#] [] "alice TagResource" ["aws:TagKeys" = "team", "aws:TagKeys" = "owner"] => "none";
"ForAllValues of none": [r#"a Allow * * {"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}"#] [] "alice TagResource" [] => "allow a";
"ForAnyValue": ["a Allow * *", r#"d Deny * * {"ForAnyValue:StringEquals":{"aws:TagKeys":"owner"}}"#] [] "alice TagResource" ["aws:TagKeys" = "team", "aws:TagKeys" = "owner"] => "deny d";
"ForAnyValue of none": [r#"a Allow * * {"ForAnyValue:StringEquals":{"aws:TagKeys":"owner"}}"#] [] "alice TagResource" [] => "none";
"ForAnyValue negated": ["a Allow * *", r#"d Deny * * {"ForAnyValue:StringNotEquals":{"aws:TagKeys":["team","env"]}}"#] [] "alice TagResource" ["aws:TagKeys" = "team", "aws:TagKeys" = "owner"] => "deny d";
"ForAllValues negated": [r#"a Allow * * {"ForAllValues:StringNotLike":{"aws:TagKeys":"aws:*"}}"#] [] "alice TagResource" ["aws:TagKeys" = "team", "aws:TagKeys" = "aws:x"] => "none";
"a tag of the request": [r#"a Allow * * {"StringEquals":{"aws:RequestTag/team":"${aws:PrincipalTag/team}"}}"#] [] "alice CreateSecret" ["aws:RequestTag/Team" = "blue"] => "allow a";
};

#[test]
fn every_row_is_decided_as_iam_decides_it() {
    assert!(ROWS.len() >= 60);
    let mut wrong = Vec::new();
    for row in ROWS {
        let identity: Vec<Policy> = row
            .identity
            .split(|line| *line == "---")
            .filter(|lines| !lines.is_empty())
            .map(|lines| Policy::parse("identity", &document(lines), Kind::Identity))
            .collect::<Result<_, _>>()
            .unwrap_or_else(|e| panic!("{}: {e}", row.what));
        let resource = (!row.resource.is_empty()).then(|| {
            Policy::parse("resource", &document(row.resource), Kind::Resource)
                .unwrap_or_else(|e| panic!("{}: {e}", row.what))
        });
        let (who, operation) = row.ask.split_once(' ').unwrap();
        let mut context = Context::new();
        for (key, value) in row.context {
            context.add(key, *value);
        }
        let action = format!("secretsmanager:{operation}");
        let request = Request {
            principal: &principal(who),
            action: &action,
            resource: SECRET,
            context: &context,
        };
        let got = match evaluate(&request, &identity, resource.as_ref()) {
            Decision::Allowed(by) => format!("allow {}", by.sid.unwrap()),
            Decision::Denied(by) => format!("deny {}", by.sid.unwrap()),
            Decision::NotAllowed => "none".to_owned(),
        };
        if got != row.want {
            wrong.push(format!("{}: {got}, not {}", row.what, row.want));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn not_principal_exempts_exactly_those_it_lists() {
    let allow = Policy::parse("identity", &document(&["a Allow * *"]), Kind::Identity).unwrap();
    let guard = format!("d Deny * * @!{ALICE},arn:aws:iam::000000000000:root");
    let guard = Policy::parse("resource", &document(&[&guard]), Kind::Resource).unwrap();
    for (who, allowed) in [("alice", true), ("root", true), ("bob", false)] {
        let request = Request {
            principal: &principal(who),
            action: "secretsmanager:GetSecretValue",
            resource: SECRET,
            context: &Context::new(),
        };
        let decision = evaluate(&request, [&allow], Some(&guard));
        assert_eq!(decision.is_allowed(), allowed, "{who}: {decision}");
    }
}

#[test]
fn in_a_document_of_2008_a_variable_is_text() {
    let line = r#"a Allow * * {"StringEquals":{"secretsmanager:Name":"${aws:username}"}}"#;
    let new = document(&[line]);
    let old = new.replace("2012-10-17", "2008-10-17");
    for (text, name, allowed) in [
        (&new, "alice", true),
        (&old, "alice", false),
        (&old, "${aws:username}", true),
    ] {
        let policy = Policy::parse("identity", text, Kind::Identity).unwrap();
        let request = Request {
            principal: &principal("alice"),
            action: "secretsmanager:GetSecretValue",
            resource: SECRET,
            context: &Context::new().with("secretsmanager:Name", name),
        };
        assert_eq!(evaluate(&request, [&policy], None).is_allowed(), allowed);
    }
}

#[test]
fn a_decision_names_its_statement() {
    let text = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"s3:*","Resource":"*"},
        {"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let policy = Policy::parse("the policy of alice", text, Kind::Identity).unwrap();
    let context = Context::new();
    let alice = principal("alice");
    let request = Request {
        principal: &alice,
        action: "secretsmanager:GetSecretValue",
        resource: SECRET,
        context: &context,
    };
    let decision = evaluate(&request, [&policy], None);
    assert_eq!(
        decision.to_string(),
        "allowed by statement 2 of the policy of alice"
    );
    assert_eq!(
        evaluate(&request, [], None).to_string(),
        "denied, because no statement allows it"
    );
}
