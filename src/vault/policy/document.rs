//! Policy documents: from JSON to types, or to an error that says where and what is
//! wrong.

use std::sync::Arc;

use super::json::Json;
use super::statement::Statement;

/// The most bytes of a document: the limit of PutResourcePolicy, used for all
/// policies.
pub const DOCUMENT_LIMIT: usize = 20_480;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The policy of a principal: what it may do.
    Identity,
    /// The policy of a secret: who may do what with it.
    Resource,
}

/// A parsed document.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The name of the policy in decisions.
    pub name: Arc<str>,
    pub(super) statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("the policy is not JSON: {0}")]
    NotJson(String),
    #[error("the policy has {0} bytes; it can have at most {DOCUMENT_LIMIT}")]
    TooLong(usize),
    #[error("{at}: {problem}")]
    Wrong { at: String, problem: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

/// `Action` and `NotAction`, `Resource` and `NotResource`, and so on.
#[derive(Debug, Clone, PartialEq)]
pub enum Listed<T> {
    These(Vec<T>),
    AllBut(Vec<T>),
}

impl Policy {
    pub fn parse(name: &str, text: &str, kind: Kind) -> Result<Self, PolicyError> {
        if text.len() > DOCUMENT_LIMIT {
            return Err(PolicyError::TooLong(text.len()));
        }
        let document =
            serde_json::from_str(text).map_err(|e| PolicyError::NotJson(e.to_string()))?;
        let mut fields = Fields::of("the policy", &document)?;
        let variables = match fields.take("Version") {
            None => false,
            Some(Json::Text(version)) if version == "2008-10-17" => false,
            Some(Json::Text(version)) if version == "2012-10-17" => true,
            Some(_) => {
                return Err(wrong("Version", "must be \"2012-10-17\" or \"2008-10-17\""));
            }
        };
        if !matches!(fields.take("Id"), None | Some(Json::Text(_))) {
            return Err(wrong("Id", "must be text"));
        }
        let statements = match fields.take("Statement") {
            Some(Json::List(list)) if !list.is_empty() => list.iter().collect(),
            Some(one @ Json::Object(_)) => vec![one],
            Some(_) => {
                return Err(wrong(
                    "Statement",
                    "must be a list of statements, not empty",
                ));
            }
            None => return Err(wrong("the policy", "has no Statement")),
        };
        fields.finish(&["Version", "Id", "Statement"])?;
        let mut parsed: Vec<Statement> = Vec::with_capacity(statements.len());
        for (index, statement) in statements.into_iter().enumerate() {
            let at = format!("Statement[{index}]");
            let statement = Statement::parse(&at, statement, kind, variables)?;
            if let Some(sid) = &statement.sid
                && parsed.iter().any(|s| s.sid.as_ref() == Some(sid))
            {
                return Err(wrong(&at, format!("the Sid {sid:?} is there twice")));
            }
            parsed.push(statement);
        }
        Ok(Self {
            name: name.into(),
            statements: parsed,
        })
    }
}

pub fn wrong(at: &str, problem: impl Into<String>) -> PolicyError {
    PolicyError::Wrong {
        at: at.to_owned(),
        problem: problem.into(),
    }
}

/// The keys of an object, which are taken one by one. A key that is left is unknown.
pub struct Fields<'a> {
    at: &'a str,
    left: Vec<(&'a str, &'a Json)>,
}

impl<'a> Fields<'a> {
    pub fn of(at: &'a str, value: &'a Json) -> Result<Self, PolicyError> {
        match value {
            Json::Object(entries) => Ok(Self {
                at,
                left: entries.iter().map(|(k, v)| (k.as_str(), v)).collect(),
            }),
            other => Err(wrong(
                at,
                format!("must be an object, not {}", other.kind()),
            )),
        }
    }

    pub fn take(&mut self, key: &str) -> Option<&'a Json> {
        let index = self.left.iter().position(|(k, _)| *k == key)?;
        Some(self.left.swap_remove(index).1)
    }

    /// Takes `NAME` or `NotNAME`; an object may not have both.
    pub fn take_listed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str, &Json) -> Result<Vec<T>, PolicyError>,
    ) -> Result<Option<Listed<T>>, PolicyError> {
        let not = format!("Not{name}");
        let path = |key: &str| format!("{}.{key}", self.at);
        let (these_at, all_but_at) = (path(name), path(&not));
        match (self.take(name), self.take(&not)) {
            (Some(_), Some(_)) => {
                let problem = format!("has both {name} and {not}; write two statements");
                Err(wrong(self.at, problem))
            }
            (Some(these), None) => Ok(Some(Listed::These(parse(&these_at, these)?))),
            (None, Some(others)) => Ok(Some(Listed::AllBut(parse(&all_but_at, others)?))),
            (None, None) => Ok(None),
        }
    }

    pub fn finish(self, known: &[&str]) -> Result<(), PolicyError> {
        match self.left.first() {
            None => Ok(()),
            Some((key, _)) => {
                let hint = crate::base::nearest(key, known.iter().copied());
                let hint = match hint {
                    Some(known) => format!("did you mean {known:?}?"),
                    None => format!("there are {}", known.join(", ")),
                };
                Err(wrong(self.at, format!("unknown key {key:?}; {hint}")))
            }
        }
    }
}

/// Parses one text, or a list of texts that is not empty.
pub fn texts<'a>(at: &str, value: &'a Json) -> Result<Vec<&'a str>, PolicyError> {
    let text = |value: &'a Json| match value {
        Json::Text(text) if !text.is_empty() => Ok(text.as_str()),
        Json::Text(_) => Err(wrong(at, "is empty")),
        other => Err(wrong(at, format!("must be text, not {}", other.kind()))),
    };
    match value {
        Json::List(list) if list.is_empty() => Err(wrong(at, "is an empty list")),
        Json::List(list) => list.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}
