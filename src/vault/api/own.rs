//! Calls of pgvalet itself, which may do everything: an operation's own types in
//! and out, with the checks and the trail that every call has.

use std::sync::Arc;

use serde::Serialize;

use super::call::Operation;
use super::caller::Caller;
use super::reply::Growing;
use super::{Api, ApiError, trail};

impl Api {
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
            api.noting(draft, |notes| api.execute(&caller, request, notes, Ok))
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
