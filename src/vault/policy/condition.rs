//! Conditions: `{"StringEquals": {"aws:PrincipalTag/team": ["a", "b"]}}`.
//!
//! The values of one key are alternatives; all keys and all operators have to hold.
//! The rules for absent keys, several values and negation are those of "IAM JSON
//! policy elements: Condition operators" and "Conditions with multiple context keys
//! or values" in the IAM documentation.

use std::net::IpAddr;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};
use ipnet::IpNet;

use super::document::{Fields, PolicyError, wrong};
use super::json::Json;
use super::pattern::{self, Case, Pattern, Syntax};
use super::request::Request;

#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The name of the key in lower case, because its case does not matter.
    pub key: String,
    pub test: Test,
    pub negated: bool,
    pub quantifier: Option<Quantifier>,
    pub if_exists: bool,
}

/// ForAllValues and ForAnyValue, for keys that can have several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    All,
    Any,
}

/// An operator with the values to compare with. It is enough if one of them fits.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Text(Case, Vec<Pattern>),
    Arn(Vec<Pattern>),
    Numeric(Order, Vec<f64>),
    Date(Order, Vec<DateTime<Utc>>),
    Bool(Vec<bool>),
    Ip(Vec<IpNet>),
    /// Whether the key is absent.
    Null(Vec<bool>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, value: T, bound: T) -> bool {
        match self {
            Self::Equal => value == bound,
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::Greater => value > bound,
            Self::GreaterOrEqual => value >= bound,
        }
    }
}

pub fn parse(at: &str, value: &Json, variables: bool) -> Result<Vec<Condition>, PolicyError> {
    let Json::Object(operators) = value else {
        let problem = format!("must be an object of operators, not {}", value.kind());
        return Err(wrong(at, problem));
    };
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let at = format!("{at}.{operator}");
        Fields::of(&at, keys)?;
        let Json::Object(keys) = keys else { continue };
        for (key, values) in keys {
            let at = format!("{at}.{key}");
            if !key
                .split_once(':')
                .is_some_and(|(service, name)| !service.is_empty() && !name.is_empty())
            {
                return Err(wrong(
                    &at,
                    "is no condition key; write one such as aws:SourceIp",
                ));
            }
            conditions.push(condition(&at, operator, key, values, variables)?);
        }
    }
    Ok(conditions)
}

fn condition(
    at: &str,
    operator: &str,
    key: &str,
    values: &Json,
    variables: bool,
) -> Result<Condition, PolicyError> {
    let values = operands(at, values)?;
    let (quantifier, bare, if_exists) = parts(operator).ok_or_else(|| unknown(at, operator))?;
    let text = |wildcards| {
        let syntax = Syntax {
            wildcards,
            variables,
        };
        each(at, &values, |v| Pattern::parse(v, syntax))
    };
    let texts = |case, wildcards| Ok::<_, PolicyError>(Test::Text(case, text(wildcards)?));
    let arns = || {
        let patterns = text(true)?;
        are_arns(at, &patterns, &values)?;
        Ok(Test::Arn(patterns))
    };
    let numbers = |order| Ok(Test::Numeric(order, each(at, &values, number)?));
    let dates = |order| Ok(Test::Date(order, each(at, &values, date)?));
    let booleans = || each(at, &values, boolean);
    let networks = || Ok(Test::Ip(each(at, &values, network)?));
    let (test, negated) = match bare {
        "StringEquals" => (texts(Case::Matters, false)?, false),
        "StringNotEquals" => (texts(Case::Matters, false)?, true),
        "StringEqualsIgnoreCase" => (texts(Case::Ignored, false)?, false),
        "StringNotEqualsIgnoreCase" => (texts(Case::Ignored, false)?, true),
        "StringLike" => (texts(Case::Matters, true)?, false),
        "StringNotLike" => (texts(Case::Matters, true)?, true),
        "ArnEquals" | "ArnLike" => (arns()?, false),
        "ArnNotEquals" | "ArnNotLike" => (arns()?, true),
        "NumericEquals" => (numbers(Order::Equal)?, false),
        "NumericNotEquals" => (numbers(Order::Equal)?, true),
        "NumericLessThan" => (numbers(Order::Less)?, false),
        "NumericLessThanEquals" => (numbers(Order::LessOrEqual)?, false),
        "NumericGreaterThan" => (numbers(Order::Greater)?, false),
        "NumericGreaterThanEquals" => (numbers(Order::GreaterOrEqual)?, false),
        "DateEquals" => (dates(Order::Equal)?, false),
        "DateNotEquals" => (dates(Order::Equal)?, true),
        "DateLessThan" => (dates(Order::Less)?, false),
        "DateLessThanEquals" => (dates(Order::LessOrEqual)?, false),
        "DateGreaterThan" => (dates(Order::Greater)?, false),
        "DateGreaterThanEquals" => (dates(Order::GreaterOrEqual)?, false),
        "Bool" => (Test::Bool(booleans()?), false),
        "IpAddress" => (networks()?, false),
        "NotIpAddress" => (networks()?, true),
        "Null" if !if_exists && quantifier.is_none() => (Test::Null(booleans()?), false),
        _ => return Err(unknown(at, operator)),
    };
    Ok(Condition {
        key: key.to_lowercase(),
        test,
        negated,
        quantifier,
        if_exists,
    })
}

