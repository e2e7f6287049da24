//! What an administrator does in the new process, for the sessions that the old one still has.

use std::sync::Arc;

use crate::admin::Steer;
use crate::pool::Pool;
use crate::server::build::Built;
use crate::session::Signal;

pub fn obey(built: &Built, steer: Steer) {
    let pools = |name: Option<Arc<str>>| {
        let mut pools = built.all_pools();
        pools.retain(|pool| name.as_ref().is_none_or(|name| *name == pool.name));
        pools
    };
    let sessions = &built.context.sessions;
    match steer {
        Steer::Switches(set) => {
            built.context.switches.put(set);
            built.context.switches.apply(&pools(None));
        }
        Steer::Kill(name) => {
            let pools = pools(name);
            for session in sessions.all() {
                if pools.iter().any(|pool| session.is_client_of(pool)) {
                    session.signal(Signal::Kill);
                }
            }
        }
        Steer::KillClient(id) => {
            if let Some(session) = sessions.by_id(id) {
                session.signal(Signal::Kill);
            }
        }
        Steer::Reconnect(name) => pools(name).iter().for_each(Pool::reconnect),
    }
}
