//! `pgvalet store serve`: serves the API until it is told to stop.

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use super::Place;
use crate::audit::Audit;
use crate::cli::Failure;
use crate::cli::workers::runtime;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::PassedSockets;
use crate::secret::store_title;
use crate::vault::api::{Api, StoreListener, Trail};

pub(super) fn run(config: &Config, place: &Place<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let runtime = runtime(config.workers)?;
    runtime.block_on(serve(config, place, out))
}

async fn serve(config: &Config, place: &Place<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    // Before anything is bound: a signal that arrives early must not be lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let failed = |e: &dyn std::fmt::Display| Failure::Failed(e.to_string());
    let Some(listen) = &place.store.listen else {
        return Err(Failure::Usage(format!(
            "{} has no address to serve the store on; add address = \"127.0.0.1:6434\"",
            store_title(place.name)
        )));
    };
    let door = StoreListener::bind(listen, &mut PassedSockets::default())
        .await
        .map_err(|e| failed(&e))?;
    let vault = place.open().await?;
    let audit = Audit::open(&config.audit, &Metrics::new()).map_err(|e| failed(&e))?;
    let api = Api::new(
        vault,
        Trail::to(audit.clone()).of_store(place.name.map(Into::into)),
    );
    api.rotates(
        config
            .uses()
            .into_iter()
            .map(|(_, secret)| secret)
            .filter(|secret| secret.store() == place.name)
            .collect(),
    );
    writeln!(out, "{}", door.url())?;
    out.flush()?;
    info!("the store is served on {}", door.url());
    let (closing, closed) = watch::channel(false);
    let serving = tokio::spawn(door.serve(api, closed));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    closing.send_replace(true);
    // Serving ends within seconds; a second signal does not wait for that.
    tokio::select! {
        _ = serving => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    audit.close().await;
    info!("stopped");
    Ok(())
}
