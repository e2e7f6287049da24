//! How rotations ended.

use serde::Serialize;

use super::fact::Fact;

/// An attempt to rotate a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rotated {
    pub secret: String,
    pub version: String,
    /// The Postgres user whose password changed.
    pub user: String,
    pub began: String,
    pub ended: String,
    /// `success`, `failure`, or `unfinished`.
    pub outcome: String,
    /// What the last step said.
    pub detail: String,
    /// What proves that the password before is dead; empty where nothing does.
    pub old_password: String,
    /// Whether the sessions of the password before were ended: it had leaked.
    pub emergency: bool,
    /// What was done about those sessions.
    pub terminated: Vec<String>,
}

#[derive(Default)]
pub struct Rotations(Vec<Rotated>);

impl Rotations {
    pub fn take(&mut self, fact: &Fact) {
        if fact.event != "rotation.step" {
            return;
        }
        let credential = fact.credential.clone().unwrap_or_default();
        let step = fact.step.as_deref().unwrap_or_default();
        let detail = fact.reason.clone().unwrap_or_default();
        let rotated = self.of(&credential.secret, step, fact);
        if !credential.version.is_empty() {
            rotated.version = credential.version;
        }
        if !credential.user.is_empty() && step != "terminate" {
            rotated.user = credential.user;
        }
        rotated.ended.clone_from(&fact.time);
        match step {
            "verify" if fact.succeeded() => rotated.old_password.clone_from(&detail),
            "terminate" => {
                rotated.emergency = true;
                rotated.terminated.push(detail.clone());
            }
            _ => {}
        }
        let finished = matches!(step, "finishSecret" | "verify" | "terminate");
        rotated.outcome = match (fact.succeeded(), finished) {
            (false, _) => "failure",
            (true, true) => "success",
            (true, false) => "unfinished",
        }
        .to_owned();
        rotated.detail = detail;
    }

    /// The attempt that a step belongs to.
    fn of(&mut self, secret: &str, step: &str, fact: &Fact) -> &mut Rotated {
        let last = self.0.iter().rposition(|r| r.secret == secret);
        let goes_on = |r: &Rotated| match step {
            "begin" => false,
            "verify" | "terminate" => r.outcome != "failure",
            _ => r.outcome == "unfinished",
        };
        let at = match last.filter(|at| goes_on(&self.0[*at])) {
            Some(at) => at,
            None => {
                self.0.push(Rotated {
                    secret: secret.to_owned(),
                    began: fact.time.clone(),
                    ..Rotated::default()
                });
                self.0.len() - 1
            }
        };
        &mut self.0[at]
    }

    pub fn finish(self) -> Vec<Rotated> {
        self.0
    }
}
