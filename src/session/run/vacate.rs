//! A client asks to drop, rename or copy a database, for which nobody else may be connected
//! to it: connections that pools keep idle there are let go.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::pool::Lease;
use crate::session::relay::Relay;
use crate::session::serve::Session;
use crate::upstream::Backend;
use crate::wire::sql::literal;

/// How long the statement is held back. Postgres waits five seconds by itself until others have
/// left.
const LIMIT: Duration = Duration::from_secs(2);

impl Session {
    /// Lets idle connections to a database go, if the client's role may do what it asks for.
    /// Whatever comes of it, the statement is sent then.
    pub(super) async fn vacate(&self, relay: &mut Relay, database: &str) {
        let asked = timeout(LIMIT, async {
            let at = self.may_vacate(relay, database).await?;
            let routes = self.context.routes.load_full();
            let pools = routes.pools.values();
            join_all(pools.map(|pool| pool.vacate(database, &at))).await;
            Some(())
        });
        let _ = asked.await;
        relay.vacated();
    }

    /// Asks the server whether the client's role may do that; returns where the server is.
    async fn may_vacate(&self, relay: &mut Relay, database: &str) -> Option<Arc<Backend>> {
        if !relay.holding.has_lease() {
            let lease = self.pool().checkout(Some(&self.handle.client)).await;
            return may(&mut lease.ok()?, database).await;
        }
        // In a transaction, none of these statements is possible.
        if !relay.at_rest() {
            return None;
        }
        let (lease, _) = relay.lease_and_watch()?;
        let may = may(lease, database).await;
        // What the connection holds is the client's: nobody else gets it as it is.
        lease.speaks();
        may
    }
}

async fn may(lease: &mut Lease, database: &str) -> Option<Arc<Backend>> {
    let name = literal(database);
    let question = format!(
        "SELECT 1 FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) {name} \
         AND (pg_catalog.pg_has_role(d.datdba, 'USAGE') OR d.datistemplate AND \
         (SELECT r.rolcreatedb FROM pg_catalog.pg_roles r \
         WHERE r.rolname OPERATOR(pg_catalog.=) current_user))"
    );
    let rows = lease.ask(&[&question]).await.ok()?;
    let yes = rows.first().is_some_and(|rows| !rows.is_empty());
    yes.then(|| lease.backend().clone())
}
