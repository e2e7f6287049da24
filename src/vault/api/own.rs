//! Calls of pgvalet itself, which may do everything: an operation's own types in
//! and out, with the checks and the trail that every call has.

use std::sync::Arc;

use serde::Serialize;

use super::call::Operation;
use super::caller::Caller;
use super::reply::Growing;
use super::{Api, ApiError, trail};
use crate::vault::Location;

impl Api {
    /// Where the store is kept.
    pub(in crate::vault) fn location(&self) -> &Location {
        self.vault.shared.storage.location()
    }

    /// Runs an operation.
    pub(in crate::vault) async fn own<O>(self: Arc<Self>, request: O) -> Result<O::Answer, ApiError>
    where
        O: Operation + Serialize + Send + 'static,
        O::Answer: Send + 'static,
    {
        let done = self.run(move |api, draft| {
            let caller = Caller::own();
            draft.caller = Some(caller.clone());
            draft.operation(O::NAME);
            if api.trail.is_kept() {
                draft.parameters = parameters(&request);
            }
            api.noting(draft, |draft| api.execute(&caller, request, draft, Ok))
        });
        done.await.result
    }
}

/// What the trail shows of a request: the parameters that it would show of the
/// same request by HTTP.
fn parameters(request: &impl Serialize) -> serde_json::Value {
    let mut body = Growing::default();
    match serde_json::to_writer(&mut body, request) {
        Ok(()) => trail::parameters(&body.0),
        Err(_) => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::super::shapes::SecretText;
    use super::super::values::PutSecretValue;
    use super::*;

    #[test]
    fn the_trail_shows_what_it_shows_of_a_call_by_http() {
        let request = PutSecretValue {
            id: Some("a".into()),
            text: Some(SecretText(Zeroizing::new("hunter2".into()))),
            stages: Some(vec!["AWSPENDING".into()]),
            ..PutSecretValue::default()
        };
        let body = serde_json::to_vec(&request).unwrap();
        let shown = parameters(&request);
        assert_eq!(shown, trail::parameters(&body));
        let expected = json!({ "secretId": "a", "versionStages": ["AWSPENDING"] });
        assert_eq!(shown, expected);
    }
}
