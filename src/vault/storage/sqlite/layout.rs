//! The tables of the store, step by step: the file of an older pgvalet is upgraded
//! when it is opened.

use rusqlite::{Connection, TransactionBehavior};

/// `PRAGMA user_version` of a file that has all steps.
pub const LAYOUT: i64 = STEPS.len() as i64;

/// Each step upgrades a file by one layout. Steps that were released are never
/// changed.
const STEPS: &[&str] = &[SECRETS, METADATA_AND_PRINCIPALS];

/// Secrets, versions and labels. Times are milliseconds since the Unix epoch. The
/// primary key of `label` makes sure that a label is on one version only. A version
/// whose `value` is null is reserved and waits for PutSecretValue.
const SECRETS: &str = "
CREATE TABLE store (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    check_key BLOB NOT NULL,
    check_value BLOB NOT NULL
) STRICT;
CREATE TABLE secret (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    arn         TEXT NOT NULL UNIQUE,
    description TEXT,
    created     INTEGER NOT NULL,
    changed     INTEGER NOT NULL,
    deletion    INTEGER
) STRICT;
CREATE TABLE version (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    secret   INTEGER NOT NULL REFERENCES secret ON DELETE CASCADE,
    token    TEXT NOT NULL,
    created  INTEGER NOT NULL,
    data_key BLOB,
    value    BLOB,
    UNIQUE (secret, token),
    CHECK ((data_key IS NULL) = (value IS NULL))
) STRICT;
CREATE TABLE label (
    secret  INTEGER NOT NULL REFERENCES secret ON DELETE CASCADE,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL REFERENCES version ON DELETE CASCADE,
    PRIMARY KEY (secret, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_version ON label (version);
";

/// What else the Secrets Manager API shows, and who may call it. `accessed` is the
/// day of the last GetSecretValue. `rotation` is JSON (see
/// [`rotation`](super::rotation)), as are the policies and tags of a principal.
const METADATA_AND_PRINCIPALS: &str = "
ALTER TABLE secret ADD COLUMN kms_key TEXT;
ALTER TABLE secret ADD COLUMN kind TEXT;
ALTER TABLE secret ADD COLUMN accessed INTEGER;
ALTER TABLE secret ADD COLUMN rotation TEXT;
ALTER TABLE secret ADD COLUMN rotated INTEGER;
ALTER TABLE secret ADD COLUMN policy TEXT;
ALTER TABLE version ADD COLUMN kms_key TEXT;
ALTER TABLE version ADD COLUMN accessed INTEGER;
CREATE TABLE tag (
    secret INTEGER NOT NULL REFERENCES secret ON DELETE CASCADE,
    key    TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (secret, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX secret_created ON secret (created, id);
CREATE TABLE principal (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL UNIQUE,
    unique_id TEXT NOT NULL UNIQUE,
    policies TEXT NOT NULL,
    tags     TEXT NOT NULL,
    created  INTEGER NOT NULL,
    disabled INTEGER
) STRICT;
CREATE TABLE access_key (
    id        TEXT PRIMARY KEY,
    principal INTEGER NOT NULL REFERENCES principal ON DELETE CASCADE,
    created   INTEGER NOT NULL,
    expires   INTEGER,
    data_key  BLOB NOT NULL,
    value     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_key_principal ON access_key (principal);
";

/// Applies the steps that a file with this layout lacks, inside the caller's
/// transaction.
pub fn build(connection: &Connection, layout: i64) -> rusqlite::Result<()> {
    let taken = usize::try_from(layout).unwrap_or(0);
    for step in STEPS.iter().skip(taken) {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", LAYOUT)
}

/// Upgrades an older file, completely or not at all.
pub fn upgrade(connection: &mut Connection) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again inside the transaction: another process may have been faster.
    let layout: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if layout < LAYOUT {
        build(&tx, layout)?;
    }
    tx.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_first_pgvalet_becomes_what_a_new_one_is() {
        let columns = |connection: &Connection| {
            let mut statement = connection
                .prepare("SELECT m.name, c.name, c.type FROM sqlite_schema m, pragma_table_info(m.name) c ORDER BY 1, 2")
                .unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            rows.unwrap()
                .collect::<Result<Vec<(String, String, String)>, _>>()
                .unwrap()
        };
        let mut old = Connection::open_in_memory().unwrap();
        old.execute_batch(SECRETS).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute_batch(
            "INSERT INTO secret (name, arn, created, changed) VALUES ('a', 'b', 1, 2)",
        )
        .unwrap();
        upgrade(&mut old).unwrap();
        upgrade(&mut old).unwrap();
        let new = Connection::open_in_memory().unwrap();
        build(&new, 0).unwrap();
        assert_eq!(columns(&old), columns(&new));
        let kept: String = old
            .query_row("SELECT name FROM secret", [], |r| r.get(0))
            .unwrap();
        assert_eq!(kept, "a");
    }
}
