//! One role, read from the catalogs.

use crate::rotation::error::SqlError;
use crate::rotation::sql::{Session, literal};

/// Attributes of a role: the catalog's column, and the word in ALTER ROLE.
pub(super) const ATTRIBUTES: [(&str, &str); 6] = [
    ("rolinherit", "INHERIT"),
    ("rolcreatedb", "CREATEDB"),
    ("rolcreaterole", "CREATEROLE"),
    ("rolreplication", "REPLICATION"),
    ("rolbypassrls", "BYPASSRLS"),
    ("rolcanlogin", "LOGIN"),
];

/// A role as the catalogs have it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Role {
    pub superuser: bool,
    /// Values in the order of [`ATTRIBUTES`].
    pub attributes: Vec<bool>,
    pub connection_limit: String,
    pub valid_until: String,
    /// The roles of which this one is a member, and whether it may grant them to others.
    pub member_of: Vec<(String, bool)>,
    /// Database (empty: all), name, value.
    pub settings: Vec<(String, String, String)>,
}

impl Role {
    /// A role as CREATE ROLE … LOGIN makes it.
    pub fn created() -> Self {
        Self {
            attributes: ATTRIBUTES
                .map(|(_, a)| a == "INHERIT" || a == "LOGIN")
                .into(),
            connection_limit: "-1".to_owned(),
            valid_until: "infinity".to_owned(),
            ..Self::default()
        }
    }

    /// Reads a role; `None` where there is no such role.
    pub async fn read(session: &mut Session, name: &str) -> Result<Option<Self>, SqlError> {
        let doing = "looking at the roles";
        let columns = ATTRIBUTES.map(|(column, _)| column).join(", ");
        let sql = format!(
            "SELECT rolsuper, rolconnlimit, coalesce(rolvaliduntil::text, 'infinity'), {columns}
             FROM pg_roles WHERE rolname = {}",
            literal(name)
        );
        let rows = session.ask(doing, &sql).await?;
        let Some([superuser, limit, until, attributes @ ..]) = rows.first().map(Vec::as_slice)
        else {
            return Ok(None);
        };
        let mut role = Self {
            superuser: superuser == "t",
            attributes: attributes.iter().map(|a| a == "t").collect(),
            connection_limit: limit.clone(),
            valid_until: until.clone(),
            ..Self::default()
        };
        // From Postgres 16 on there may be a row for each grantor.
        let sql = format!(
            "SELECT r.rolname, bool_or(m.admin_option) FROM pg_auth_members m
             JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles me ON me.oid = m.member
             WHERE me.rolname = {} GROUP BY r.rolname ORDER BY r.rolname",
            literal(name)
        );
        for row in session.ask(doing, &sql).await? {
            if let [role_name, admin] = &row[..] {
                role.member_of.push((role_name.clone(), admin == "t"));
            }
        }
        let sql = format!(
            "SELECT coalesce(d.datname, ''), split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
             FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
             LEFT JOIN pg_database d ON d.oid = s.setdatabase, LATERAL unnest(s.setconfig) AS c
             WHERE r.rolname = {} ORDER BY 1, 2",
            literal(name)
        );
        for row in session.ask(doing, &sql).await? {
            if let [database, name, value] = &row[..] {
                let setting = (database.clone(), name.clone(), value.clone());
                role.settings.push(setting);
            }
        }
        Ok(Some(role))
    }

    /// Whether sessions of the role act as another role, which owns everything.
    pub fn has_owner(&self) -> bool {
        self.settings.iter().any(|(_, name, _)| name == "role")
    }
}
