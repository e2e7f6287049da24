//! The task that looks: when it does, and who waits for it.

use std::sync::Weak;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::{Depth, Follower, Found, Known, Request};
use crate::base::jitter::{Backoff, jittered};

type Requests = mpsc::UnboundedReceiver<Request>;

pub(super) async fn follow(
    follower: Weak<Follower>,
    refresh: Duration,
    publish: watch::Sender<Known>,
    mut requests: Requests,
) {
    let mut changes = follower.upgrade().and_then(|f| f.store.changes());
    let mut backoff = Backoff::new(Duration::from_secs(1), refresh.max(Duration::from_secs(1)));
    let mut waiting: Vec<Request> = Vec::new();
    // No look has succeeded yet.
    let mut first = true;
    loop {
        let (next, found) = {
            let Some(follower) = follower.upgrade() else {
                return;
            };
            let before = publish.borrow().clone();
            let unchanged = !first
                && waiting.is_empty()
                && is_unchanged(&follower, &before, &mut requests, &mut waiting).await;
            let mut found = match unchanged {
                true => Found::unchanged(before),
                false => follower.examine(&before, depth(&waiting, first)).await,
            };
            if waiting.iter().any(|r| r.asked) {
                found.known.asked += 1;
            }
            let next = if found.known.error.is_some() {
                backoff.wait().min(refresh)
            } else {
                first = false;
                backoff.reset();
                jittered(refresh)
            };
            let version = found.known.current.as_ref().map(|c| c.version.as_str());
            debug!(
                secret = %follower.secret, others = found.others.len(),
                "looked: AWSCURRENT is {}; next look in {} s",
                version.unwrap_or("unknown"), next.as_secs()
            );
            publish.send_replace(found.known.clone());
            (next, found)
        };
        for waiter in waiting.drain(..) {
            let _ = waiter.done.send(found.clone());
        }
        drop(found);
        tokio::select! {
            () = sleep_until(Instant::now() + next) => {}
            () = changed(&mut changes) => {}
            request = requests.recv() => {
                let Some(request) = request else { return };
                waiting.push(request);
            }
        }
        while let Ok(request) = requests.try_recv() {
            waiting.push(request);
        }
    }
}

/// How far a look goes: as far as those who wait want, and to all labels until a look has
/// succeeded, to find out which of them may be read.
fn depth(waiting: &[Request], first: bool) -> Depth {
    let least = match first {
        true => Depth::Labelled,
        false => Depth::Current,
    };
    let wanted = waiting.iter().map(|request| request.depth).max();
    wanted.unwrap_or(least).max(least)
}

/// Whether the store, asked about many secrets at once, says that AWSCURRENT is
/// where it was. That may take seconds; a request that arrives meanwhile ends
/// the wait.
async fn is_unchanged(
    follower: &Follower,
    before: &Known,
    requests: &mut Requests,
    waiting: &mut Vec<Request>,
) -> bool {
    let Some(current) = &before.current else {
        return false;
    };
    tokio::select! {
        version = follower.store.current(&follower.secret) => {
            let same = version.as_ref() == Some(&current.version);
            if same {
                follower.metrics.fetch("ok");
            }
            same
        }
        request = requests.recv() => {
            waiting.extend(request);
            false
        }
    }
}

/// Waits until the store says that something changed. Never returns where the
/// store cannot tell.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) {
    match changes {
        Some(receiver) => {
            if receiver.changed().await.is_err() {
                *changes = None;
            }
        }
        None => std::future::pending().await,
    }
}
