//! `pgvalet refresh`.

use std::io::{self, Write};

use super::{Failure, status};
use crate::admin;
use crate::config::Config;

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  pgvalet refresh prod/orders\n\nEvent hooks can ask for it by HTTP: POST /refresh?secret=prod%2Forders on [admin] address,\nwith the token of [admin] token_file, or else of admin.token beside the audit log"
)]
pub(super) struct Args {
    /// Name or ARN of one secret; without it, all that the proxy follows
    secret: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Makes the running proxy look up its secrets now.
pub(super) async fn run(args: &Args, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let (address, token) = status::admin_with_right(config)?;
    let found = admin::refresh(&address, token.as_ref(), args.secret.as_deref()).await?;
    if args.json {
        let json = serde_json::to_string_pretty(&found).map_err(io::Error::other)?;
        writeln!(out, "{json}")?;
    } else {
        for secret in &found {
            let current = secret.current.as_deref().unwrap_or("unknown");
            match (&secret.error, secret.changed) {
                (Some(why), _) => writeln!(out, "FAILED   {}: {why}", secret.secret)?,
                (None, true) => {
                    writeln!(out, "new      {}: AWSCURRENT is {current}", secret.secret)?
                }
                (None, false) => {
                    writeln!(out, "same     {}: AWSCURRENT is {current}", secret.secret)?
                }
            }
        }
    }
    match found.iter().any(|s| s.error.is_some()) {
        true => Err(Failure::Shown),
        false => Ok(()),
    }
}
