//! `pgvalet status`.

use std::io::{self, Write};

use super::{Failure, table};
use crate::admin::{
    self, AdminAddress, DatabaseStatus, GenerationStatus, SecretStatus, Status, Token,
};
use crate::config::Config;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  pgvalet status --json | jq '.databases[].generations'")]
pub(super) struct Args {
    /// Print the JSON of /status
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let status = ask(config).await?;
    if args.json {
        let json = serde_json::to_string_pretty(&status).map_err(io::Error::other)?;
        writeln!(out, "{json}")?;
    } else {
        show(&status, out)?;
    }
    Ok(())
}

/// The status of the proxy that runs with this configuration.
pub(super) async fn ask(config: &Config) -> Result<Status, Failure> {
    let (address, token) = admin(config)?;
    admin::fetch(&address, token.as_ref())
        .await
        .map_err(|e| Failure::Failed(e.to_string()))
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

/// The same for who wants to change something: without a token that is configured the one
/// that the proxy made for itself, where this user may read it. It is shown for nothing
/// else: another program may listen there while the proxy does not run.
pub(super) fn admin_to_change(config: &Config) -> Result<(AdminAddress, Option<Token>), Failure> {
    let (address, token) = admin(config)?;
    let own = || Token::read(&config.admin_token_path()?).ok();
    let token = match address {
        AdminAddress::Tcp(_) => token.or_else(own),
        AdminAddress::Unix(_) => token, // the kernel says who asks
    };
    Ok((address, token))
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

fn show(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let ready = if status.ready { "ready" } else { "not ready" };
    writeln!(
        out,
        "pgvalet {}, process {}, since {}: {ready}\n",
        status.version, status.pid, status.started_at
    )?;
    let rows: Vec<_> = status.databases.iter().map(database).collect();
    let head = [
        "DATABASE",
        "SECRET",
        "MODE",
        ">CLIENTS",
        ">WAITING",
        ">ACTIVE",
        ">IDLE",
        ">OPENING",
        ">SIZE",
        "LAST ERROR",
    ];
    table::write(out, &head, &rows)?;
    let rows: Vec<_> = status
        .databases
        .iter()
        .flat_map(|d| d.generations.iter().map(|g| generation(d, g)))
        .collect();
    let head = [
        "DATABASE",
        ">GENERATION",
        "VERSION",
        "STAGES",
        "USER",
        ">ACTIVE",
        ">IDLE",
        "ADOPTED",
        "DRAINING SINCE",
    ];
    writeln!(out)?;
    table::write(out, &head, &rows)?;
    holders(status, out)?;
    let rows: Vec<_> = status.secrets.iter().map(secret).collect();
    let head = [
        "SECRET",
        "VERSION",
        "STAGES",
        "USER",
        "ADOPTED AS",
        "CONFIRMED",
        "NEXT ROTATION",
        "LAST ERROR",
    ];
    writeln!(out)?;
    table::write(out, &head, &rows)?;
    tried(status, out)
}

/// The way to the version in force, or why there is none.
fn tried(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for s in &status.secrets {
        rows.extend(s.candidates_tried.iter().map(|c| {
            vec![
                s.secret.to_string(),
                c.version.to_string(),
                c.standing.to_string(),
                c.at.clone(),
                c.why.to_string(),
            ]
        }));
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let head = ["SECRET", "TRIED IN VAIN", "AS", "AT", "BECAUSE"];
    table::write(out, &head, &rows)
}

fn database(d: &DatabaseStatus) -> Vec<String> {
    vec![
        d.name.to_string(),
        d.secret.to_string(),
        d.pool_mode.clone(),
        d.clients.to_string(),
        d.waiting.to_string(),
        d.servers.active.to_string(),
        d.servers.idle.to_string(),
        d.servers.opening.to_string(),
        d.pool_size.to_string(),
        or_dash(d.last_error.as_deref()),
    ]
}

fn generation(d: &DatabaseStatus, g: &GenerationStatus) -> Vec<String> {
    vec![
        d.name.to_string(),
        g.number.to_string(),
        g.version.to_string(),
        or_dash(Some(&g.stages.join(","))),
        g.user.to_string(),
        g.active.to_string(),
        g.idle.to_string(),
        g.adopted_at.clone(),
        or_dash(g.draining_since.as_deref()),
    ]
}

/// Who keeps old versions in use: the question that a drain raises.
fn holders(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for d in &status.databases {
        for g in &d.generations {
            rows.extend(g.holders.iter().map(|h| {
                vec![
                    d.name.to_string(),
                    g.number.to_string(),
                    h.client.to_string(),
                    h.source.to_string(),
                    h.session.to_string(),
                    h.since.clone(),
                    h.reason.clone(),
                ]
            }));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let head = [
        "DATABASE",
        ">GENERATION",
        "HELD BY",
        "FROM",
        "SESSION",
        "SINCE",
        "BECAUSE",
    ];
    writeln!(out)?;
    table::write(out, &head, &rows)
}

fn secret(s: &SecretStatus) -> Vec<String> {
    vec![
        s.secret.to_string(),
        or_dash(s.version.as_deref()),
        or_dash(Some(&s.stages.join(","))),
        or_dash(s.user.as_deref()),
        or_dash(s.adopted_as.as_deref()),
        or_dash(s.confirmed_at.as_deref()),
        or_dash(s.next_rotation.as_deref()),
        or_dash(s.last_error.as_deref()),
    ]
}

fn or_dash(text: Option<&str>) -> String {
    text.filter(|t| !t.is_empty()).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::examples::rotating;

    #[test]
    fn a_rotation_can_be_read_off_the_tables() {
        let mut out = Vec::new();
        show(&rotating(), &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        let has = |words: &[&str]| {
            let found = text
                .lines()
                .any(|l| l.split_whitespace().collect::<Vec<_>>() == words);
            assert!(found, "{words:?} is missing in:\n{text}");
        };
        has(&[
            "orders",
            "prod/orders",
            "transaction",
            "7",
            "0",
            "2",
            "4",
            "0",
            "20",
            "-",
        ]);
        has(&[
            "orders",
            "2",
            "22222222-bbbb",
            "AWSCURRENT",
            "app",
            "1",
            "2",
            "2026-01-02T03:04:05Z",
            "-",
        ]);
        has(&[
            "orders",
            "1",
            "orders-api",
            "10.0.0.1:5",
            "s-1",
            "2026-01-02T03:59:00Z",
            "in",
            "a",
            "transaction",
        ]);
        assert!(
            text.contains("33333333-cccc  AWSPENDING  2026-01-02T04:00:10Z"),
            "{text}"
        );
        assert!(text.contains("2026-02-01T03:17:00Z  the store did not answer"));
        assert!(text.starts_with("pgvalet 0.1.0, process 42, since 2026-01-02T03:04:05Z: ready\n"));
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