/// An operator's quantifier, its name, and whether it holds where the key is not there.
fn parts(operator: &str) -> Option<(Option<Quantifier>, &str, bool)> {
    let (quantifier, bare) = match operator.split_once(':') {
        None => (None, operator),
        Some(("ForAllValues", bare)) => (Some(Quantifier::All), bare),
        Some(("ForAnyValue", bare)) => (Some(Quantifier::Any), bare),
        Some(_) => return None,
    };
    Some(match bare.strip_suffix("IfExists") {
        Some(bare) => (quantifier, bare, true),
        None => (quantifier, bare, false),
    })
}

fn are_arns(at: &str, patterns: &[Pattern], values: &[&str]) -> Result<(), PolicyError> {
    for (pattern, value) in patterns.iter().zip(values) {
        if !pattern.has_variables() && *value != "*" && value.matches(':').count() < 5 {
            return Err(wrong(at, format!("{value:?} is no ARN")));
        }
    }
    Ok(())
}

fn unknown(at: &str, operator: &str) -> PolicyError {
    wrong(at, format!("there is no condition operator {operator:?}"))
}

/// One text, number or truth value, or a list of them, as texts.
fn operands<'a>(at: &str, value: &'a Json) -> Result<Vec<&'a str>, PolicyError> {
    let one = |value: &'a Json| match value {
        Json::Text(text) | Json::Number(text) => Ok(text.as_str()),
        Json::Bool(true) => Ok("true"),
        Json::Bool(false) => Ok("false"),
        other => Err(wrong(at, format!("must be text, not {}", other.kind()))),
    };
    match value {
        Json::List(list) if list.is_empty() => Err(wrong(at, "is an empty list")),
        Json::List(list) => list.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

fn each<T>(
    at: &str,
    values: &[&str],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, PolicyError> {
    values
        .iter()
        .map(|value| parse(value).map_err(|problem| wrong(at, problem)))
        .collect()
}

fn number(text: &str) -> Result<f64, String> {
    f64::from_str(text)
        .ok()
        .filter(|n| n.is_finite())
        .ok_or_else(|| format!("{text:?} is no number"))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Parses ISO 8601 with at least a date, in UTC unless it has a zone, or seconds since
/// the Unix epoch.
fn date(text: &str) -> Result<DateTime<Utc>, String> {
    let midnight = |d: NaiveDate| d.and_time(chrono::NaiveTime::MIN);
    DateTime::parse_from_rfc3339(text)
        .map(|d| d.to_utc())
        .ok()
        .or_else(|| {
            DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%:z")
                .ok()
                .map(|d| d.to_utc())
        })
        .or_else(|| {
            let bare = text.strip_suffix('Z').unwrap_or(text);
            NaiveDateTime::parse_from_str(bare, "%Y-%m-%dT%H:%M:%S%.f")
                .or_else(|_| NaiveDateTime::parse_from_str(bare, "%Y-%m-%dT%H:%M"))
                .or_else(|_| NaiveDate::parse_from_str(bare, "%Y-%m-%d").map(midnight))
                .ok()
                .map(|d| d.and_utc())
        })
        .or_else(|| Utc.timestamp_opt(text.parse().ok()?, 0).single())
        .ok_or_else(|| format!("{text:?} is no date; write one such as 2026-01-31T12:00:00Z"))
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is no address and no network; write 10.0.0.0/8"))
}

impl Condition {
    pub fn holds(&self, request: &Request<'_>) -> bool {
        let values = request.values(&self.key);
        if let Test::Null(wanted) = &self.test {
            return wanted.contains(&values.is_empty());
        }
        let fits = |value: &&str| self.test.fits(value, request);
        match self.quantifier {
            Some(Quantifier::All) => values.iter().all(|v| fits(v) != self.negated),
            Some(Quantifier::Any) if values.is_empty() => self.if_exists,
            Some(Quantifier::Any) => values.iter().any(|v| fits(v) != self.negated),
            // An absent key is unequal to every value.
            None if values.is_empty() => self.if_exists || self.negated,
            None => values.iter().any(fits) != self.negated,
        }
    }
}

impl Test {
    /// Whether a value of the request fits any value of the operator.
    fn fits(&self, value: &str, request: &Request<'_>) -> bool {
        match self {
            Self::Text(case, patterns) => patterns.iter().any(|p| p.matches(value, *case, request)),
            Self::Arn(patterns) => patterns.iter().any(|p| {
                p.expand(request)
                    .is_some_and(|tokens| pattern::arn_matches(&tokens, value))
            }),
            Self::Numeric(order, bounds) => {
                number(value).is_ok_and(|n| bounds.iter().any(|b| order.holds(n, *b)))
            }
            Self::Date(order, bounds) => {
                date(value).is_ok_and(|d| bounds.iter().any(|b| order.holds(d, *b)))
            }
            Self::Bool(wanted) => boolean(value).is_ok_and(|b| wanted.contains(&b)),
            Self::Ip(networks) => value
                .parse::<IpAddr>()
                .is_ok_and(|ip| networks.iter().any(|n| n.contains(&ip.to_canonical()))),
            Self::Null(_) => false,
        }
    }
}
