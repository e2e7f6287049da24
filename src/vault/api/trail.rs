//! Every call, allowed or denied, as a record in the audit log: who, from
//! where, which secret, which version, when. The member `call` has the shape
//! of a CloudTrail event. Values are not in it, because they are never read
//! into it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::ApiError;
use super::call::{Item, Notes, Subject};
use super::caller::{Caller, Peer};
use super::places::network;
use super::repeats::{Budget, Repeats};
use crate::audit::{Audit, AuditError, Event, IdentityRef, OnAuditFailure, Outcome, Record};
use crate::vault::principals::ACCOUNT;

/// Request parameters that may be shown, spelt exactly as the API spells them.
/// What is not listed could be a value under a misspelt name, and a log keeps
/// what it has seen. Left out on purpose: SecretString, SecretBinary,
/// RotationToken.
const SHOWN: [&str; 41] = [
    "AddReplicaRegions",
    "BlockPublicPolicy",
    "ClientRequestToken",
    "CrossAccountPrimaryARN",
    "Description",
    "ExcludeCharacters",
    "ExcludeLowercase",
    "ExcludeNumbers",
    "ExcludePunctuation",
    "ExcludeUppercase",
    "ExternalSecretRotationMetadata",
    "ExternalSecretRotationRoleArn",
    "Filters",
    "ForceDeleteWithoutRecovery",
    "IncludeDeprecated",
    "IncludePlannedDeletion",
    "IncludeSpace",
    "KmsKeyId",
    "MaxResults",
    "MoveToVersionId",
    "Name",
    "NextToken",
    "PasswordLength",
    "PolicyName",
    "RecoveryWindowInDays",
    "RemoveFromVersionId",
    "RequireEachIncludedType",
    "ResourcePolicy",
    "RotateImmediately",
    "RotationLambdaARN",
    "RotationRules",
    "SecretId",
    "SecretIdList",
    "SortBy",
    "SortOrder",
    "TagKeys",
    "Tags",
    "Type",
    "VersionId",
    "VersionStage",
    "VersionStages",
];
/// Of what a caller wrote, recognised or not.
const AGENT_LIMIT: usize = 512;
const NAME_LIMIT: usize = 64;

/// Reads of a proxy itself that give no value away, of which it makes one for
/// every secret every minute: one an hour is recorded, with the number of those
/// since.
const QUIET: [&str; 7] = [
    "DescribeSecret",
    "GetRandomPassword",
    "GetResourcePolicy",
    "ListResourcePolicies",
    "ListSecretVersionIds",
    "ListSecrets",
    "ValidateResourcePolicy",
];

const HOURLY: Budget = Budget {
    records: 1,
    within: Duration::from_secs(3600),
};
/// Of callers who are not recognised, for each address.
const UNRECOGNISED: Budget = Budget {
    records: 60,
    within: Duration::from_secs(60),
};

/// Where records go. Without a log there is no trail.
#[derive(Clone, Default)]
pub struct Trail {
    audit: Option<Audit>,
    /// Who works at the command line: the name of a user of this machine.
    operator: Option<Arc<str>>,
    repeats: Arc<Repeats>,
}

/// What becomes known of a call as it goes on.
#[derive(Default)]
pub struct Draft {
    /// Without the prefix of X-Amz-Target.
    operation: String,
    /// `None`: nobody who was recognised.
    pub caller: Option<Caller>,
    /// As the request names it, recognised or not.
    pub access_key: Option<String>,
    pub peer: Peer,
    /// Of a caller who was recognised.
    pub parameters: Value,
    pub notes: Notes,
}

impl Trail {
    pub fn to(audit: Audit) -> Self {
        Self {
            audit: Some(audit),
            ..Self::default()
        }
    }

    /// Of a command, which does everything in the name of whoever runs it.
    pub fn of_operator(audit: Audit, name: &str) -> Self {
        Self {
            operator: Some(name.into()),
            ..Self::to(audit)
        }
    }

    pub fn is_kept(&self) -> bool {
        self.audit.is_some()
    }

    /// The record of a call, and one for each value that a batch looked at;
    /// none of what is merely counted.
    pub fn records(
        &self,
        draft: &Draft,
        request_id: &str,
        error: Option<&ApiError>,
    ) -> Vec<Record> {
        let Some(withheld) = self.admit(draft, error) else {
            return Vec::new();
        };
        draft.records(request_id, error, self.operator.as_deref(), withheld)
    }

