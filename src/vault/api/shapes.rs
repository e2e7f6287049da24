//! Shapes of the service model that several operations share.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{ApiError, Check};
use crate::vault::search::{Filter, FilterKey};
use crate::vault::tags::Tag;
use crate::vault::tx::Millis;
use crate::vault::{Value, VaultError};

/// A request: every field may be absent, and unknown fields are ignored, because
/// newer clients send them.
macro_rules! request {
    ($name:ident { $($field:ident : $type:ty = $wire:literal),* $(,)? }) => {
        #[derive(Default, serde::Deserialize, serde::Serialize)]
        pub struct $name {
            $(
                #[serde(rename = $wire, default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }
    };
}
pub(super) use request;

/// An answer. The fields before the semicolon are always there; those behind it
/// are left out when they are absent, never null.
macro_rules! answer {
    ($name:ident {
        $($sure:ident : $sure_type:ty = $sure_wire:literal),* ;
        $($field:ident : $type:ty = $wire:literal),* $(,)?
    }) => {
        #[derive(Default, serde::Serialize)]
        pub struct $name {
            $(#[serde(rename = $sure_wire)] pub $sure: $sure_type,)*
            $(
                #[serde(rename = $wire, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }
    };
}
pub(super) use answer;

/// SecretString. Deliberately without `Debug`.
#[derive(Default)]
pub struct SecretText(pub Zeroizing<String>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// SecretBinary: base64 on the wire. Deliberately without `Debug`.
pub struct SecretBytes(pub Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        STANDARD
            .decode(text.as_bytes())
            .map(|bytes| Self(Zeroizing::new(bytes)))
            .map_err(|_| serde::de::Error::custom("not base64"))
    }
}

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }
}

/// A time. In JSON it is seconds since the Unix epoch, with fractions.
#[derive(Clone, Copy, Default)]
pub struct Epoch(pub Millis);

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

/// The value in a request, if it has one.
pub fn value(
    text: Option<SecretText>,
    bytes: Option<SecretBytes>,
) -> Result<Option<Value>, ApiError> {
    match (text, bytes) {
        (Some(_), Some(_)) => Err(VaultError::InvalidParameter(
            "You can't specify both a binary secret value and a string secret value.".into(),
        )
        .into()),
        (Some(text), None) => Ok(Some(Value::Text(text.0))),
        (None, Some(bytes)) => Ok(Some(Value::Binary(bytes.0))),
        (None, None) => Ok(None),
    }
}

/// Refuses a request without ClientRequestToken. SDKs fill it in; without it a
/// repeated request would not be harmless.
pub fn needs_token(token: Option<&String>) -> Result<(), ApiError> {
    match token {
        Some(_) => Ok(()),
        None => Err(VaultError::InvalidRequest(
            "You must provide a ClientRequestToken value. We recommend a UUID-type value.".into(),
        )
        .into()),
    }
}

pub fn check_value(check: &mut Check, text: Option<&SecretText>, bytes: Option<&SecretBytes>) {
    // These are characters. PutSecretValue counts the bytes, which the service
    // model does not.
    check.secret("secretString", text.map(|t| t.0.len()), 1..=65_536);
    check.secret("secretBinary", bytes.map(|b| b.0.len()), 1..=65_536);
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct TagShape {
    #[serde(rename = "Key", default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(rename = "Value", default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

pub fn check_tags(check: &mut Check, tags: Option<&Vec<TagShape>>) {
    for (n, tag) in tags.into_iter().flatten().enumerate() {
        check.required(&format!("tags.{}.member.key", n + 1), tag.key.as_ref());
        check.text(
            &format!("tags.{}.member.key", n + 1),
            tag.key.as_ref(),
            1..=128,
        );
        check.text(
            &format!("tags.{}.member.value", n + 1),
            tag.value.as_ref(),
            0..=256,
        );
    }
}

pub fn tags(shapes: Option<Vec<TagShape>>) -> Vec<Tag> {
    shapes
        .into_iter()
        .flatten()
        .map(|shape| Tag {
            key: shape.key.unwrap_or_default(),
            value: shape.value.unwrap_or_default(),
        })
        .collect()
}

pub fn tag_shapes(tags: Vec<Tag>) -> Vec<TagShape> {
    tags.into_iter()
        .map(|tag| TagShape {
            key: Some(tag.key),
            value: Some(tag.value),
        })
        .collect()
}

request!(FilterShape {
    key: String = "Key",
    values: Vec<String> = "Values",
});

pub fn check_filters(check: &mut Check, filters: Option<&Vec<FilterShape>>) {
    check.list("filters", filters, 0..=10);
    for (n, filter) in filters.into_iter().flatten().enumerate() {
        let at = |field: &str| format!("filters.{}.member.{field}", n + 1);
        check.word(&at("key"), filter.key.as_ref(), &FilterKey::NAMES);
        check.list(&at("values"), filter.values.as_ref(), 1..=10);
        for value in filter.values.iter().flatten() {
            check.text(&at("values"), Some(value), 0..=512);
            check.characters(
                &at("values"),
                Some(value),
                "^\\!?[a-zA-Z0-9 :_@\\/\\+\\=\\.\\-\\!]*$",
                |c| c.is_ascii_alphanumeric() || " :_@/+=.-!".contains(c),
            );
        }
    }
}

pub fn filters(shapes: Option<Vec<FilterShape>>) -> Result<Vec<Filter>, ApiError> {
    let wrong = VaultError::InvalidParameter;
    shapes
        .into_iter()
        .flatten()
        .map(|shape| {
            let key = shape.key.unwrap_or_default();
            let known = FilterKey::NAMES.iter().find(|(name, _)| *name == key);
            let (name, key) = *known.ok_or_else(|| wrong("Invalid filter key".into()))?;
            let values = shape
                .values
                .ok_or_else(|| wrong(format!("Invalid filter values for key: {name}")))?;
            Ok(Filter { key, values })
        })
        .collect()
}
