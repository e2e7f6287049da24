//! The parameters of a request, as a record shows them.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Parameters that may be shown, spelt exactly as the API spells them and sorted.
/// Others are left out, because they could be a value under a misspelt name, and
/// a log keeps what it has seen. SecretString, SecretBinary and RotationToken are
/// left out on purpose.
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

/// The requestParameters of a record: what the caller wrote, in CloudTrail's
/// spelling. Values are never read into memory here.
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
    use serde_json::json;

    use super::*;

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
