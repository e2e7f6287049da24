//! A plan from the answers of a person.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::plan::{Plan, Table, credential};
use crate::cli::Failure;

/// Asks for what a first configuration needs. An empty answer is the one in brackets.
pub(super) fn plan(input: &mut dyn BufRead, out: &mut dyn Write) -> Result<Plan, Failure> {
    writeln!(out, "Six questions; Enter takes the answer in brackets.")?;
    let mut ask = |question: &str, default: &str| question_of(question, default, input, out);
    let name = ask("The database that clients ask for", "app")?;
    let host = ask(
        "Its Postgres server, as HOST or HOST:PORT",
        "127.0.0.1:5432",
    )?;
    let dbname = ask("The name of the database there", &name)?;
    let role = ask("The role with which pgvalet logs in", &name)?;
    let networks = ask(
        "The networks of its clients, with commas between them",
        "127.0.0.1, ::1",
    )?;
    let password = password(
        &format!("The password of {role} (empty: it is put into the store later)"),
        input,
        out,
    )?;
    let mut plan = Plan::default();
    let mut listen = Table::new(
        "[listen]",
        &[
            "Where clients connect. For other machines, write 0.0.0.0:6432, and give a certificate and key.",
        ],
    );
    listen.list("address", ["127.0.0.1:6432"]);
    plan.port = Some(6432);
    plan.head.push(listen);
    plan.keep_here();
    let value = Some(password).filter(|p| !p.is_empty());
    let value = value.map(|password| credential(&role, &password));
    let missing = format!("{{\"username\":\"{role}\",\"password\":…}} on standard input");
    let secret = plan.secret(&name, value, &missing);
    let mut database = Table::database(
        &name,
        &["The secret has the user and the password; pgvalet follows it when it is rotated."],
    );
    database.text("secret", &secret);
    host_and_port(&mut database, &host);
    if dbname != name {
        database.text("dbname", &dbname);
    }
    plan.databases.push(database);
    let mut client = Table::client(
        &name,
        &[
            "Who may use it: whoever comes from these networks. unix_user, loopback_user, certificate and token",
            "say more about who somebody is; `pgvalet explain` says which rule decides.",
        ],
    );
    client.list("network", networks.split(',').map(str::trim));
    client.list("databases", [name.as_str()]);
    plan.clients.push(client);
    Ok(plan)
}

/// `HOST`, `HOST:PORT`, `[::1]:PORT` or the directory of a socket.
pub(super) fn host_and_port(table: &mut Table, text: &str) {
    let split = text.rsplit_once(':').filter(|(host, port)| {
        let bare = !host.contains(':') || host.starts_with('[');
        bare && port.parse::<u16>().is_ok()
    });
    let (host, port) = match split {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    table.text("host", host.trim_start_matches('[').trim_end_matches(']'));
    if let Some(port) = port {
        table.set("port", port);
    }
}

fn question_of(
    question: &str,
    default: &str,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<String, Failure> {
    write!(out, "{question} [{default}]: ")?;
    out.flush()?;
    let answer = line(input)?;
    Ok(match answer.trim() {
        "" => default.to_owned(),
        answer => answer.to_owned(),
    })
}

/// Asks for a password, which is not shown while it is typed.
pub(super) fn password(
    question: &str,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<Zeroizing<String>, Failure> {
    write!(out, "{question}: ")?;
    out.flush()?;
    let silent = Silent::begin();
    let answer = line(input);
    let was_silent = silent.is_some();
    drop(silent);
    if was_silent {
        writeln!(out)?;
    }
    Ok(Zeroizing::new(
        answer?.trim_end_matches(['\n', '\r']).to_owned(),
    ))
}

fn line(input: &mut dyn BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    match input.read_line(&mut line)? {
        0 => Err(Failure::Usage(
            "the answers end here; nothing was written".to_owned(),
        )),
        _ => Ok(line),
    }
}

/// The terminal shows nothing of what is typed, until this is dropped.
struct Silent(nix::sys::termios::Termios);

impl Silent {
    /// `None`: there is no terminal.
    fn begin() -> Option<Self> {
        let input = io::stdin();
        if !input.is_terminal() {
            return None;
        }
        let before = tcgetattr(input.as_fd()).ok()?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // If that fails, `stty sane` helps, and there is nobody to tell.
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port() {
        for (text, host, port) in [
            ("db", "\"db\"", None),
            ("db:5433", "\"db\"", Some("5433")),
            ("::1", "\"::1\"", None),
            ("[::1]:5433", "\"::1\"", Some("5433")),
            ("/run/postgresql", "\"/run/postgresql\"", None),
        ] {
            let mut table = Table::default();
            host_and_port(&mut table, text);
            let value = |key: &str| {
                let found = table.keys.iter().find(|(name, _)| name == key);
                found.map(|(_, value)| value.as_str())
            };
            assert_eq!((value("host"), value("port")), (Some(host), port), "{text}");
        }
    }
}
