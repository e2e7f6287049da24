//! Sends what there is, in tasks of its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::body::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::options::{Options, Signal};
use super::points;
use super::traces::Traces;
use crate::base::jitter::Backoff;
use crate::metrics::{Counter, Family, Metrics};
use crate::net::otlp::{Endpoint, text, whole};

const FAILURES: Family<Counter, 1> = Family::new(
    "pgvalet_otel_failures_total",
    "Requests that the collector of OpenTelemetry did not take.",
    ["signal"],
);

/// How often the same spans are sent.
const TRIES: u32 = 5;

/// The wait after a failure, and the longest one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long the end of the program waits for the collector.
const GOODBYE: Duration = Duration::from_secs(2);

/// What makes the text of `/metrics` up to date.
pub type Publish = Arc<dyn Fn() + Send + Sync>;

/// Sends traces and metrics until it is closed.
pub struct Telemetry {
    traces: Option<Arc<Traces>>,
    closing: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Telemetry {
    /// Starts to send. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// A collector can never be reached as the variables say.
    pub fn start(
        options: &Options,
        metrics: &Arc<Metrics>,
        publish: Publish,
    ) -> Result<Self, String> {
        let closing = watch::Sender::new(false);
        let resource = Arc::new(resource(options));
        let mut tasks = Vec::new();
        let way = |signal: &Signal, name: &'static str| {
            Ok::<_, String>(Way {
                endpoint: Endpoint::at(&signal.url, signal.ca.as_deref())?,
                signal: signal.clone(),
                name,
                failures: metrics.series(&FAILURES, [name]),
                failing: false,
                closing: closing.subscribe(),
            })
        };
        let mut traces = None;
        if let Some(signal) = &options.traces {
            let way = way(signal, "traces")?;
            let (sampler, room) = (options.sampler, options.queue);
            let kept = Arc::new(Traces::new(sampler, room, options.batch, metrics));
            let (resource, delay) = (resource.clone(), options.delay);
            tasks.push(tokio::spawn(send_traces(
                way,
                kept.clone(),
                resource,
                delay,
            )));
            traces = Some(kept);
        }
        if let Some(signal) = &options.metrics {
            let way = way(signal, "metrics")?;
            let measured = Measured {
                metrics: metrics.clone(),
                publish,
                resource,
                began: SystemTime::now(),
            };
            tasks.push(tokio::spawn(send_metrics(way, measured, options.interval)));
        }
        Ok(Self {
            traces,
            closing,
            tasks: Mutex::new(tasks),
        })
    }

    /// Takes finished spans, if traces are sent.
    pub fn traces(&self) -> Option<&Arc<Traces>> {
        self.traces.as_ref()
    }

    /// Sends what is left, for a limited time.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        let all = async {
            for task in tasks {
                let _ = task.await; // it does not panic
            }
        };
        if timeout(GOODBYE, all).await.is_err() {
            warn!("the last traces and metrics could not be sent in time");
        }
    }
}

