//! Counts the server connections of a cluster while a test goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Cluster;

/// Looks, as fast as Postgres answers, which backends there are. Postgres lists
/// them one after the other, so that one look may show a backend that has gone
/// beside the one that came after it; only those seen by two looks in a row
/// were certainly there at the same time. The most of those is what counts.
pub struct Sampler {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<(u64, u64)>,
}

impl Sampler {
    pub async fn start(cluster: &Cluster) -> Self {
        let admin = cluster.superuser().await;
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut most, mut samples) = (0, 0);
            let mut before = BTreeSet::new();
            let backends = "select pid from pg_stat_activity \
                 where backend_type = 'client backend' and application_name <> 'test-superuser' \
                 and usename <> 'postgres'";
            while stopped.try_recv().is_err() {
                let now: BTreeSet<String> = admin.column(backends).await.into_iter().collect();
                most = most.max(now.intersection(&before).count() as u64);
                before = now;
                samples += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (most, samples)
        });
        Self { stop, task }
    }

    /// The most backends at once.
    pub async fn most(self) -> u64 {
        self.stop.send(()).expect("still sampling");
        let (most, samples) = self.task.await.expect("the sampler ran");
        assert!(samples >= 20, "only {samples} samples prove nothing");
        most
    }
}
