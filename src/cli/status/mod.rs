//! `pgvalet status`, and how commands ask the proxy that runs.

mod show;

use std::io::{self, Write};

use super::Failure;
use crate::admin::{self, AdminAddress, Status, Token};
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
        show::show(&status, out)?;
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

/// Where the proxy can be asked to change something, and the token for that: the configured
/// one, or else the one that the proxy made for itself, where this user may read it. That one
/// is shown for nothing but changes: another program may listen there while the proxy does not
/// run.
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

#[cfg(test)]
mod tests {
    use super::*;

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
