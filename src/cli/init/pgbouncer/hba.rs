//! `auth_hba_file`: from where which users may come.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use crate::cli::Failure;

/// A line of the file.
struct Line {
    number: usize,
    databases: Vec<String>,
    users: Vec<String>,
    from: From,
    rejects: bool,
}

enum From {
    /// A unix socket.
    Socket,
    Network(IpNet),
    Everywhere,
}

/// The file, and what of it cannot be said in rules.
pub(super) struct Hba {
    lines: Vec<Line>,
    pub notes: Vec<String>,
}

/// From where a user may come to a database.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub networks: Vec<String>,
    /// A line lets the user in from wherever it is.
    pub everywhere: bool,
}

impl Hba {
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::Failed(format!("{} cannot be read: {e}", path.display())))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let (mut lines, mut notes) = (Vec::new(), Vec::new());
        for (text, number) in text.lines().zip(1..) {
            let words = words(text);
            if words.is_empty() {
                continue;
            }
            match line(number, &words) {
                Ok(line) => {
                    notes.extend(line.note());
                    lines.push(line);
                }
                Err(why) => notes.push(format!("auth_hba_file, line {number}: {why}.")),
            }
        }
        Self { lines, notes }
    }

    /// `user`: `None` for those who are not known by name.
    pub fn places(&self, user: Option<&str>, database: &str) -> Places {
        let mut places = Places::default();
        let lines = self.lines.iter().filter(|line| !line.rejects);
        for line in lines.filter(|line| line.is_about(user, database)) {
            match &line.from {
                From::Socket => {}
                From::Everywhere => places.everywhere = true,
                From::Network(network) => {
                    let network = network.to_string();
                    if !places.networks.contains(&network) {
                        places.networks.push(network);
                    }
                }
            }
        }
        places
    }
}

impl Line {
    fn is_about(&self, user: Option<&str>, database: &str) -> bool {
        let of_database = self.databases.iter().any(|named| match named.as_str() {
            "all" => true,
            "sameuser" => user == Some(database),
            named => named == database,
        });
        let of_user = self.users.iter().any(|named| match named.as_str() {
            "all" => true,
            named => Some(named) == user,
        });
        of_database && of_user
    }

    fn note(&self) -> Option<String> {
        let number = self.number;
        if self.rejects {
            return Some(format!(
                "auth_hba_file, line {number} rejects: rules only let in; take what it names out of the networks."
            ));
        }
        match self.from {
            From::Socket => Some(format!(
                "auth_hba_file, line {number} is about unix sockets: a rule with unix_user lets in their users."
            )),
            From::Everywhere => Some(format!(
                "auth_hba_file, line {number} lets in every address, which a password has made safe: write the networks of these clients into their rules, or recognise them by certificate or token."
            )),
            From::Network(_) => None,
        }
    }
}

fn line(number: usize, words: &[Word]) -> Result<Line, &'static str> {
    let [kind, databases, users, rest @ ..] = words else {
        return Err("it has too few columns");
    };
    let (from, method) = match (kind.text.as_str(), rest) {
        ("local", [method, ..]) => (From::Socket, method),
        ("host" | "hostssl" | "hostnossl", [address, rest @ ..]) => from(&address.text, rest)?,
        _ => return Err("PgBouncer knows no such line"),
    };
    let names = |word: &Word| {
        let names = word.text.split(',');
        let names: Vec<String> = names.map(ToOwned::to_owned).collect();
        match word.text.contains('@') && !word.quoted {
            true => Err("it names a file; write what that has into rules"),
            false => Ok(names),
        }
    };
    Ok(Line {
        number,
        databases: names(databases)?,
        users: names(users)?,
        from,
        rejects: method.text == "reject",
    })
}

/// The address, which may have its mask in a column of its own, and the method behind it.
fn from<'a>(address: &str, rest: &'a [Word]) -> Result<(From, &'a Word), &'static str> {
    const NO_METHOD: &str = "it has no method";
    const NO_ADDRESS: &str = "its address is none that PgBouncer knows";
    if address == "all" {
        return Ok((From::Everywhere, rest.first().ok_or(NO_METHOD)?));
    }
    let (written, method) = match (address.contains('/'), rest) {
        (true, [method, ..]) => (address.parse().ok(), method),
        (false, [mask, method, ..]) => {
            let pair = (address.parse().ok()).zip(mask.text.parse().ok());
            let network = pair.and_then(|(ip, mask)| IpNet::with_netmask(ip, mask).ok());
            (network, method)
        }
        (false, _) if address.parse::<IpAddr>().is_err() => return Err(NO_ADDRESS),
        _ => return Err(NO_METHOD),
    };
    let network: IpNet = written.ok_or(NO_ADDRESS)?;
    Ok(match network.prefix_len() {
        0 => (From::Everywhere, method),
        _ => (From::Network(network.trunc()), method),
    })
}

struct Word {
    text: String,
    quoted: bool,
}

/// The columns of a line, without its comment.
fn words(line: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut in_word, mut in_quotes) = (false, false);
    for c in line.chars() {
        match c {
            '#' if !in_quotes => break,
            c if c.is_whitespace() && !in_quotes => in_word = false,
            c => {
                if !in_word {
                    let (text, quoted) = (String::new(), false);
                    words.push(Word { text, quoted });
                    in_word = true;
                }
                let Some(word) = words.last_mut() else { break };
                match c {
                    '"' => (in_quotes, word.quoted) = (!in_quotes, true),
                    c => word.text.push(c),
                }
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# TYPE DB USER ADDRESS METHOD\n\
        local all all peer\n\
        host orders api,\"the batch\" 10.0.0.7/8 scram-sha-256 # hosts of ours\n\
        hostssl sameuser all 192.168.1.0 255.255.255.0 md5\n\
        host all dba all cert\n\
        host orders evil 10.1.0.0/16 reject\n\
        host orders @file 10.1.0.0/16 md5\n\
        hostgssenc all all 10.1.0.0/16 md5\n\
        host all all db.example.org md5\n\
        host all mallory ::/0 trust\n";

    #[test]
    fn lines_say_from_where_who_may_come() {
        let hba = Hba::parse(FILE);
        let networks = |user, database| hba.places(user, database).networks;
        assert_eq!(networks(Some("api"), "orders"), ["10.0.0.0/8"]);
        assert_eq!(networks(Some("the batch"), "orders"), ["10.0.0.0/8"]);
        assert_eq!(networks(Some("api"), "api"), ["192.168.1.0/24"]);
        assert_eq!(hba.places(Some("api"), "other"), Places::default());
        assert_eq!(hba.places(Some("evil"), "orders"), Places::default());
        assert_eq!(hba.places(None, "orders"), Places::default());
        for user in ["dba", "mallory"] {
            assert!(hba.places(Some(user), "orders").everywhere, "{user}");
        }
        for (line, part) in [
            (2, "unix_user"),
            (5, "every address"),
            (6, "rejects"),
            (7, "names a file"),
            (8, "no such line"),
            (9, "its address is none"),
            (10, "every address"),
        ] {
            let said = hba
                .notes
                .iter()
                .find(|n| n.contains(&format!("line {line}")));
            assert!(said.is_some_and(|n| n.contains(part)), "{line}: {said:?}");
        }
        assert_eq!(hba.notes.len(), 7, "{:?}", hba.notes);
    }
}
