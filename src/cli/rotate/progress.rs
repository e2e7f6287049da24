//! The steps of a rotation, on the terminal and in the audit log.

use std::io::{self, Write};
use std::time::Instant;

use chrono::{SecondsFormat, Utc};
use serde_json::json;

use crate::audit::Audit;
use crate::rotation::{Admitted, Ending, Observer, StepReport};

pub struct Progress {
    json: bool,
    audit: Option<Audit>,
    began: Instant,
}

impl Progress {
    pub fn new(json: bool, audit: Option<Audit>) -> Self {
        Self {
            json,
            audit,
            began: Instant::now(),
        }
    }

    /// Prints the last line for programs.
    pub fn end(&self, ending: &Ending) {
        if self.json {
            let outcome = match ending {
                Ending::Rotated(_) => "rotated",
                Ending::Elsewhere(_) => "elsewhere",
            };
            say(&json!({"outcome": outcome, "version": ending.version().as_str()}).to_string());
        }
    }
}

/// Prints a line. Where nobody reads any more, the rotation goes on all the same.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

impl Observer for Progress {
    fn before(&self, report: &StepReport) -> Admitted<'_> {
        let record = report.record_of_begin();
        Box::pin(async move {
            match &self.audit {
                Some(audit) => audit.admit(record).await,
                None => Ok(()),
            }
        })
    }

    fn step(&self, report: &StepReport) {
        if let Some(audit) = &self.audit {
            audit.record(report.record());
        }
        let version = report.version.as_ref().map(|v| v.as_str());
        if self.json {
            let line = json!({
                "time": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
                "secret": report.secret.as_str(),
                "version": version,
                "user": report.user,
                "step": report.step.name(),
                "outcome": report.outcome.name(),
                "detail": report.detail,
            });
            say(&line.to_string());
        } else {
            say(&format!(
                "{} {:>7.3} s  {:12} {:8} {}",
                Utc::now().format("%H:%M:%S"),
                self.began.elapsed().as_secs_f64(),
                report.step,
                report.outcome.name(),
                report.detail
            ));
        }
    }
}
