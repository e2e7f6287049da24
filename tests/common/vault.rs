//! A stand-in for HashiCorp Vault and OpenBao: as much of the published HTTP API as
//! pgvalet asks, with the answers that the API's documentation shows. It makes and
//! drops the users of dynamic roles in Postgres, as the real one does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Session, new_password};

/// A running one; it ends when dropped.
pub struct Vault {
    pub url: String,
    state: Arc<Mutex<Inner>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Inner {
    sealed: bool,
    namespace: Option<String>,
    /// Tokens, and when each ends.
    tokens: HashMap<String, Option<Instant>>,
    /// How long the token of a login lasts, and how long it may be renewed.
    token_ttl: Duration,
    /// Whether renewing makes it last longer.
    renews: bool,
    logins: Vec<Value>,
    /// Versions by path, the first one first, each with the time at which it was made.
    kv: BTreeMap<String, Vec<(Value, String)>>,
    clock: u64,
    roles: BTreeMap<String, (String, String)>,
    /// TTL and longest time of leases, by role.
    dynamic: BTreeMap<String, (Duration, Duration)>,
    leases: BTreeMap<String, Lease>,
    /// Method and path of every request.
    asked: Vec<String>,
    made: u64,
}

struct Lease {
    user: String,
    role: String,
    ends: Instant,
    at_most: Instant,
    token: String,
}

type Shared = (Arc<Mutex<Inner>>, Arc<Option<Session>>);

impl Drop for Vault {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Vault {
    /// `admin` makes and drops the users of dynamic roles.
    pub async fn start(admin: Option<Session>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(Inner {
            token_ttl: Duration::from_secs(3600),
            ..Inner::default()
        }));
        let shared: Shared = (state.clone(), Arc::new(admin));
        let reaper = shared.clone();
        let router = Router::new().fallback(answer).with_state(shared);
        let task = tokio::spawn(async move {
            let serving = axum::serve(listener, router).into_future();
            tokio::select! {
                _ = serving => {}
                () = reap(reaper) => {}
            }
        });
        Self { url, state, task }
    }

    fn inner<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.state.lock().expect("not poisoned"))
    }

    /// A token that does not end.
    pub fn root_token(&self) -> String {
        let token = format!("root-{}", new_password());
        self.inner(|v| v.tokens.insert(token.clone(), None));
        token
    }

    pub fn revoke_tokens(&self) {
        self.inner(|v| v.tokens.clear());
    }

    pub fn seal(&self, sealed: bool) {
        self.inner(|v| v.sealed = sealed);
    }

    pub fn demand_namespace(&self, name: &str) {
        self.inner(|v| v.namespace = Some(name.to_owned()));
    }

    pub fn set_token_ttl(&self, ttl: Duration) {
        self.inner(|v| v.token_ttl = ttl);
    }

    pub fn put_kv(&self, path: &str, value: &str) {
        let value = serde_json::from_str(value).expect("JSON");
        self.inner(|v| {
            v.clock += 1;
            let created = format!(
                "2026-01-01T00:{:02}:{:02}.000000001Z",
                v.clock / 60,
                v.clock % 60
            );
            v.kv.entry(path.to_owned())
                .or_default()
                .push((value, created));
        });
    }

    /// As after `vault kv metadata delete`.
    pub fn forget_kv(&self, path: &str) {
        self.inner(|v| v.kv.remove(path));
    }

    /// As after `vault kv delete`: the newest version that has a value loses it.
    pub fn delete_newest(&self, path: &str) {
        self.inner(|v| {
            let versions = v.kv.get_mut(path).expect("a secret");
            let newest = versions.iter_mut().rfind(|(value, _)| !value.is_null());
            newest.expect("a version").0 = Value::Null;
        });
    }

    /// A token that ends, and may be renewed until it has ended.
    pub fn token_for(&self, ttl: Duration) -> String {
        let token = format!("hvs.{}", new_password());
        self.inner(|v| {
            v.token_ttl = ttl;
            v.renews = true;
            v.tokens.insert(token.clone(), Some(Instant::now() + ttl));
        });
        token
    }

    pub fn set_static(&self, path: &str, user: &str, password: &str) {
        let role = (user.to_owned(), password.to_owned());
        self.inner(|v| v.roles.insert(path.to_owned(), role));
    }

    pub fn set_dynamic(&self, path: &str, ttl: Duration, at_most: Duration) {
        self.inner(|v| v.dynamic.insert(path.to_owned(), (ttl, at_most)));
    }

    /// Ends every lease now.
    pub fn revoke_leases(&self) {
        let now = Instant::now();
        self.inner(|v| v.leases.values_mut().for_each(|lease| lease.ends = now));
    }

    /// How many users of dynamic roles there were so far.
    pub fn made(&self) -> u64 {
        self.inner(|v| v.made)
    }

    pub fn logins(&self) -> Vec<Value> {
        self.inner(|v| v.logins.clone())
    }

    /// How many requests went to paths with this in them.
    pub fn asked(&self, part: &str) -> usize {
        self.inner(|v| v.asked.iter().filter(|path| path.contains(part)).count())
    }
}

