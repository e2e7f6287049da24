//! The record of one call. Its member `call` has the shape of a CloudTrail event.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::audit::{IdentityRef, Record};
use crate::vault::api::ApiError;
use crate::vault::api::call::{Item, Notes, Subject};
use crate::vault::api::caller::{Caller, Peer};
use crate::vault::api::dispatch::TARGET;
use crate::vault::principals::ACCOUNT;

/// Characters of a text that anybody may have written.
const AGENT_LIMIT: usize = 512;
const NAME_LIMIT: usize = 64;

/// What becomes known about a call while it runs.
#[derive(Default)]
pub struct Draft {
    /// The operation, without the prefix of X-Amz-Target.
    pub(super) operation: String,
    /// `None`: the caller was not recognised.
    pub caller: Option<Caller>,
    /// The key that the request names, known or not.
    pub access_key: Option<String>,
    pub peer: Peer,
    /// The request's parameters; only those of a caller who was recognised.
    pub parameters: Value,
    pub notes: RefCell<Notes>,
    /// The id of the answer, so that records of one call can be told from those of others.
    pub(in crate::vault::api) request_id: String,
    /// Whether its records were written before its transaction was committed.
    pub(in crate::vault::api) kept: Cell<bool>,
}

impl Draft {
    /// The record of the call that has this id.
    pub fn of(request_id: &str) -> Self {
        Self {
            request_id: request_id.to_owned(),
            ..Self::default()
        }
    }

    /// Sets the operation that the call asks for.
    pub fn operation(&mut self, target: &str) {
        let name = target.strip_prefix(TARGET).unwrap_or(target);
        self.operation = cut(name, NAME_LIMIT).to_owned();
    }

    pub(super) fn records(
        &self,
        error: Option<&ApiError>,
        operator: Option<&str>,
        withheld: u64,
    ) -> Vec<Record> {
        let record = |operation: &str, parameters: Value, subject: &Subject, error| {
            let mut record = self.record(operation, parameters, subject, error);
            if let Some(operator) = operator {
                name_operator(&mut record, operator);
            }
            record
        };
        let parameters = self.parameters.clone();
        let notes = self.notes.borrow();
        let mut first = record(&self.operation, parameters, &notes.subject, error);
        if withheld > 0
            && let Some(call) = &mut first.call
        {
            // How many calls like this one were not recorded since the last.
            call["additionalEventData"]["repeated"] = withheld.into();
        }
        let mut records = vec![first];
        for Item { id, subject, error } in &notes.items {
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
            "requestID": self.request_id,
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
        let identity = self.caller.as_ref().map(|caller| {
            let method = if caller.own { "pgvalet" } else { "access_key" };
            Arc::new(IdentityRef {
                method: method.into(),
                subject: caller.name.as_str().into(),
                ..IdentityRef::default()
            })
        });
        Record::store_call(identity, address.as_deref(), error.map(|e| e.kind), call)
    }
}

/// Puts the user at the command line in place of pgvalet itself.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_how_many_were_withheld() {
        let told = |withheld| {
            let records = Draft::default().records(None, None, withheld);
            let call = records[0].call.clone().expect("a call");
            call["additionalEventData"]["repeated"].clone()
        };
        assert_eq!(told(7), 7);
        assert_eq!(told(0), Value::Null);
    }
}
