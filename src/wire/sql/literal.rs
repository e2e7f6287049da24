//! A text as a literal of SQL.

use crate::base::hex;

/// A text as SQL, by itself.
pub fn literal(text: &str) -> String {
    let mut sql = String::new();
    push_text(&mut sql, text);
    sql
}

/// A text, whatever the client_encoding of the connection is this moment.
pub(crate) fn push_text(sql: &mut String, text: &str) {
    if text.is_ascii() {
        return push_literal(sql, text);
    }
    let hex = hex::encode(text.as_bytes());
    let call = format!("pg_catalog.convert_from(pg_catalog.decode('{hex}', 'hex'), 'UTF8')");
    sql.push_str(&call);
}

/// A string literal that is read alike whatever standard_conforming_strings
/// says.
pub(crate) fn push_literal(sql: &mut String, value: &str) {
    if value.contains('\\') {
        sql.push('E');
    }
    sql.push('\'');
    sql.push_str(&value.replace('\\', "\\\\").replace('\'', "''"));
    sql.push('\'');
}