/// Drops users whose lease has ended, and their sessions, as strict revocation
/// statements do.
async fn reap((state, admin): Shared) {
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let ended: Vec<String> = {
            let mut inner = state.lock().expect("not poisoned");
            let now = Instant::now();
            let tokens = inner.tokens.clone();
            let alive = |lease: &Lease| {
                let token = tokens.get(&lease.token).copied();
                now < lease.ends && token.is_some_and(|ends| ends.is_none_or(|ends| now < ends))
            };
            let gone: Vec<String> = inner
                .leases
                .iter()
                .filter(|(_, l)| !alive(l))
                .map(|(id, _)| id.clone())
                .collect();
            gone.iter()
                .filter_map(|id| Some(inner.leases.remove(id)?.user))
                .collect()
        };
        for user in ended {
            if let Some(admin) = &*admin {
                let sql = format!(
                    "alter role \"{user}\" nologin;
                     select pg_terminate_backend(pid) from pg_stat_activity where usename = '{user}';"
                );
                admin.batch_execute(&sql).await.expect("revoked");
            }
        }
    }
}

fn refuse(status: u16, text: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, axum::Json(json!({"errors": [text]}))).into_response()
}

fn ok(body: Value) -> Response {
    axum::Json(body).into_response()
}

async fn answer(
    State((state, admin)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = uri.path().trim_start_matches("/v1/").to_owned();
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned)
    };
    let token = header("x-vault-token").unwrap_or_default();
    let (done, new_user) = {
        let mut inner = state.lock().expect("not poisoned");
        inner.asked.push(format!("{method} {path}"));
        if header("x-vault-request").as_deref() != Some("true") {
            return refuse(412, "missing the X-Vault-Request header");
        }
        if inner.sealed {
            return refuse(503, "Vault is sealed");
        }
        if inner.namespace != header("x-vault-namespace") {
            return refuse(404, "no handler for route");
        }
        if path.starts_with("auth/") && path.ends_with("/login") {
            return log_in(&mut inner, &path, &body);
        }
        let now = Instant::now();
        match inner.tokens.get(&token) {
            Some(ends) if ends.is_none_or(|ends| now < ends) => {}
            _ => return refuse(403, "permission denied"),
        }
        respond(&mut inner, &method, &path, uri.query(), &token, &body)
    };
    if let (Some((user, password)), Some(admin)) = (new_user, &*admin) {
        let sql = format!(
            "create role \"{user}\" login password '{password}' in role pg_write_all_data, pg_read_all_data"
        );
        admin.batch_execute(&sql).await.expect("a new role");
    }
    done
}

fn log_in(inner: &mut Inner, path: &str, body: &Value) -> Response {
    inner.logins.push(json!({"path": path, "body": body}));
    let right = match path {
        "auth/kubernetes/login" => body["role"] == "pgvalet" && body["jwt"] == "a.service.account",
        "auth/approle/login" => {
            body["role_id"] == "the-role" && body["secret_id"] == "the-secret-id"
        }
        _ => return refuse(404, "no handler for route"),
    };
    if !right {
        return refuse(400, "invalid role or secret ID");
    }
    let token = format!("hvs.{}", new_password());
    let ends = Instant::now() + inner.token_ttl;
    inner.tokens.insert(token.clone(), Some(ends));
    ok(json!({"auth": {
        "client_token": token, "renewable": true, "lease_duration": inner.token_ttl.as_secs(),
    }}))
}

type User = Option<(String, String)>;