    fn admit(&self, draft: &Draft, error: Option<&ApiError>) -> Option<u64> {
        let outcome = error.map_or("", |e| e.kind);
        let (kind, budget) = match &draft.caller {
            None => {
                let address = draft.peer.address.map(|a| network(a).to_string());
                let address = address.unwrap_or_default();
                (format!("{address} {outcome}"), UNRECOGNISED)
            }
            Some(caller) if caller.own && self.operator.is_none() => {
                if !QUIET.contains(&draft.operation.as_str()) {
                    return Some(0);
                }
                let arn = draft.notes.subject.arn.as_deref().unwrap_or_default();
                (format!("{} {arn} {outcome}", draft.operation), HOURLY)
            }
            Some(_) => return Some(0),
        };
        self.repeats.admit(kind, budget, Instant::now())
    }

    /// Returns when the records are where `on_failure` wants them.
    pub async fn keep(&self, records: Vec<Record>) -> Result<(), AuditError> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        match audit.on_failure() {
            OnAuditFailure::Continue => records.into_iter().for_each(|r| audit.record(r)),
            OnAuditFailure::Deny => {
                for record in records {
                    audit.record_durably(record).await?;
                }
            }
        }
        Ok(())
    }
}

impl Draft {
    pub fn operation(&mut self, target: &str) {
        let name = target
            .strip_prefix(super::dispatch::TARGET)
            .unwrap_or(target);
        self.operation = cut(name, NAME_LIMIT).to_owned();
    }

    fn records(
        &self,
        request_id: &str,
        error: Option<&ApiError>,
        operator: Option<&str>,
        withheld: u64,
    ) -> Vec<Record> {
        let record = |operation: &str, parameters: Value, subject: &Subject, error| {
            let mut record = self.record(request_id, operation, parameters, subject, error);
            if let Some(operator) = operator {
                name_operator(&mut record, operator);
            }
            record
        };
        let parameters = self.parameters.clone();
        let mut first = record(&self.operation, parameters, &self.notes.subject, error);
        if withheld > 0
            && let Some(call) = &mut first.call
        {
            // Calls like this one since the last record of them.
            call["additionalEventData"]["repeated"] = withheld.into();
        }
        let mut records = vec![first];
        for Item { id, subject, error } in &self.notes.items {
            let parameters = json!({ "secretId": id });
            records.push(record(
                "GetSecretValue",
                parameters,
                subject,
                error.as_ref(),
            ));
        }
        records
    }

    fn record(
        &self,
        request_id: &str,
        operation: &str,
        parameters: Value,
        subject: &Subject,
        error: Option<&ApiError>,
    ) -> Record {
        let address = self.peer.address.map(|a| a.to_string());
        let agent = self.peer.user_agent.as_deref();
        let mut call = json!({
            "eventVersion": "1.11",
            "eventTime": Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            "eventSource": "secretsmanager.amazonaws.com",
            "eventName": operation,
            "eventType": "AwsApiCall",
            "userIdentity": identity(self.caller.as_ref(), self.access_key.as_deref()),
            "sourceIPAddress": address.as_deref().unwrap_or("pgvalet"),
            "userAgent": agent.map_or("pgvalet", |a| cut(a, AGENT_LIMIT)),
            "requestParameters": parameters,
            "responseElements": null,
            "requestID": request_id,
            "eventID": uuid::Uuid::new_v4().to_string(),
            "recipientAccountId": ACCOUNT,
        });
        if let Value::Object(call) = &mut call {
            if let Some(error) = error {
                call.insert("errorCode".into(), error.kind.into());
                call.insert("errorMessage".into(), error.message.as_str().into());
            }
            if let Some(arn) = &subject.arn {
                let kind = "AWS::SecretsManager::Secret";
                let secret = json!({ "ARN": arn, "accountId": ACCOUNT, "type": kind });
                call.insert("resources".into(), json!([secret]));
            }
            let mut more = Map::new();
            for (name, text) in [
                ("secretVersionId", &subject.version),
                ("decision", &subject.decision),
            ] {
                if let Some(text) = text {
                    more.insert(name.into(), text.as_str().into());
                }
            }
            if !more.is_empty() {
                call.insert("additionalEventData".into(), more.into());
            }
        }
        let mut record = Record::new(Event::StoreCall);
        record.identity = self.caller.as_ref().map(|caller| {
            let method = if caller.own { "pgvalet" } else { "access_key" };
            Arc::new(IdentityRef {
                method: method.into(),
                subject: caller.name.as_str().into(),
                ..IdentityRef::default()
            })
        });
        record.source = address.map(Into::into);
        record.outcome = Some(match error {
            None => Outcome::Success,
            Some(_) => Outcome::Failure,
        });
        record.reason = error.map(|e| e.kind.into());
        record.call = Some(Box::new(call));
        record
    }
}

/// In the place of pgvalet's own name.
fn name_operator(record: &mut Record, operator: &str) {
    record.identity = Some(Arc::new(IdentityRef {
        method: "unix_user".into(),
        subject: operator.into(),
        ..IdentityRef::default()
    }));
    if let Some(call) = &mut record.call {
        call["userIdentity"] = json!({
            "type": "Root",
            "userName": operator,
            "invokedBy": "pgvalet",
            "accountId": ACCOUNT,
        });
    }
}

