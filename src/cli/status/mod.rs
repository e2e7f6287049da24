//! `pgvalet status`, and how commands ask the proxy that runs.
//!
//! * `summary`  what is wrong, and a line for each database
//! * `show`     everything, in tables
//! * `select`   one database of all

mod select;
mod show;
mod summary;

use std::io::{self, Write};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Failure, table};
use crate::admin::{self, AdminAddress, Status, Token};
use crate::config::Config;

/// How often `--watch` asks.
const EVERY: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  pgvalet status --database orders\n  pgvalet status --json | jq '.databases[].generations'\n\n\
    Exit code 1 where something is wrong: pgvalet status >/dev/null || page somebody"
)]
pub(super) struct Args {
    /// Only this database, with its generations and who holds them
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// All there is to see of every database and secret
    #[arg(long, conflicts_with = "database")]
    all: bool,
    /// Show it again every two seconds, until it is interrupted
    #[arg(long)]
    watch: bool,
    /// Print the JSON of /status
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    if args.watch {
        return watch(args, config, out).await;
    }
    let (text, well) = picture(args, config).await?;
    write!(out, "{text}")?;
    if well { Ok(()) } else { Err(Failure::Shown) }
}

/// Ends only if it cannot go on.
async fn watch(args: &Args, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    loop {
        let shown = picture(args, config).await;
        // Only what was wrong with the question ends it: a proxy may come back.
        let text = match shown {
            Ok((text, _)) => text,
            Err(Failure::Failed(why)) => format!("{why}\n"),
            Err(other) => return Err(other),
        };
        if table::is_terminal() {
            write!(out, "\x1b[H\x1b[J{text}")?;
        } else {
            writeln!(out, "{text}")?;
        }
        out.flush()?;
        tokio::time::sleep(EVERY).await;
    }
}

/// What is to be shown, and whether nothing is wrong.
async fn picture(args: &Args, config: &Config) -> Result<(String, bool), Failure> {
    let mut status = ask(config).await?;
    if let Some(name) = &args.database {
        select::only(&mut status, name).map_err(Failure::Usage)?;
    }
    let mut text = Vec::new();
    if args.json {
        serde_json::to_writer_pretty(&mut text, &status).map_err(io::Error::other)?;
        text.push(b'\n');
    } else {
        summary::show(&status, &mut text)?;
        if args.all || args.database.is_some() {
            show::show(&status, &mut text)?;
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((text, status.ready && status.troubles.is_empty()))
}

/// Shows what is wrong, for `pgvalet health`.
pub(super) use summary::troubles;

/// The status of the proxy that runs with this configuration.
pub(super) async fn ask(config: &Config) -> Result<Status, Failure> {
    let (address, token) = admin(config)?;
    Ok(admin::fetch(&address, token.as_ref()).await?)
}

/// Where the proxy that runs with this configuration can be asked, and the token that is
/// configured.
pub(super) fn admin(config: &Config) -> Result<(AdminAddress, Option<Token>), Failure> {
    let Some(address) = &config.admin.address else {
        return Err(Failure::Usage(
            "the configuration switches the admin listener off, so there is nobody to ask; set [admin] address"
                .to_owned(),
        ));
    };
    let token = match &config.admin.token_file {
        Some(path) => Some(Token::read(path).map_err(|e| Failure::Failed(e.to_string()))?),
        None => None,
    };
    Ok((reachable(address), token))
}

/// Where the proxy can be asked for what not everybody may do or know, and the token for that: the
/// configured one, or else the one that the proxy made for itself, where this user may read it.
/// That one is shown for nothing else: another program may listen there while the proxy does not
/// run.
pub(super) fn admin_with_right(config: &Config) -> Result<(AdminAddress, Option<Token>), Failure> {
    let (address, token) = admin(config)?;
    let own = || Token::read(&config.admin_token_path()?).ok();
    let token = match address {
        AdminAddress::Tcp(_) => token.or_else(own),
        AdminAddress::Unix(_) => token, // the kernel says who asks
    };
    Ok((address, token))
}

/// A path with one more parameter.
pub(super) fn with(path: &str, name: &str, value: &str) -> String {
    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}{name}={value}")
}

/// A listener on all addresses is asked on loopback.
fn reachable(address: &AdminAddress) -> AdminAddress {
    if let AdminAddress::Tcp(text) = address {
        for (all, loopback) in [("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")] {
            if let Some(port) = text.strip_prefix(all) {
                return AdminAddress::Tcp(format!("{loopback}{port}"));
            }
        }
    }
    address.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_takes_several_parameters_with_whatever_is_in_them() {
        let path = with("/upgrade", "timeout", "60000ms");
        assert_eq!(
            with(&path, "binary", "/opt/a b&c=?"),
            "/upgrade?timeout=60000ms&binary=%2Fopt%2Fa%20b%26c%3D%3F"
        );
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        for (bound, asked) in [
            ("0.0.0.0:6433", "127.0.0.1:6433"),
            ("[::]:6433", "[::1]:6433"),
            ("10.0.0.1:6433", "10.0.0.1:6433"),
        ] {
            let tcp = |text: &str| AdminAddress::Tcp(text.to_owned());
            assert_eq!(reachable(&tcp(bound)), tcp(asked));
        }
    }
}
