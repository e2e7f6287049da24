//! The console: `psql -p 6432 -d pgvalet`, for clients whose rule says `admin`.
//!
//! It answers as PgBouncer's does, for the programs that read that, and speaks the simple and
//! the extended protocol, for the drivers that prepare everything.
//!
//! * `session`  one session, from its greeting to its goodbye
//! * `execute`  what it does for a command, and what it answers
//! * `messages` the messages of the extended protocol
//! * `input`    the messages of a client
//! * `extended` prepared statements and portals
//! * `words`    a text as statements, each of a few words
//! * `command`  what a statement asks for
//! * `driver`   what drivers send by themselves; `driver_settings` and `driver_select` answer it
//! * `show`     what there is to see; its rows come from `show_…`
//! * `only`     the rows of it that have a name
//! * `averages` what databases do in a second
//! * `table`    columns and cells, and how they are written

mod averages;
mod command;
mod driver;
mod driver_select;
mod driver_settings;
mod execute;
mod extended;
mod input;
mod messages;
mod only;
mod session;
mod show;
mod show_audit;
mod show_clients;
mod show_config;
mod show_databases;
mod show_lists;
mod show_pools;
mod show_rules;
mod show_secrets;
mod show_servers;
mod show_stats;
mod show_trouble;
mod table;
mod words;

use std::pin::Pin;
use std::sync::{Arc, Weak};

pub use self::show_servers::{holders, state as server_state};

use self::averages::Averages;
use self::session::Session;
use self::show::World;
use super::Operations;
use crate::pool::Pool;
use crate::session::{self as sessions, Farewell, Visit};

/// The console of a running proxy.
pub struct Console {
    proxy: Weak<dyn Operations>,
    averages: Arc<Averages>,
}

impl Console {
    /// Begins to count what averages are made of. Must be called within a Tokio runtime.
    pub fn start(proxy: Weak<dyn Operations>) -> Arc<Self> {
        let averages = Arc::new(Averages::default());
        tokio::spawn(averages.clone().run(proxy.clone()));
        Arc::new(Self { proxy, averages })
    }
}

impl sessions::Console for Console {
    fn attend(self: Arc<Self>, visit: Visit) -> Pin<Box<dyn Future<Output = Farewell> + Send>> {
        Box::pin(async move {
            let Some(proxy) = self.proxy.upgrade() else {
                return Farewell::default();
            };
            let world = World {
                proxy,
                averages: self.averages.clone(),
            };
            Session::new(world, visit).run().await
        })
    }
}

/// The pools in the order in which they are shown.
fn sorted_pools(world: &World) -> Vec<Arc<Pool>> {
    let mut pools = world.proxy.pools();
    pools.sort_by_key(|p| (p.name.clone(), p.secret.clone()));
    pools
}
