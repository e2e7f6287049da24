//! `aws_iam`: the client presents a request to AWS STS that it has signed, and
//! STS says that the caller is this role or user.

use super::{Ask, Condition, Identity, TokenMethod};
use crate::access::Evidence;
use crate::access::aws_iam::{Caller, Sts};
use crate::audit::IdentityRef;
use crate::base::Pattern;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsIamRule {
    /// The ARN of the role (or user), `arn:aws:iam::ACCOUNT:role/NAME`; for a
    /// role without its path, which STS does not tell.
    pub role: Pattern,
    pub sts: Sts,
}

impl AwsIamRule {
    /// Whether the caller is one that the rule asks for, and STS was asked as the
    /// rule says.
    pub fn accepts(&self, caller: &Caller) -> bool {
        self.sts == caller.sts && self.role.matches(&caller.role)
    }
}

impl Condition for AwsIamRule {
    fn matches(&self, evidence: &Evidence) -> bool {
        (evidence.aws.as_ref()).is_some_and(|caller| self.accepts(caller))
    }

    fn because(&self, evidence: &Evidence) -> String {
        match &evidence.aws {
            None => "the client has not shown who it is in AWS".to_owned(),
            Some(caller) if caller.sts != self.sts => {
                "the client signed for another audience or endpoint than this rule's".to_owned()
            }
            Some(caller) => format!("the caller is {}, not {}", caller.role, self.role.as_str()),
        }
    }

    fn describe(&self) -> String {
        format!("AWS caller {}", self.role.as_str())
    }

    fn covers(&self, other: &Identity) -> bool {
        other.aws_iam.as_ref() == Some(self)
    }

    fn ask(&self, evidence: &Evidence) -> Option<Ask<'_>> {
        evidence.aws.is_none().then_some(Ask {
            method: TokenMethod::Password,
            issuer: None,
        })
    }
}

pub(super) fn identity(evidence: &Evidence) -> Option<IdentityRef> {
    let caller = evidence.aws.as_ref()?;
    Some(IdentityRef {
        subject: caller.arn.clone(),
        issuer: Some("sts".into()),
        ..IdentityRef::default()
    })
}
