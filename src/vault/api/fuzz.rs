//! The API on arbitrary bytes: see `crate::fuzz`.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use axum::http::Request;
use axum::http::request::Parts;
use chrono::Utc;

use super::dispatch::{OPERATIONS, TARGET};
use super::signature::Signed;
use super::trail::{self, Draft};
use super::{Api, Caller, Trail};
use crate::vault::Vault;

/// Calls on one store, before it is replaced: some create secrets, and it must not
/// grow for ever.
const MOST: usize = 5000;

thread_local! {
    static STORE: RefCell<Option<Store>> = const { RefCell::new(None) };
}

struct Store {
    api: Arc<Api>,
    calls: usize,
    directory: PathBuf,
}

impl Store {
    /// A store with one secret, `a`.
    fn open() -> Self {
        let name = format!("pgvalet-fuzz-{}", uuid::Uuid::new_v4().simple());
        let directory = std::env::temp_dir().join(name);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let vault = runtime.expect("a runtime").block_on(async {
            let (db, key) = (directory.join("store.db"), directory.join("store.key"));
            Vault::open(&db, &key).await.expect("a store")
        });
        let api = Api::new(vault, Trail::default());
        let body = br#"{"Name":"a","SecretString":"b","ClientRequestToken":"0123456789abcdef0123456789abcdef"}"#;
        let target = format!("{TARGET}CreateSecret");
        let made = api.perform(&Caller::own(), &target, body, &mut Draft::default());
        assert!(made.is_ok());
        Self {
            api,
            calls: 0,
            directory,
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A call of pgvalet itself: the first byte chooses the operation, the rest is the
/// body. Any call is answered, and never with an internal error.
pub fn call(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else {
        return;
    };
    let api = STORE.with_borrow_mut(|store| {
        let store = match store {
            Some(store) if store.calls < MOST => store,
            worn_out => worn_out.insert(Store::open()),
        };
        store.calls += 1;
        store.api.clone()
    });
    let (name, _) = OPERATIONS[usize::from(first) % OPERATIONS.len()];
    let target = format!("{TARGET}{name}");
    let result = api.perform(&Caller::own(), &target, body, &mut Draft::default());
    let answer = match result {
        Ok(reply) => reply.to_vec(),
        Err(error) => {
            assert!(!error.status().is_server_error(), "{name}: {error:?}");
            error.body()
        }
    };
    let json: Result<serde_json::Value, _> = serde_json::from_slice(&answer);
    assert!(json.is_ok_and(|json| json.is_object()));
    // The trail has to cope with any body as well.
    let _ = trail::parameters(body).to_string();
}

/// A whole HTTP request, written as curl shows it. Nobody can sign it without the
/// key.
pub fn request(data: &[u8]) {
    let (head, body) = match data.windows(2).position(|w| w == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[][..]),
    };
    let Some(head) = parts(head) else { return };
    let Ok(signed) = Signed::read(&head) else {
        return;
    };
    let _ = signed.check_time(Utc::now());
    let key = signed.signing_key("nobody knows");
    assert!(signed.verify(&key, &head, body).is_err());
}

fn parts(head: &[u8]) -> Option<Parts> {
    let mut lines = head.split(|b| *b == b'\n');
    let (method, uri) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let at = line.iter().position(|b| *b == b':')?;
        request = request.header(&line[..at], line[at + 1..].trim_ascii());
    }
    Some(request.body(()).ok()?.into_parts().0)
}
