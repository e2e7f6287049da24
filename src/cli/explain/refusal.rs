//! `pgvalet explain --ref`: why the running proxy has denied a client.

use std::io::{self, Write};

use crate::admin::{self, DenialView};
use crate::audit::printable;
use crate::cli::{Failure, status, table};
use crate::config::Config;

pub(super) async fn explain(
    reference: &str,
    json: bool,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (address, token) = status::admin_with_right(config)?;
    let path = status::with("/denial", "ref", reference.trim());
    let denial: DenialView = admin::list(&address, token.as_ref(), &path).await?;
    if json {
        let json = serde_json::to_string_pretty(&denial).map_err(io::Error::other)?;
        writeln!(out, "{json}")?;
        return Ok(());
    }
    let asked = |what: &Option<std::sync::Arc<str>>| {
        format!("\"{}\"", printable(what.as_deref().unwrap_or_default()))
    };
    writeln!(out, "denied at {}: {}", denial.at, denial.words)?;
    writeln!(
        out,
        "it came from {} and asked for database {} as user {}",
        denial.source,
        asked(&denial.database),
        asked(&denial.user)
    )?;
    if let Some(meant) = &denial.meant {
        writeln!(out, "did it mean {meant}?")?;
    }
    if !denial.rules.is_empty() {
        writeln!(out)?;
        let rows: Vec<Vec<String>> = (denial.rules.iter())
            .map(|r| vec![r.rule.to_string(), r.client.to_string(), r.because.clone()])
            .collect();
        table::write(out, &[">RULE", "CLIENT", "DOES NOT MATCH BECAUSE"], &rows)?;
    }
    Ok(())
}
