//! What a login may do, as a set of sentences that can be compared.
//!
//! A test login proves that a password is right. It does not prove that the
//! application can work with it: the alternate user may lack a role, a grant or a
//! setting that the other user got in the meantime. So a session of each user
//! answers the same questions, and the rotation stops if the old user has a right
//! that the new one lacks.

use std::collections::BTreeSet;

use super::error::SqlError;
use super::sql::{Session, literal};

/// How many objects of each kind are looked at, the newest first: a right that is
/// missing is most likely one on an object made since the last rotation.
const SAMPLE: usize = 500;

/// What one login may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights(BTreeSet<String>);

impl Rights {
    /// Asks in a session of the user. `pair` are the users that take turns: their
    /// membership in each other does not count as a difference.
    pub async fn of(session: &mut Session, pair: [&str; 2]) -> Result<Self, SqlError> {
        let sql = query(pair);
        let rows = session.ask("looking at what the user may do", &sql).await?;
        let sentences = rows.into_iter().filter_map(|row| row.into_iter().next());
        Ok(Self(sentences.collect()))
    }

    /// The rights that `self` has and `other` lacks.
    pub fn beyond(&self, other: &Self) -> Vec<String> {
        self.0.difference(&other.0).cloned().collect()
    }

    /// How many rights of each kind there are, for people.
    pub fn summary(&self) -> String {
        let count = |kind: &str| self.0.iter().filter(|s| s.starts_with(kind)).count();
        format!(
            "{} memberships, {} settings, {} rights on schemas, {} on tables and sequences, {} on functions",
            count("role "),
            count("setting ") + count("attribute "),
            count("schema "),
            count("relation "),
            count("function "),
        )
    }
}

/// The query for rights. Privileges are those of `current_user`, which may differ
/// from the user who logged in (`ALTER ROLE … SET role`); attributes and settings
/// are those of the login.
fn query(pair: [&str; 2]) -> String {
    let [a, b] = pair.map(literal);
    format!(
        "WITH me AS (SELECT r.* FROM pg_catalog.pg_roles r WHERE r.rolname = session_user)
        SELECT 'attribute ' || a.name FROM me, LATERAL (VALUES
            (rolsuper, 'SUPERUSER'), (rolcreatedb, 'CREATEDB'), (rolcreaterole, 'CREATEROLE'),
            (rolinherit, 'INHERIT'), (rolreplication, 'REPLICATION'), (rolbypassrls, 'BYPASSRLS'),
            (true, 'CONNECTION LIMIT ' || rolconnlimit),
            (true, 'VALID UNTIL ' || coalesce(rolvaliduntil::pg_catalog.text, 'infinity'))
        ) AS a(has, name) WHERE a.has
        UNION ALL
        SELECT 'setting ' || c || CASE WHEN s.setdatabase = 0 THEN '' ELSE ' in this database' END
        FROM me JOIN pg_catalog.pg_db_role_setting s ON s.setrole = me.oid,
             LATERAL pg_catalog.unnest(s.setconfig) AS c
        WHERE s.setdatabase = 0 OR s.setdatabase =
              (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
        UNION ALL
        SELECT 'role ' || r.rolname || ': ' || p
        FROM pg_catalog.pg_roles r, (VALUES ('MEMBER'), ('USAGE')) AS p(p)
        WHERE r.rolname NOT IN ({a}, {b}) AND NOT (SELECT rolsuper FROM me)
          AND pg_catalog.pg_has_role(session_user, r.oid, p)
        UNION ALL
        SELECT 'database: ' || p FROM (VALUES ('CONNECT'), ('CREATE'), ('TEMPORARY')) AS p(p)
        WHERE pg_catalog.has_database_privilege(pg_catalog.current_database(), p)
        UNION ALL
        SELECT 'schema ' || n.nspname || ': ' || p
        FROM (SELECT * FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_'
              ORDER BY oid DESC LIMIT {SAMPLE}) n, (VALUES ('USAGE'), ('CREATE')) AS p(p)
        WHERE pg_catalog.has_schema_privilege(n.oid, p)
        UNION ALL
        SELECT 'relation ' || c.nspname || '.' || c.relname || ': ' || p.p
        FROM (SELECT c.oid, c.relname, c.relkind, c.relowner, n.nspname
              FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
                AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              ORDER BY c.oid DESC LIMIT {SAMPLE}) c,
             (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'),
                     ('TRIGGER'), ('USAGE'), ('SELECT of columns'), ('INSERT of columns'),
                     ('UPDATE of columns'), ('OWNER')) AS p(p)
        WHERE CASE
            WHEN p.p = 'OWNER' THEN pg_catalog.pg_has_role(c.relowner, 'USAGE')
            WHEN c.relkind = 'S' THEN p.p IN ('SELECT', 'UPDATE', 'USAGE')
                AND pg_catalog.has_sequence_privilege(c.oid, p.p)
            WHEN p.p = 'USAGE' THEN false
            WHEN p.p LIKE '% of columns' THEN
                pg_catalog.has_any_column_privilege(c.oid, pg_catalog.split_part(p.p, ' ', 1))
            ELSE pg_catalog.has_table_privilege(c.oid, p.p) END
        UNION ALL
        SELECT 'function ' || f.nspname || '.' || f.proname || '('
            || pg_catalog.pg_get_function_identity_arguments(f.oid) || '): EXECUTE'
        FROM (SELECT p.oid, p.proname, n.nspname
              FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
              WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              ORDER BY p.oid DESC LIMIT {SAMPLE}) f
        WHERE pg_catalog.has_function_privilege(f.oid, 'EXECUTE')"
    )
}
