//! How the proxy comes to an end: it hands over, drains, or stops.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::Proxy;
use super::upgrade::message::Message;
use crate::admin::Stop;
use crate::session::Signal;

/// How long pools may take to close their connections, and the audit log to write its last
/// records.
const GOODBYE: Duration = Duration::from_secs(5);

impl Proxy {
    /// Waits until another process serves in place of this one; its pid.
    pub async fn is_handed_over(&self) -> u32 {
        self.built.upgrades.handed_over().await
    }

    /// Waits until the sessions have ended that have stayed here, no longer than
    /// `upgrade_timeout`.
    pub async fn drain(&self) {
        let mut accepting = std::mem::take(&mut *self.accepting.lock());
        while accepting.join_next().await.is_some() {}
        let limit = self.built.state.lock().config.listen.upgrade_timeout;
        let deadline = Instant::now() + limit;
        let unused = || self.built.descriptors.are_unused();
        tokio::select! {
            () = self.wait_until(deadline, unused) => {}
            () = self.built.upgrades.asked_to_stop() => {}
        }
    }

    /// Waits until somebody asks for the proxy to stop, and, if that is what was asked for, until
    /// its clients have left.
    pub async fn is_to_stop(&self) {
        let mut asked = self.built.stop.subscribe();
        let stop = asked.wait_for(Option::is_some).await.ok();
        let stop = stop.and_then(|stop| *stop);
        if stop == Some(Stop::WhenClientsHaveLeft) {
            self.built.close();
            info!("no more clients are accepted; those that are there are waited for");
            let sessions = &self.built.context.sessions;
            while !sessions.all().is_empty() {
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Says that the proxy stops, and goes on for `drain_delay`. Then stops accepting, and lets
    /// transactions finish for at most `shutdown_timeout`. Sessions between transactions end at
    /// once. The admin listener answers until they have ended.
    pub async fn stop(&self) {
        let built = &self.built;
        built.health.stops();
        built.upgrades.tell_before(&Message::Stop);
        let listen = built.state.lock().config.listen.clone();
        if !built.upgrades.is_handed_over() {
            sleep(listen.drain_delay).await;
        }
        built.close();
        built.rotations.stop();
        let deadline = Instant::now() + listen.shutdown_timeout;
        let sessions = &built.context.sessions;
        sessions.dismiss(Signal::Shutdown);
        self.wait_until(deadline, || sessions.is_empty()).await;
        sessions.dismiss(Signal::Kill);
        built.ended.send_replace(true);
        let pools = built.all_pools();
        for pool in &pools {
            pool.shut();
        }
        let deadline = Instant::now() + GOODBYE;
        self.wait_until(deadline, || {
            sessions.is_empty() && pools.iter().all(|p| p.is_empty())
        })
        .await;
        built.context.summarize_denials();
        // Standard output may be a pipe that nobody reads.
        let closed = timeout(GOODBYE, built.context.audit.clone().close());
        if closed.await.is_err() {
            warn!("the audit log could not be written to its end in time");
        }
        let _ = timeout(GOODBYE, built.upgrades.say_goodbye()).await;
        if let Some(telemetry) = self.telemetry.get() {
            telemetry.close().await;
        }
    }

    async fn wait_until(&self, deadline: Instant, done: impl Fn() -> bool) {
        while !done() {
            if timeout_at(deadline, sleep(Duration::from_millis(10)))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}
