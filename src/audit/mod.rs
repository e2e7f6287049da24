//! The audit log: who used which version of which secret, when, from where.

mod record;

pub use record::{CredentialRef, Event, IdentityRef, Outcome, Record, ServerRef};

#[derive(Clone)]
pub struct Audit;
impl Audit {
    pub fn record(&self, _r: Record) {}
    pub async fn record_durably(&self, _r: Record) -> Result<(), String> {
        Ok(())
    }
}
