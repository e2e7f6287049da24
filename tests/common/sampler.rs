//! Counts the server connections of a cluster while a test goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Cluster, eventually};

/// So few samples prove nothing.
const ENOUGH: u64 = 20;

/// Looks, as fast as Postgres answers, which backends there are. Postgres lists
/// them one after the other, so that one look may show a backend that has gone
/// beside the one that came after it; only those seen by two looks in a row
/// were certainly there at the same time. The most of those is what counts.
pub struct Sampler {
    stop: oneshot::Sender<()>,
    samples: Arc<AtomicU64>,
    task: JoinHandle<u64>,
}

impl Sampler {
    pub async fn start(cluster: &Cluster) -> Self {
        let admin = cluster.superuser().await;
        let (stop, mut stopped) = oneshot::channel();
        let samples = Arc::new(AtomicU64::new(0));
        let taken = samples.clone();
        let task = tokio::spawn(async move {
            let mut most = 0;
            let mut before = BTreeSet::new();
            let backends = "select pid from pg_stat_activity \
                 where backend_type = 'client backend' and application_name <> 'test-superuser' \
                 and usename <> 'postgres'";
            while stopped.try_recv().is_err() {
                let now: BTreeSet<String> = admin.column(backends).await.into_iter().collect();
                most = most.max(now.intersection(&before).count() as u64);
                before = now;
                taken.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            most
        });
        Self {
            stop,
            samples,
            task,
        }
    }

    /// Waits for as many samples from now on as prove something.
    pub async fn look(&self) {
        let wanted = self.samples.load(Relaxed) + ENOUGH;
        eventually("samples", Duration::from_secs(20), || async {
            (self.samples.load(Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// The most backends at once.
    pub async fn most(self) -> u64 {
        self.stop.send(()).expect("still sampling");
        let most = self.task.await.expect("the sampler ran");
        let samples = self.samples.load(Relaxed);
        assert!(samples >= ENOUGH, "only {samples} samples prove nothing");
        most
    }
}