fn identity(caller: Option<&Caller>, access_key: Option<&str>) -> Value {
    match caller {
        Some(caller) if caller.own => json!({
            "type": "AWSService",
            "invokedBy": "pgvalet",
            "arn": caller.arn,
            "accountId": ACCOUNT,
        }),
        Some(caller) => json!({
            "type": "IAMUser",
            "principalId": caller.unique_id,
            "arn": caller.arn,
            "accountId": ACCOUNT,
            "accessKeyId": caller.access_key,
            "userName": caller.name,
        }),
        None => match access_key {
            Some(key) => json!({ "type": "Unknown", "accessKeyId": cut(key, 128) }),
            None => json!({ "type": "Unknown" }),
        },
    }
}

fn cut(text: &str, limit: usize) -> &str {
    match text.char_indices().nth(limit) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// requestParameters: as the caller wrote them, in CloudTrail's spelling.
pub fn parameters(body: &[u8]) -> Value {
    match serde_json::from_slice::<Parameters>(body) {
        Ok(Parameters(map)) => Value::Object(map),
        Err(_) => Value::Null,
    }
}

struct Parameters(Map<String, Value>);

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Parameters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
                let mut parameters = Map::new();
                while let Some(name) = map.next_key::<String>()? {
                    if SHOWN.binary_search(&name.as_str()).is_err() {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let value = map.next_value()?;
                    let mut letters = name.chars();
                    let first = letters.next().map(|c| c.to_ascii_lowercase());
                    parameters.insert(first.into_iter().chain(letters).collect(), value);
                }
                Ok(Parameters(parameters))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(trail: &Trail, draft: &Draft, calls: usize) -> usize {
        let records = (0..calls).map(|_| trail.records(draft, "id", None).len());
        records.sum()
    }

    #[test]
    fn who_is_not_recognised_cannot_fill_the_disk() {
        let trail = Trail::default();
        let from = |last: u8| Draft {
            peer: Peer {
                address: Some([192, 0, 2, last].into()),
                ..Peer::default()
            },
            ..Draft::default()
        };
        assert_eq!(count(&trail, &from(1), 1000), 60);
        assert_eq!(count(&trail, &from(2), 1), 1, "each address for itself");
        // Nor has anybody with a /64 as many as that has addresses.
        let from = |last: u16| Draft {
            peer: Peer {
                address: Some([0x2001, 0xdb8, 0, 1, 0, 0, 0, last].into()),
                ..Peer::default()
            },
            ..Draft::default()
        };
        let all = (0..1000).map(|n| count(&trail, &from(n), 1));
        assert_eq!(all.sum::<usize>(), 60);
    }

    #[test]
    fn of_its_own_looks_a_proxy_records_one_and_a_command_all() {
        let mut draft = Draft {
            caller: Some(Caller::own()),
            ..Draft::default()
        };
        draft.operation("secretsmanager.DescribeSecret");
        assert_eq!(count(&Trail::default(), &draft, 100), 1);
        let operator = Trail {
            operator: Some("root".into()),
            ..Trail::default()
        };
        assert_eq!(count(&operator, &draft, 100), 100);
        // A value is given away: each time is a record.
        draft.operation("secretsmanager.GetSecretValue");
        assert_eq!(count(&Trail::default(), &draft, 100), 100);
    }

    #[test]
    fn a_record_tells_how_many_were_withheld() {
        let told = |withheld| {
            let records = Draft::default().records("id", None, None, withheld);
            let call = records[0].call.clone().expect("a call");
            call["additionalEventData"]["repeated"].clone()
        };
        assert_eq!(told(7), 7);
        assert_eq!(told(0), Value::Null);
    }

    #[test]
    fn parameters_are_spelt_as_in_cloudtrail_and_hold_no_value() {
        let body = br#"{"SecretId":"a","SecretString":"hunter2","SecretBinary":"aHVudGVyMg==",
            "RotationToken":"hunter2hunter2","secretstring":"hunter2","Tags":[{"Key":"k"}]}"#;
        let expected = json!({ "secretId": "a", "tags": [{ "Key": "k" }] });
        assert_eq!(parameters(body), expected);
        // A slip of the pen must not put a value into the log.
        for name in [
            "SecretSting",
            "Secretstring ",
            "secret_string",
            "Password",
            "secretId",
        ] {
            let body = json!({ "SecretId": "a", name: "hunter2" }).to_string();
            assert_eq!(
                parameters(body.as_bytes()),
                json!({ "secretId": "a" }),
                "{name}"
            );
        }
        assert!(SHOWN.is_sorted(), "a binary search looks in it");
        assert_eq!(parameters(b"hunter2"), Value::Null);
        assert_eq!(parameters(b"\"hunter2\""), Value::Null);
    }
}
