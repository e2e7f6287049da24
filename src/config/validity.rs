//! `valid = { … }` of a `[[client]]` rule.

use chrono::{DateTime, NaiveTime, Utc};
use toml::de::DeValue;

use crate::access::Validity;

pub(super) fn validity(value: &DeValue<'_>) -> Result<Validity, String> {
    let DeValue::Table(table) = value else {
        return Err(format!("this is no period; {FORM}"));
    };
    let mut ends = [None, None];
    for (key, value) in table {
        let end = match key.get_ref().as_ref() {
            "from" => &mut ends[0],
            "until" => &mut ends[1],
            other => return Err(format!("unknown key {other:?}; {FORM}")),
        };
        *end = Some(match value.get_ref() {
            DeValue::String(text) => When::read(text)?,
            DeValue::Datetime(when) => When::read(&when.to_string())?,
            _ => return Err(format!("write the time in quotes; {FORM}")),
        });
    }
    match ends {
        [None, None] => Err(format!("there is neither from nor until; {FORM}")),
        [Some(When::Time(from)), Some(When::Time(until))] if from == until => {
            Err("from and until are the same time".to_owned())
        }
        [Some(When::Time(from)), Some(When::Time(until))] => Ok(Validity::Daily { from, until }),
        [Some(When::Moment(from)), Some(When::Moment(until))] if until <= from => {
            Err("until is not after from".to_owned())
        }
        [from, until] => {
            let moment = |when: Option<When>| match when {
                None => Ok(None),
                Some(When::Moment(moment)) => Ok(Some(moment)),
                Some(When::Time(_)) => Err(format!("a daily period needs both times; {FORM}")),
            };
            Ok(Validity::Between {
                from: moment(from)?,
                until: moment(until)?,
            })
        }
    }
}

const FORM: &str = "write { from = \"2026-01-01T00:00:00Z\", until = \"2026-02-01T00:00:00Z\" } or, for every day in UTC, { from = \"08:00\", until = \"18:00\" }";

enum When {
    Moment(DateTime<Utc>),
    Time(NaiveTime),
}

impl When {
    fn read(text: &str) -> Result<Self, String> {
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Moment(moment.to_utc()));
        }
        NaiveTime::parse_from_str(text, "%H:%M")
            .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"))
            .map(Self::Time)
            .map_err(|_| format!("{text:?} is no time; {FORM}"))
    }
}
