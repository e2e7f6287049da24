//! What the `OTEL_*` variables say.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::sampler::Sampler;
use crate::net::is_loopback;

/// Where one kind of data goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// The address, such as `https://collector:4318/v1/traces`.
    pub url: String,
    /// Names and values; they may be keys to the collector.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// The authorities of the collector's certificate.
    pub ca: Option<PathBuf>,
}

/// What is sent, and where to.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub traces: Option<Signal>,
    pub metrics: Option<Signal>,
    /// Attributes of this proxy, `service.name` among them.
    pub resource: Vec<(String, String)>,
    pub sampler: Sampler,
    /// How often metrics are sent.
    pub interval: Duration,
    /// How long a span waits for others, at most.
    pub delay: Duration,
    /// How many spans may wait.
    pub queue: usize,
    /// How many spans are sent at a time.
    pub batch: usize,
}

/// The variables that are read, and what was wrong with them.
struct Variables<F> {
    get: F,
    wrong: Vec<String>,
}

impl Options {
    /// Reads the variables by `get`. `None`: nothing is to be sent, as long as no variable names
    /// a collector. The sentences say which variables are not taken as they are; as
    /// OpenTelemetry demands, none of them keeps the program from starting.
    pub fn from(get: impl Fn(&str) -> Option<String>) -> (Option<Self>, Vec<String>) {
        let mut v = Variables {
            get,
            wrong: Vec::new(),
        };
        let disabled = v.get("OTEL_SDK_DISABLED");
        if disabled.is_some_and(|word| word.eq_ignore_ascii_case("true")) {
            return (None, v.wrong);
        }
        let traces = v.signal("TRACES", "v1/traces");
        let metrics = v.signal("METRICS", "v1/metrics");
        if traces.is_none() && metrics.is_none() {
            return (None, v.wrong);
        }
        let options = Self {
            traces,
            metrics,
            resource: v.resource(),
            sampler: v.sampler(),
            interval: v.milliseconds("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            delay: v.milliseconds("OTEL_BSP_SCHEDULE_DELAY", 5_000),
            queue: v.count("OTEL_BSP_MAX_QUEUE_SIZE", 2048),
            batch: v.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
        };
        (Some(options), v.wrong)
    }
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// An empty variable is none.
    fn get(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.trim().is_empty())
    }

    /// The variable of one signal, else the one of all.
    fn of(&self, signal: &str, what: &str) -> Option<String> {
        self.get(&format!("OTEL_EXPORTER_OTLP_{signal}_{what}"))
            .or_else(|| self.get(&format!("OTEL_EXPORTER_OTLP_{what}")))
    }

    fn signal(&mut self, signal: &str, path: &str) -> Option<Signal> {
        let exporter = format!("OTEL_{signal}_EXPORTER");
        match self.get(&exporter).as_deref() {
            Some("none") => return None,
            None | Some("otlp") => {}
            Some(other) => self.wrong.push(format!(
                "{exporter}={other:?} is not possible; pgvalet sends by otlp"
            )),
        }
        let own = self.get(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"));
        let all = || {
            let base = self.get("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            Some(format!("{}/{path}", base.trim().trim_end_matches('/')))
        };
        let url = own.map(|url| url.trim().to_owned()).or_else(all)?;
        let uri = url.parse::<Uri>().ok();
        let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        let Some(uri) = uri.filter(|uri| uri.host().is_some()) else {
            self.wrong.push(format!(
                "the OTLP endpoint {url:?} is no http:// or https:// address; nothing is sent there"
            ));
            return None;
        };
        if let Some(protocol) = self.of(signal, "PROTOCOL").filter(|p| p != "http/json") {
            self.wrong.push(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL={protocol:?} is not possible; pgvalet sends http/json, which a collector takes at port 4318 as it takes http/protobuf"
            ));
        }
        let headers = self.headers(signal);
        if !headers.is_empty()
            && uri.scheme_str() == Some("http")
            && !uri.host().is_some_and(is_loopback)
        {
            self.wrong.push(format!(
                "the OTLP headers are sent to {url} without encryption; use https://"
            ));
        }
        Some(Signal {
            url,
            headers,
            ca: self.of(signal, "CERTIFICATE").map(PathBuf::from),
        })
    }

    fn headers(&mut self, signal: &str) -> Vec<(String, Zeroizing<String>)> {
        let Some(list) = self.of(signal, "HEADERS").map(Zeroizing::new) else {
            return Vec::new();
        };
        let (mut headers, mut wrong) = (Vec::new(), 0);
        for (name, value) in pairs(&list, &mut wrong) {
            let valid = hyper::header::HeaderName::try_from(&name).is_ok()
                && hyper::header::HeaderValue::try_from(&value).is_ok();
            match valid {
                true => headers.push((name, Zeroizing::new(value))),
                false => wrong += 1,
            }
        }
        if wrong > 0 {
            // Without the text, which may be a key.
            self.wrong.push(format!(
                "OTEL_EXPORTER_OTLP_HEADERS: {wrong} of its entries are not NAME=VALUE, and are not sent"
            ));
        }
        headers
    }

    fn resource(&mut self) -> Vec<(String, String)> {
        let mut wrong = 0;
        let list = self.get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let mut resource = pairs(&list, &mut wrong);
        if wrong > 0 {
            self.wrong.push(format!(
                "OTEL_RESOURCE_ATTRIBUTES: {wrong} of its entries are not NAME=VALUE"
            ));
        }
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), name));
        }
        resource
    }

    fn sampler(&mut self) -> Sampler {
        let Some(name) = self.get("OTEL_TRACES_SAMPLER") else {
            return Sampler::Always;
        };
        let argument = self.get("OTEL_TRACES_SAMPLER_ARG");
        Sampler::named(&name, argument.as_deref()).unwrap_or_else(|why| {
            self.wrong.push(format!("{why}; every trace is kept"));
            Sampler::Always
        })
    }

    fn milliseconds(&mut self, name: &str, default: u64) -> Duration {
        let count = self.count(name, usize::try_from(default).unwrap_or(usize::MAX));
        Duration::from_millis(count.try_into().unwrap_or(default))
    }

    /// A number from 1.
    fn count(&mut self, name: &str, default: usize) -> usize {
        let Some(text) = self.get(name) else {
            return default;
        };
        match text.trim().parse() {
            Ok(count) if count > 0 => count,
            _ => {
                self.wrong.push(format!(
                    "{name}={text:?} is no number from 1; {default} is used"
                ));
                default
            }
        }
    }
}

/// `name=value,name=value`, where values may have `%2C` and the like. Counts those that are not.
fn pairs(list: &str, wrong: &mut usize) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for entry in list.split(',').filter(|entry| !entry.trim().is_empty()) {
        let decoded = entry.split_once('=').and_then(|(name, value)| {
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((name.trim().to_owned(), value.into_owned()))
        });
        match decoded {
            Some((name, value)) if !name.is_empty() => pairs.push((name, value)),
            _ => *wrong += 1,
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
