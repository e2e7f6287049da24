//! What the client's side takes along to another process: the statements, and what the client's
//! texts may have left.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::statements::{Copying, Unnamed};
use super::{FromClient, Restored};
use crate::pool::{Described, ParseSettings, Statements};
use crate::session::relay::portable::Bytes;
use crate::session::relay::replies::{Named, Sets};
use crate::wire::frame::cstr;
use crate::wire::sql::{makes_table, suspect};

/// The most bytes of statements that move; a session with more stays with its process.
const MOST: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
pub(in crate::session::relay) struct PortableClient {
    statements: Vec<PortableStatement>,
    unnamed: Option<(Bytes, Option<ParseSettings>)>,
    custom: BTreeSet<Box<str>>,
    limits: BTreeSet<Box<str>>,
    hidden_setting: bool,
    queries: u64,
}

#[derive(Serialize, Deserialize)]
struct PortableStatement {
    name: Bytes,
    body: Bytes,
    settings: Option<ParseSettings>,
    described: Option<Described>,
}

impl FromClient {
    /// Packs the client's side; `None` if something is under way, or too large.
    pub fn pack(&self) -> Option<PortableClient> {
        let busy = self.passing.is_in_message()
            || self.text.is_some()
            || self.batch_open
            || self.skipping
            || self.restore.is_some()
            || self.refused_batches > 0
            || self.copying != Copying::No
            || self.sends_again()
            || self.watch.ask;
        let listens = !self.listens.shared.is_empty() || self.listens.restored != Restored::No;
        if busy || listens || self.kept() > MOST {
            return None;
        }
        let statements = self.names.all().map(|(name, named)| PortableStatement {
            name: Bytes(name.into()),
            body: Bytes(named.statement.body.to_vec()),
            settings: named.statement.settings.get().cloned(),
            described: named.statement.description().cloned(),
        });
        let unnamed = self.unnamed.as_ref();
        Some(PortableClient {
            statements: statements.collect(),
            unnamed: unnamed.map(|u| (Bytes(u.body.clone()), u.settings.clone())),
            custom: self.watch.custom.clone(),
            limits: self.watch.limits.clone(),
            hidden_setting: self.watch.hidden_setting,
            queries: self.queries,
        })
    }

    /// Takes over what another process has packed.
    pub fn unpack(&mut self, packed: PortableClient, statements: &Statements) {
        for PortableStatement {
            name,
            body,
            settings,
            described,
        } in packed.statements
        {
            let mut statement = statements.parse(&body.0, settings);
            if let Some(described) = described {
                statement = statements.described(&statement, described);
            }
            // No copy that is there already was parsed after the client's own Parse.
            let since = statements.number();
            self.makes_tables |= statement.makes_table;
            self.names.insert(name.0.into(), Named { statement, since });
        }
        if let Some((body, settings)) = packed.unnamed {
            let text = cstr(&body.0).unwrap_or(&body.0);
            let suspects = || suspect(text);
            self.unnamed_sets = Sets::of(suspects().as_deref(), true);
            self.makes_tables |= makes_table(text);
            self.suspect_unnamed(suspects());
            self.unnamed_turn += 1;
            self.unnamed = Some(Box::new(Unnamed {
                suspicion: suspects(),
                settings,
                body: body.0.clone(),
            }));
        }
        self.watch.custom = packed.custom;
        self.watch.limits = packed.limits;
        self.watch.hidden_setting = packed.hidden_setting;
        self.queries = packed.queries;
    }
}
