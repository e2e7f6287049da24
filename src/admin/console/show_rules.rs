//! SHOW RULES.

use super::show::World;
use super::table::{Column, Row, int4, row, text};
use crate::access::AdminRight;

pub const RULES: &[Column] = &[
    int4("rule"),
    text("client"),
    text("conditions"),
    text("databases"),
    text("users"),
    text("secret"),
    text("admin"),
    int4("pool_size"),
    int4("max_clients"),
    int4("clients"),
];

/// The rules in the order in which they decide.
pub fn rules(world: &World) -> Vec<Row> {
    let context = world.proxy.context();
    let sessions = context.sessions.all();
    let routes = context.routes.load();
    let row = |rule: &std::sync::Arc<crate::access::Rule>| {
        let conditions = rule.identity.conditions();
        let conditions: Vec<String> = conditions
            .map(|(_, condition)| condition.describe())
            .collect();
        row![
            rule.number,
            &*rule.name,
            conditions.join("; "),
            rule.databases.join(", "),
            rule.users.as_ref().map(|users| users.join(", ")),
            rule.secret.as_ref().map(|s| s.as_str().to_owned()),
            match rule.admin {
                None => "no",
                Some(AdminRight::Read) => "read",
                Some(AdminRight::Change) => "yes",
            },
            rule.pool_size,
            rule.max_clients,
            sessions.iter().filter(|s| s.client == rule.name).count(),
        ]
    };
    routes.policy.rules().iter().map(row).collect()
}
