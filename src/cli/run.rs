//! `pgvalet run`: runs the proxy until it is told to stop.

use std::io;
use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, error, info, warn};

use super::workers::runtime;
use super::{Failure, harden, logging};
use crate::admin::Reloaded;
use crate::config::{self, Config};
use crate::net::PassedSockets;
use crate::server::{Predecessor, Proxy};
use crate::telemetry;

/// How long a new process may take to be ready that SIGUSR2 has asked for.
const UPGRADE: Duration = Duration::from_secs(60);

/// `before`: the process that this one is to replace.
pub(super) fn run(
    path: &Path,
    config: Config,
    before: Option<&Predecessor>,
) -> Result<(), Failure> {
    harden::become_user(config.listen.user.as_ref())?;
    let passed = PassedSockets::take().map_err(|e| Failure::Failed(e.to_string()))?;
    logging::start()?;
    harden::allow_many_sockets();
    let runtime = runtime(config.workers)?;
    let result = runtime.block_on(serve(path, config, passed, before));
    // A name service or a disk that hangs must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(
    path: &Path,
    config: Config,
    passed: PassedSockets,
    before: Option<&Predecessor>,
) -> Result<(), Failure> {
    // Before anything is bound: a signal that arrives early must not be lost.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut upgrade = signal(SignalKind::user_defined2())?;
    let mut end = EndSignals::hear()?;

    for warning in config::warnings(&config) {
        warn!("{warning}");
    }
    let proxy = match before {
        Some(before) => Proxy::take_over(config, before).await,
        None => Proxy::start_with(config, passed).await,
    };
    let proxy = proxy.map_err(|e| Failure::Failed(e.to_string()))?;
    info!(
        "pgvalet {} is running, pid {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    proxy.is_configured_by(path);
    export(&proxy);
    if before.is_none() {
        notify(NotifyState::Ready);
    }
    let successor = loop {
        tokio::select! {
            _ = hangup.recv() => drop(tokio::spawn(reload(proxy.reload_file()))),
            // What comes of it is logged.
            _ = upgrade.recv() => drop(tokio::spawn(proxy.upgrade(None, UPGRADE))),
            pid = proxy.is_handed_over() => break Some(pid),
            () = end.first() => break None,
            () = proxy.is_to_stop() => break None,
        }
    };
    if let Some(pid) = successor {
        notify(NotifyState::MainPid(pid));
        tokio::select! {
            () = proxy.drain() => {}
            () = end.first() => {}
        }
    } else {
        notify(NotifyState::Stopping);
    }
    info!("stopping: transactions may finish");
    tokio::select! {
        () = proxy.stop() => info!("stopped"),
        () = end.second() => warn!("stopped at once"),
    }
    Ok(())
}

/// Sends traces and metrics, if the environment names a collector. One that cannot be used is no
/// reason not to serve.
fn export(proxy: &Proxy) {
    let (options, wrong) = telemetry::Options::from(|name| std::env::var(name).ok());
    for sentence in wrong {
        warn!("{sentence}");
    }
    let Some(options) = options else { return };
    for signal in [&options.traces, &options.metrics].into_iter().flatten() {
        info!("OpenTelemetry: sending to {}", signal.url);
    }
    if let Err(why) = proxy.export(&options) {
        warn!("nothing is sent to the collector of OpenTelemetry: {why}");
    }
}

/// Reads the file again. A file that is wrong changes nothing.
async fn reload(file: impl Future<Output = Result<Reloaded, String>>) {
    if let Err(e) = file.await {
        error!("the configuration was not reloaded, and nothing has changed: {e}");
    }
}

/// Notifies systemd, if it asked for that.
fn notify(state: NotifyState<'_>) {
    if let Err(e) = sd_notify::notify(&[state]) {
        debug!("systemd could not be notified: {e}");
    }
}

/// The signals that ask for the end.
///
/// Two of them end the process at once. Other requests to stop do not count: the process that
/// has replaced this one passes on that it stops, and then a supervisor sends SIGTERM to both.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    heard: u32,
}

impl EndSignals {
    fn hear() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            heard: 0,
        })
    }

    async fn first(&mut self) {
        self.reach(1).await;
    }

    async fn second(&mut self) {
        self.reach(2).await;
    }

    /// Waits until as many have come since the start.
    async fn reach(&mut self, count: u32) {
        while self.heard < count {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            self.heard += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use nix::sys::signal::{Signal::SIGINT, Signal::SIGTERM, raise};

    use super::*;

    /// One signal behind another request to stop is the first one.
    #[tokio::test]
    async fn only_a_second_signal_ends_the_process_at_once() {
        let mut end = EndSignals::hear().expect("signals");
        let mut seen = signal(SignalKind::terminate()).expect("signals");
        {
            let mut second = pin!(end.second());
            assert!(second.as_mut().now_or_never().is_none());
            raise(SIGTERM).expect("raised");
            seen.recv().await;
            assert!(second.as_mut().now_or_never().is_none(), "one signal");
            raise(SIGINT).expect("raised");
            second.await;
        }
        assert!(end.first().now_or_never().is_some());
    }
}
