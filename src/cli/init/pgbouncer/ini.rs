//! The files of PgBouncer as they are written: sections, connection strings, users.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::Failure;

/// The keys of a section, in the order of the file.
pub(super) type Keys = Vec<(String, String)>;

/// A configuration of PgBouncer. It may hold passwords, so that it has no Debug.
#[derive(Default)]
pub(super) struct Ini {
    sections: BTreeMap<String, Keys>,
}

impl Ini {
    /// Reads a file, and those that it includes.
    ///
    /// # Errors
    /// A file cannot be read, or a line is none of PgBouncer's.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let mut ini = Self::default();
        ini.add(path, &mut String::new(), 0)?;
        Ok(ini)
    }

    fn add(&mut self, path: &Path, section: &mut String, depth: u32) -> Result<(), Failure> {
        /// What PgBouncer allows.
        const DEEPEST: u32 = 10;
        let text = Zeroizing::new(
            fs::read_to_string(path)
                .map_err(|e| Failure::Failed(format!("{} cannot be read: {e}", path.display())))?,
        );
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            let wrong =
                |what: &str| Failure::Usage(format!("{}:{}: {what}", path.display(), n + 1));
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            if let Some(included) = line.strip_prefix("%include") {
                if depth == DEEPEST {
                    return Err(wrong("files include each other too deeply"));
                }
                let included = beside(path, included.trim());
                self.add(&included, section, depth + 1)?;
            } else if let Some(name) = line.strip_prefix('[') {
                let name = name
                    .strip_suffix(']')
                    .ok_or_else(|| wrong("a ] is missing"))?;
                name.trim().clone_into(section);
                self.sections.entry(section.clone()).or_default();
            } else {
                let (key, value) = line
                    .split_once('=')
                    .ok_or_else(|| wrong("a = is missing"))?;
                let keys = self.sections.get_mut(section.as_str());
                let keys = keys.ok_or_else(|| wrong("this stands before the first section"))?;
                keys.push((unquoted(key.trim()), value.trim().to_owned()));
            }
        }
        Ok(())
    }

    pub fn section(&self, name: &str) -> &[(String, String)] {
        self.sections.get(name).map_or(&[], Vec::as_slice)
    }

    /// A key of `[pgbouncer]`, if it says anything. The last one counts.
    pub fn global(&self, key: &str) -> Option<&str> {
        let mut keys = self.section("pgbouncer").iter().rev();
        let (_, value) = keys.find(|(name, _)| name == key)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

/// A path in a file: relative paths are looked for beside it.
pub(super) fn beside(file: &Path, path: &str) -> std::path::PathBuf {
    let directory = file.parent().unwrap_or(Path::new(""));
    directory.join(path)
}

/// The name of a database may stand in quotes, with quotes in it doubled.
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    inner.map_or_else(|| text.to_owned(), |inner| inner.replace("\"\"", "\""))
}

/// The pairs of a connection string: `host=h port=1 password='it''s'`.
///
/// # Errors
/// What is wrong, without quoting it.
pub(super) fn pairs(text: &str) -> Result<Keys, &'static str> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or("a = is missing")?;
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('\'') {
            Some(quoted) => in_quotes(quoted).ok_or("a ' is missing")?,
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        pairs.push((key.trim().to_owned(), value));
        rest = left.trim_start();
    }
    Ok(pairs)
}

/// A text up to the quote that ends it, and what is behind that.
fn in_quotes(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('\'')?;
        value.push_str(before);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

/// A user of `auth_file`, with the password if that stands there.
pub(super) struct User {
    pub name: String,
    /// `None`: there is only a verifier, or nothing.
    pub password: Option<Zeroizing<String>>,
}

/// The users in an `auth_file`: `"name" "password"`, a line each.
///
/// # Errors
/// The file cannot be read, or a line is not of this form.
pub(super) fn users(path: &Path) -> Result<Vec<User>, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|e| Failure::Failed(format!("{} cannot be read: {e}", path.display())))?;
    let text = Zeroizing::new(text);
    let mut users = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        let read = double_quoted(line).and_then(|(name, rest)| {
            let (password, _) = double_quoted(rest.trim_start())?;
            Some((name, password))
        });
        let (name, password) = read.ok_or_else(|| {
            let place = format!("{}:{}", path.display(), n + 1);
            Failure::Usage(format!("{place}: write it as \"user\" \"password\""))
        })?;
        let password = Zeroizing::new(password);
        let is_plain = !password.is_empty() && !is_verifier(&password);
        users.push(User {
            name,
            password: is_plain.then_some(password),
        });
    }
    Ok(users)
}

/// A text in double quotes, in which quotes are doubled, and what is behind it.
fn double_quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut value = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        value.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

/// Whether this is what Postgres keeps of a password, with which nobody can log in.
fn is_verifier(text: &str) -> bool {
    let md5 = text
        .strip_prefix("md5")
        .is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    md5 || text.starts_with("SCRAM-SHA-256$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_read_as_pgbouncer_reads_it() {
        let read = pairs("host=db  port = 5433 password='it''s a secret' dbname=d").expect("read");
        let expected = [
            ("host", "db"),
            ("port", "5433"),
            ("password", "it's a secret"),
            ("dbname", "d"),
        ];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(read, expected);
        assert_eq!(pairs("").expect("read"), []);
        for wrong in ["host", "password='x"] {
            assert!(pairs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn users_have_passwords_or_verifiers() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("userlist.txt");
        let verifier = "md5".to_owned() + &"0a".repeat(16);
        let text = format!(
            ";a comment\n\"app\" \"p\"\"w\"\n\n\"old\" \"{verifier}\"\n\"new\" \"SCRAM-SHA-256$4096:x\"\n\"none\" \"\"\n\"md5er\" \"md5sum\"\n"
        );
        fs::write(&path, text).expect("written");
        let read = users(&path).unwrap_or_else(|e| panic!("{e}"));
        let read: Vec<(&str, Option<&str>)> = (read.iter())
            .map(|u| (u.name.as_str(), u.password.as_ref().map(|p| p.as_str())))
            .collect();
        assert_eq!(
            read,
            [
                ("app", Some("p\"w")),
                ("old", None),
                ("new", None),
                ("none", None),
                ("md5er", Some("md5sum"))
            ]
        );
        fs::write(&path, "app secret\n").expect("written");
        let said = users(&path).err().expect("refused").to_string();
        assert!(
            said.contains("userlist.txt:1") && !said.contains("secret"),
            "{said}"
        );
    }
}