/// The `Resource`: this proxy.
fn resource(options: &Options) -> Value {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let (host, pid) = (host.to_string_lossy(), std::process::id());
    // As the audit log names the proxy.
    let instance = format!("{host}:{pid}");
    let own = [
        ("service.name", "pgvalet"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", &*instance),
        ("host.name", &*host),
    ];
    let given = |name: &str| options.resource.iter().any(|(key, _)| key == name);
    let own = own.iter().filter(|(name, _)| !given(name));
    let own = own.map(|(name, value)| text(name, value));
    let set = options
        .resource
        .iter()
        .map(|(name, value)| text(name, value));
    let mut attributes: Vec<Value> = own.chain(set).collect();
    attributes.push(whole("process.pid", pid));
    json!({ "attributes": attributes })
}

/// The `InstrumentationScope`.
fn scope() -> Value {
    json!({ "name": "pgvalet", "version": env!("CARGO_PKG_VERSION") })
}

/// The way of one kind of data.
struct Way {
    endpoint: Endpoint,
    signal: Signal,
    name: &'static str,
    failures: Counter,
    failing: bool,
    closing: watch::Receiver<bool>,
}

impl Way {
    /// Waits until the program ends.
    async fn closes(&mut self) {
        let _ = self.closing.wait_for(|closing| *closing).await;
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Sends a request once; `Err(true)`: it may be taken later.
    async fn send(&mut self, body: Bytes, refused: &str) -> Result<(), bool> {
        let headers = self.signal.headers.iter();
        let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        match self.endpoint.send(&headers, body, refused).await {
            Ok(refused) => {
                if refused > 0 {
                    let signal = self.name;
                    warn!(
                        signal,
                        "the collector refused {refused} of what it was sent"
                    );
                }
                if std::mem::take(&mut self.failing) {
                    info!(signal = self.name, "the collector takes data again");
                }
                Ok(())
            }
            Err(error) => {
                self.failures.increment(1);
                if !std::mem::replace(&mut self.failing, true) {
                    let signal = self.name;
                    warn!(signal, "the OpenTelemetry collector takes no data: {error}");
                }
                Err(error.may_pass())
            }
        }
    }
}

async fn send_traces(mut way: Way, traces: Arc<Traces>, resource: Arc<Value>, delay: Duration) {
    loop {
        tokio::select! {
            () = sleep(delay) => {}
            () = traces.full.notified() => {}
            () = way.closes() => {}
        }
        loop {
            let spans = traces.take();
            let count = spans.len().try_into().unwrap_or(u64::MAX);
            if count == 0 {
                break;
            }
            let resource = resource.clone();
            let body = spawn_blocking(move || {
                let spans: Vec<Value> = spans.iter().map(|(ids, span)| span.told(*ids)).collect();
                let scoped = json!([{ "scope": scope(), "spans": spans }]);
                let of = json!([{ "resource": *resource, "scopeSpans": scoped }]);
                Bytes::from(json!({ "resourceSpans": of }).to_string())
            });
            match body.await {
                Ok(body) if deliver(&mut way, &body).await => traces.were_sent(count),
                _ => traces.are_lost(count),
            }
        }
        if way.is_closing() {
            return traces.give_up();
        }
    }
}

/// Sends the same spans until they are taken, or for so long that newer ones matter more.
async fn deliver(way: &mut Way, body: &Bytes) -> bool {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    for _ in 0..TRIES {
        match way.send(body.clone(), "rejectedSpans").await {
            Ok(()) => return true,
            Err(true) if !way.is_closing() => {
                tokio::select! {
                    () = sleep(backoff.wait()) => {}
                    () = way.closes() => {}
                }
            }
            Err(_) => return false,
        }
    }
    false
}

/// Where metrics come from.
#[derive(Clone)]
struct Measured {
    metrics: Arc<Metrics>,
    publish: Publish,
    resource: Arc<Value>,
    began: SystemTime,
}

impl Measured {
    fn request(&self) -> Bytes {
        (self.publish)();
        let points = points::metrics(&self.metrics.render(), self.began, SystemTime::now());
        let scoped = json!([{ "scope": scope(), "metrics": points }]);
        let of = json!([{ "resource": *self.resource, "scopeMetrics": scoped }]);
        json!({ "resourceMetrics": of }).to_string().into()
    }
}

/// Sends all metrics from time to time. What was not taken is in the next request.
async fn send_metrics(mut way: Way, measured: Measured, interval: Duration) {
    loop {
        tokio::select! {
            () = sleep(interval) => {}
            () = way.closes() => {}
        }
        let (measured, last) = (measured.clone(), way.is_closing());
        if let Ok(body) = spawn_blocking(move || measured.request()).await {
            let _ = way.send(body, "rejectedDataPoints").await; // it is logged
        }
        if last {
            return;
        }
    }
}
