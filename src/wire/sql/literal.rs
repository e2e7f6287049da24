//! Writes a text as an SQL literal.
//!
//! `postgres-protocol` has a function for this too, but not one that is right whatever
//! standard_conforming_strings and client_encoding are at the moment.

use crate::base::hex;

/// The text as an SQL expression.
pub fn literal(text: &str) -> String {
    let mut sql = String::new();
    push_text(&mut sql, text);
    sql
}

/// Appends a text as an SQL expression that is right whatever the connection's
/// client_encoding is at the moment.
pub(crate) fn push_text(sql: &mut String, text: &str) {
    if text.is_ascii() {
        return push_literal(sql, text);
    }
    let hex = hex::encode(text.as_bytes());
    let call = format!("pg_catalog.convert_from(pg_catalog.decode('{hex}', 'hex'), 'UTF8')");
    sql.push_str(&call);
}

/// Appends a string literal that has the same meaning whatever
/// standard_conforming_strings is.
pub(crate) fn push_literal(sql: &mut String, value: &str) {
    if value.contains('\\') {
        sql.push('E');
    }
    sql.push('\'');
    sql.push_str(&value.replace('\\', "\\\\").replace('\'', "''"));
    sql.push('\'');
}
