//! Whose connections a pool has: what each identity holds, and used last.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many connections of the pool belong to which identity.
#[derive(Default)]
pub(super) struct Shares(Vec<Arc<Share>>);

struct Share {
    client: Arc<str>,
    connections: AtomicUsize,
}

impl Shares {
    /// Counts one more connection of this identity, until the owner is dropped.
    pub fn own(&mut self, client: &Arc<str>) -> Owner {
        let share = self.find(client).cloned().unwrap_or_else(|| {
            // Identities that a reload took away leave nothing behind.
            self.0.retain(|share| share.connections.load(Relaxed) > 0);
            let share = Arc::new(Share {
                client: client.clone(),
                connections: AtomicUsize::new(0),
            });
            self.0.push(share.clone());
            share
        });
        share.connections.fetch_add(1, Relaxed);
        Owner(share)
    }

    fn find(&self, client: &Arc<str>) -> Option<&Arc<Share>> {
        self.0.iter().find(|share| same(&share.client, client))
    }

    pub fn held_by(&self, client: &Arc<str>) -> usize {
        self.find(client)
            .map_or(0, |share| share.connections.load(Relaxed))
    }
}

/// The identity that has used a connection since its login or its last cleaning. It counts
/// among the connections of that identity for as long as this is there.
pub(super) struct Owner(Arc<Share>);

impl Owner {
    pub fn is(&self, client: &Arc<str>) -> bool {
        same(&self.0.client, client)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// Names of one configuration are the same object; a reload makes others.
fn same(one: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_while_it_is_owned() {
        let mut shares = Shares::default();
        let owners = [
            shares.own(&"a".into()),
            shares.own(&"a".into()),
            shares.own(&"b".into()),
        ];
        assert_eq!(shares.held_by(&"a".into()), 2);
        drop(owners);
        assert_eq!(shares.held_by(&"a".into()), 0);
        let _c = shares.own(&"c".into());
        assert_eq!(
            shares.0.len(),
            1,
            "identities without connections are forgotten"
        );
    }
}
