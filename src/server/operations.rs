//! What the console and the admin listener ask of the proxy.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tracing::{info, warn};

use super::build::Built;
use super::status::rfc3339;
use super::{reload, upgrade};
use crate::admin::{Operations, Others, Reload, Reloaded, Rotation, Setting, Steer, Stop, Upgrade};
use crate::audit;
use crate::base::duration;
use crate::config::{self, Config};
use crate::pool::Pool;
use crate::secret::SecretId;
use crate::session::Context;

impl Operations for Built {
    fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        self.all_pools()
    }

    fn started_at(&self) -> SystemTime {
        self.started_at
    }

    fn others(&self) -> Others {
        self.upgrades.clients_before()
    }

    fn steer_others(&self, steer: Steer) {
        self.upgrades.steer_before(steer);
    }

    fn settings(&self) -> Vec<Setting> {
        let state = self.state.lock();
        let shown = state.config.settings.iter();
        shown
            .map(|s| Setting {
                key: s.key.clone(),
                value: s.value.clone(),
                default: s.default.clone(),
                changeable: s.changeable,
            })
            .collect()
    }

    fn records(&self, most: usize) -> Result<Vec<Value>, String> {
        let path = {
            let state = self.state.lock();
            state.config.audit.sink.file().map(ToOwned::to_owned)
        };
        let path = path.ok_or("the audit log goes to standard output")?;
        audit::latest(&path, most).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn reload(self: Arc<Self>) -> Reload {
        // A task of its own: a reload that has begun is finished, whoever waits for it.
        let task = tokio::spawn(async move { self.read_again().await });
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(e.to_string())) })
    }

    fn set(&self, key: &str, value: &str) -> Result<String, String> {
        let key = key.strip_prefix("listen.").unwrap_or(key);
        if key != "wait_notice" {
            return Err(format!(
                "SET changes wait_notice alone; change {key} in the file, and RELOAD"
            ));
        }
        let notice = duration::parse(value)?;
        self.context.set_wait_notice(notice);
        Ok("until the next reload or restart".to_owned())
    }

    fn rotate(self: Arc<Self>, secret: String) -> Rotation {
        let found = self.secret_called(&secret);
        Box::pin(async move {
            let found = found?;
            let ended = self.rotations.rotate(&found).await;
            let ended = ended.ok_or_else(|| {
                format!("nothing says that pgvalet rotates {secret}: `pgvalet rotate {secret}` does so all the same")
            })?;
            match ended {
                Ok(ending) => Ok(ending.version().as_str().into()),
                Err(e) => Err(format!("{secret} was not rotated: {e}")),
            }
        })
    }

    fn approve(&self, secret: &str) -> Result<String, String> {
        let found = self.secret_called(secret)?;
        let approved = self.rotations.approve(&found);
        let approved = approved.ok_or_else(|| format!("this proxy does not rotate {secret}"))?;
        approved.map_err(|why| format!("{secret}: {why}"))?;
        let at = self
            .rotations
            .outlook(&found)
            .and_then(|outlook| outlook.at);
        Ok(match at.filter(|at| *at > chrono::Utc::now()) {
            Some(at) => format!("{secret} will be rotated at {}", rfc3339(at.into())),
            None => format!("{secret} is rotated now"),
        })
    }

    fn upgrade(self: Arc<Self>, binary: Option<PathBuf>, limit: Duration) -> Upgrade {
        // A task of its own: whoever has asked for it may not wait for the end.
        let task = tokio::spawn(upgrade::upgrade(self, binary, limit));
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(e.to_string())) })
    }

    fn stop(&self, when: Stop) {
        info!("somebody has asked for the proxy to stop");
        // At once: an upgrade that began now would forget it, and nobody is let in any more.
        self.health.stops();
        self.stop.send_replace(Some(when));
    }
}

impl Built {
    /// The secret that somebody calls so, by its name or ARN.
    fn secret_called(&self, name: &str) -> Result<SecretId, String> {
        let state = self.state.lock();
        let mut followers = state.followers.values();
        let found = followers.find(|f| f.is_called(name));
        found
            .map(|f| f.secret.clone())
            .ok_or_else(|| format!("no pool uses the secret \"{name}\""))
    }

    async fn read_again(&self) -> Result<Reloaded, String> {
        // The file is read in turn too, so that the newest is in force in the end.
        let _one = self.reloading.lock().await;
        let file = self
            .file
            .get()
            .ok_or("this proxy has no configuration file")?;
        let config = config::load(file).map_err(|e| e.to_string());
        let running = self.state.lock().config.clone();
        let usable = config.and_then(|config| {
            check_files(&config)?;
            reload::usable(&running, &config)?;
            Ok(config)
        });
        let config = usable.inspect_err(|why| self.health.reloaded(Some(why.clone())))?;
        let warnings = config::warnings(&config);
        for warning in &warnings {
            warn!("{warning}");
        }
        Ok(Reloaded {
            warnings,
            ..reload::reload(self, config).await?
        })
    }
}

/// A file of TLS to a server that cannot be used is found now, and not by the first connection
/// that needs it.
fn check_files(config: &Config) -> Result<(), String> {
    for (name, database) in &config.databases {
        let checked = database.upstream.tls_options.check();
        checked.map_err(|e| format!("[database.{name}]: {e}"))?;
    }
    Ok(())
}
