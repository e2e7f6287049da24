//! The span of a rotation, for OpenTelemetry.

use super::report::{RotationReport, StepReport};
use crate::secret::VersionId;
use crate::telemetry::{Attribute, Kind, Span, SpanEvent};

impl RotationReport {
    /// The attempt, with its steps as events. What a step says in words is in the audit log.
    pub fn span(&self) -> Span {
        let mut attributes = vec![("pgvalet.secret", Attribute::from(self.secret.as_str()))];
        let last = |of: fn(&StepReport) -> Option<&str>| {
            let mut steps = self.steps.iter().rev();
            steps.find_map(|(_, step)| of(step))
        };
        if let Some(version) = last(|step| step.version.as_ref().map(VersionId::as_str)) {
            attributes.push(("pgvalet.version", version.into()));
        }
        if let Some(user) = last(|step| step.user.as_deref()) {
            attributes.push(("pgvalet.user", user.into()));
        }
        let steps = self.steps.iter().map(|(at, step)| SpanEvent {
            at: *at,
            name: step.step.name(),
            attributes: vec![("pgvalet.outcome", step.outcome.name().into())],
        });
        Span {
            name: format!("rotation {}", self.secret),
            kind: Kind::Internal,
            began: self.began,
            ended: self.ended,
            attributes,
            events: steps.collect(),
            failed: self.failed.clone(),
        }
    }
}
