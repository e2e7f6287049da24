use pgvalet::{config::*, secret::*, session::*, *};
use std::{collections::HashMap, sync::Arc, time::Duration};
use zeroize::Zeroizing;
struct Mem;
impl SecretStore for Mem {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        Box::pin(async move {
            if *which != Which::current() {
                return Err(StoreError::NotFound("no".into()));
            }
            let v = std::fs::read_to_string("/tmp/dev-secret.json").unwrap();
            let (ver, val) = v.split_once('\n').unwrap();
            Ok(SecretValue {
                arn: "arn:x".into(),
                name: id.as_str().into(),
                version: VersionId::new(ver),
                stages: vec!["AWSCURRENT".into()],
                created: None,
                value: Zeroizing::new(val.into()),
            })
        })
    }
    fn describe<'a>(&'a self, _: &'a SecretId) -> StoreFuture<'a, Description> {
        Box::pin(async { Err(StoreError::Denied("x".into())) })
    }
    fn create(&self, _: NewSecret) -> StoreFuture<'_, VersionId> {
        unimplemented!()
    }
    fn put<'a>(
        &'a self,
        _: &'a SecretId,
        _: Zeroizing<String>,
        _: Vec<String>,
        _: Option<VersionId>,
    ) -> StoreFuture<'a, VersionId> {
        unimplemented!()
    }
    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        unimplemented!()
    }
    fn move_stage<'a>(
        &'a self,
        _: &'a SecretId,
        _: &'a str,
        _: Option<VersionId>,
        _: Option<VersionId>,
    ) -> StoreFuture<'a, ()> {
        unimplemented!()
    }
    fn random_password(&self, _: RandomPassword) -> StoreFuture<'_, Zeroizing<String>> {
        unimplemented!()
    }
    fn delete<'a>(
        &'a self,
        _: &'a SecretId,
        _: Deletion,
    ) -> StoreFuture<'a, Option<std::time::SystemTime>> {
        unimplemented!()
    }
    fn restore<'a>(&'a self, _: &'a SecretId) -> StoreFuture<'a, ()> {
        unimplemented!()
    }
}
fn main() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("PGVALET_LOG"))
        .with_writer(std::io::stderr)
        .init();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let mk = |name: &str, mode| {
                Arc::new(Database {
                    name: name.into(),
                    secret: SecretId::new("s"),
                    host: None,
                    port: None,
                    dbname: None,
                    tls: None,
                    tls_ca: None,
                    allow_md5: false,
                    allow_cleartext: false,
                    pool_mode: mode,
                    pool_size: 20,
                    min_pool_size: 0,
                    pool_wait_timeout: Duration::from_secs(120),
                    server_idle_timeout: Duration::from_secs(600),
                    server_lifetime: Duration::from_secs(3600),
                    connect_timeout: Duration::from_secs(15),
                    drain_timeout: Duration::from_secs(300),
                    drain_deadline_action: DrainDeadlineAction::Wait,
                    rotation_grace: Duration::from_secs(120),
                })
            };
            let dbs: std::collections::BTreeMap<Arc<str>, Arc<Database>> = [
                ("tx".into(), mk("tx", PoolMode::Transaction)),
                ("se".into(), mk("se", PoolMode::Session)),
            ]
            .into();
            let client = Arc::new(Client {
                name: "dev".into(),
                rule: 1,
                network: Some(vec!["127.0.0.0/8".parse().unwrap()]),
                unix_user: None,
                databases: vec!["tx".into(), "se".into()],
                users: None,
                secret: None,
            });
            let config = Config {
                listen: Listen {
                    addresses: vec![],
                    tls: ListenTls::Off,
                    max_clients: 10000,
                    handshake_timeout: Duration::from_secs(15),
                    shutdown_timeout: Duration::from_secs(30),
                    socket_mode: 0o660,
                },
                admin: Admin {
                    address: None,
                    token_file: None,
                },
                store: Store {
                    kind: StoreKind::Aws {
                        region: None,
                        endpoint_url: None,
                        profile: None,
                    },
                    refresh: Duration::from_secs(1),
                },
                audit: config::Audit {
                    sink: AuditSink::Stdout,
                    on_failure: OnAuditFailure::Continue,
                },
                databases: dbs.clone(),
                clients: vec![client],
            };
            let metrics = observe::Metrics::new();
            let store: Arc<dyn SecretStore> = Arc::new(Mem);
            let mut pools = HashMap::new();
            for d in dbs.values() {
                let f = Follower::start(
                    d.secret.clone(),
                    store.clone(),
                    Duration::from_secs(1),
                    metrics.secret("s"),
                );
                pools.insert(
                    (d.name.clone(), d.secret.clone()),
                    pool::Pool::start(
                        d.clone(),
                        d.secret.clone(),
                        f,
                        metrics.clone(),
                        audit::Audit,
                    ),
                );
            }
            let ctx = Arc::new(Context {
                routes: arc_swap::ArcSwap::from_pointee(Routes {
                    policy: access::Policy::new(&config),
                    pools,
                }),
                sessions: Sessions::default(),
                audit: audit::Audit,
                on_audit_failure: OnAuditFailure::Continue,
                metrics,
                tls: Tls::Off,
                handshake_timeout: Duration::from_secs(15),
                clients: Arc::new(tokio::sync::Semaphore::new(10000)),
            });
            let l = net::Listener::bind(
                &ListenAddress::Tcp {
                    host: "127.0.0.1".into(),
                    port: 6500,
                },
                0o660,
            )
            .await
            .unwrap()
            .pop()
            .unwrap();
            loop {
                let a = l.accept().await.unwrap();
                tokio::spawn(session::serve(ctx.clone(), a));
            }
        });
}
