//! Rotates the secret, and watches what the proxy does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_postgres::Client;

use super::cluster::alter_password;
use super::journal::{Journal, Order, Rotation, in_force_everywhere, millis};
use super::proxy::{SECRET, value};
use super::tally::Tally;
use super::workload::describe;
use crate::secret::{AWSCURRENT, Rotatable, SecretId, Which};
use crate::server::Proxy;

const EVERY: Duration = Duration::from_secs(3);
/// The time between the two steps: long enough for clients to notice.
const GAP: Duration = Duration::from_millis(300);
/// No rotation starts this shortly before the end: it could not be completed.
const TAIL: Duration = Duration::from_millis(1500);
const ADOPTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the proxy is asked, and so how exactly adoptions and drains are measured.
const LOOK: Duration = Duration::from_millis(3);

pub struct Rotator {
    pub proxy: Arc<Proxy>,
    pub admin: Client,
    pub postgres_port: u16,
    pub tally: Arc<Tally>,
    pub journal: Arc<Journal>,
}

impl Rotator {
    /// Rotates every few seconds until shortly before `length`.
    pub async fn run(self, length: Duration) {
        let first = (length / 4).min(Duration::from_secs(2));
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + first, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1.. {
            ticks.tick().await;
            let no_time = self.tally.elapsed() + TAIL > length && number > 1;
            if self.tally.is_over() || no_time {
                return;
            }
            if let Err(why) = self.rotate(number).await {
                self.tally.error(&format!("rotation {number}"), &why);
            }
            if let Some(rotation) = self.journal.write().rotations.last_mut() {
                rotation.over = true;
            }
        }
    }

    async fn rotate(&self, number: usize) -> Result<(), String> {
        let store = self.proxy.stores().named(None).map_err(|e| e.to_string())?;
        let store = store.rotatable().map_err(|e| e.to_string())?;
        let secret = SecretId::new(SECRET);
        let order = Order::of(number);
        let password = store
            .random_password(Default::default())
            .await
            .map_err(|e| e.to_string())?;
        let before = store
            .get(&secret, &Which::current())
            .await
            .map_err(|e| e.to_string())?;
        let began = self.tally.elapsed();
        {
            let mut journal = self.journal.write();
            journal.rotations.push(Rotation {
                order,
                from: before.version.to_string(),
                in_place: None,
                adopted: None,
                drained: None,
                over: false,
            });
            let what = match order {
                Order::PasswordFirst => "password first: ALTER ROLE, then AWSCURRENT moves",
                Order::LabelFirst => "label first: AWSCURRENT moves, then ALTER ROLE",
            };
            journal.say(began, format!("rotation {number}, {what}"));
        }
        match order {
            Order::PasswordFirst => {
                self.change_password(&password).await?;
                sleep(GAP).await;
                self.move_label(store, &secret, &password).await?;
            }
            Order::LabelFirst => {
                self.move_label(store, &secret, &password).await?;
                sleep(GAP).await;
                self.change_password(&password).await?;
            }
        }
        let in_place = self.tally.elapsed();
        let version = {
            let mut journal = self.journal.write();
            if let Some(rotation) = journal.rotations.last_mut() {
                rotation.in_place = Some(in_place);
            }
            journal.versions.last().cloned().unwrap_or_default()
        };
        self.adopted(&version).await
    }

    async fn change_password(&self, password: &str) -> Result<(), String> {
        let changed = alter_password(&self.admin, password).await;
        changed.map_err(|e| describe(&e))
    }

    /// Puts a new version into the secret, which AWSCURRENT points at from then on.
    async fn move_label(
        &self,
        store: &dyn Rotatable,
        secret: &SecretId,
        password: &str,
    ) -> Result<(), String> {
        let value = value(self.postgres_port, password);
        let version = store
            .put(secret, value, vec![AWSCURRENT.to_owned()], None)
            .await
            .map_err(|e| e.to_string())?;
        self.journal.write().versions.push(version.to_string());
        Ok(())
    }

    async fn adopted(&self, version: &str) -> Result<(), String> {
        let adopted = async {
            while !in_force_everywhere(&self.proxy.status(), version) {
                sleep(LOOK).await;
            }
        };
        if timeout(ADOPTION_TIMEOUT, adopted).await.is_err() {
            let within = ADOPTION_TIMEOUT.as_secs();
            return Err(format!("the new version was not adopted within {within} s"));
        }
        let now = self.tally.elapsed();
        let mut journal = self.journal.write();
        let Some(rotation) = journal.rotations.last_mut() else {
            return Ok(());
        };
        rotation.adopted = Some(now);
        let took = rotation.adoption().unwrap_or_default();
        let new = journal.number(version);
        journal.say(
            now,
            format!("v{new} adopted {} after the second step", millis(took)),
        );
        Ok(())
    }
}

/// Notes when old versions have drained. Runs until the task is ended.
pub async fn watch_drains(proxy: Arc<Proxy>, tally: Arc<Tally>, journal: Arc<Journal>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let waits = journal
            .read()
            .rotations
            .iter()
            .any(|r| r.adopted.is_some() && r.drained.is_none());
        if waits {
            let status = proxy.status();
            journal.write().note_drained(&status, tally.elapsed());
        }
    }
}