fn respond(
    inner: &mut Inner,
    method: &Method,
    path: &str,
    query: Option<&str>,
    token: &str,
    body: &Value,
) -> (Response, User) {
    let now = Instant::now();
    let lease_id = body["lease_id"].as_str().unwrap_or_default().to_owned();
    let none = |response| (response, None);
    match (method.as_str(), path) {
        ("POST", "auth/token/renew-self") => {
            if inner.renews {
                let ends = now + inner.token_ttl;
                inner.tokens.insert(token.to_owned(), Some(ends));
            }
            // Otherwise its longest time is over: what is left is what it has.
            let ends = inner.tokens.get(token).copied().flatten();
            let left = ends.map_or(0, |ends| ends.saturating_duration_since(now).as_secs());
            none(ok(
                json!({"auth": {"client_token": token, "renewable": true, "lease_duration": left}}),
            ))
        }
        ("PUT", "sys/leases/renew") => {
            let increment = Duration::from_secs(body["increment"].as_u64().unwrap_or(0));
            match inner.leases.get_mut(&lease_id) {
                Some(lease) if now < lease.ends => {
                    lease.ends = (now + increment).min(lease.at_most);
                    let left = lease.ends.saturating_duration_since(now);
                    none(ok(json!({"lease_id": lease_id, "renewable": true,
                                   "lease_duration": left.as_secs_f64().round() as u64})))
                }
                _ => none(refuse(400, "lease not found")),
            }
        }
        ("PUT", "sys/leases/lookup") => match inner.leases.get(&lease_id) {
            Some(lease) if now < lease.ends => {
                none(ok(json!({"data": {"id": lease_id, "role": lease.role}})))
            }
            _ => none(refuse(400, "invalid lease")),
        },
        ("GET", path) if path.contains("/data/") => none(data(inner, path, query)),
        ("GET", path) if path.contains("/metadata/") => none(metadata(inner, path)),
        ("GET", path) if path.contains("/static-creds/") => match inner.roles.get(path) {
            Some((user, password)) => none(ok(json!({"data": {
                "username": user, "password": password, "ttl": 3000, "rotation_period": 3600,
                "last_vault_rotation": "2026-01-01T00:00:00Z",
            }}))),
            None => none(refuse(400, "unknown role")),
        },
        ("GET", path) if path.contains("/creds/") => {
            let Some((ttl, at_most)) = inner.dynamic.get(path).copied() else {
                return none(refuse(400, "unknown role"));
            };
            inner.made += 1;
            let user = format!(
                "v-{}-{}",
                path.rsplit('/').next().unwrap_or_default(),
                inner.made
            );
            let (id, password) = (format!("{path}/{}", inner.made), new_password());
            let lease = Lease {
                user: user.clone(),
                role: path.to_owned(),
                ends: now + ttl,
                at_most: now + at_most,
                token: token.to_owned(),
            };
            inner.leases.insert(id.clone(), lease);
            let body = json!({"lease_id": id, "renewable": true, "lease_duration": ttl.as_secs(),
                              "data": {"username": user, "password": password}});
            (ok(body), Some((user, password)))
        }
        _ => none(refuse(404, "no handler for route")),
    }
}

fn data(inner: &Inner, path: &str, query: Option<&str>) -> Response {
    let versions = inner.kv.get(path).map_or(&[][..], Vec::as_slice);
    let number = query.and_then(|q| q.strip_prefix("version=")?.parse().ok());
    let number: usize = number.unwrap_or(versions.len());
    match number.checked_sub(1).and_then(|n| versions.get(n)) {
        Some((Value::Null, _)) => refuse(404, "deleted"),
        Some((value, created)) => ok(json!({"data": {
            "data": value,
            "metadata": {"version": number, "created_time": created, "deletion_time": "", "destroyed": false},
        }})),
        None => refuse(404, "not found"),
    }
}

fn metadata(inner: &Inner, path: &str) -> Response {
    let Some(versions) = inner.kv.get(&path.replacen("/metadata/", "/data/", 1)) else {
        return refuse(404, "not found");
    };
    let entry = |value: &Value, created: &str| {
        let deleted = if value.is_null() {
            "2026-02-01T00:00:00Z"
        } else {
            ""
        };
        json!({"created_time": created, "deletion_time": deleted, "destroyed": false})
    };
    let numbered = versions.iter().enumerate();
    let all: serde_json::Map<String, Value> = numbered
        .map(|(n, (value, created))| ((n + 1).to_string(), entry(value, created)))
        .collect();
    ok(json!({"data": {"current_version": versions.len(), "versions": all}}))
}
