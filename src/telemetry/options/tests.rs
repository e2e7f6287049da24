use super::*;

fn read(set: &[(&str, &str)]) -> (Option<Options>, Vec<String>) {
    Options::from(|name| {
        let found = set.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");

#[test]
fn nothing_is_sent_unless_a_collector_is_named() {
    assert_eq!(read(&[]), (None, Vec::new()));
    let named = [
        ("OTEL_SERVICE_NAME", "x"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    assert_eq!(read(&named), (None, Vec::new()));
    assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).0, None);
    assert_eq!(read(&[BASE, ("OTEL_SDK_DISABLED", "True")]).0, None);
    let none = [
        BASE,
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    assert_eq!(read(&none).0, None);
}

#[test]
fn one_endpoint_is_for_both_and_each_may_have_its_own() {
    let (options, wrong) = read(&[BASE]);
    let options = options.expect("on");
    assert!(wrong.is_empty(), "{wrong:?}");
    let url = |signal: &Option<Signal>| signal.as_ref().map(|s| s.url.clone()).expect("on");
    assert_eq!(url(&options.traces), "http://127.0.0.1:4318/v1/traces");
    assert_eq!(url(&options.metrics), "http://127.0.0.1:4318/v1/metrics");
    assert_eq!(options.interval, Duration::from_mins(1));
    assert_eq!((options.queue, options.batch), (2048, 512));
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t.example/x");
    let options = read(&[BASE, own]).0.expect("on");
    assert_eq!(url(&options.traces), "https://t.example/x");
    assert_eq!(url(&options.metrics), "http://127.0.0.1:4318/v1/metrics");
    let options = read(&[own]).0.expect("on");
    assert_eq!(options.metrics, None);
}

#[test]
fn headers_names_and_attributes_are_decoded() {
    let (options, wrong) = read(&[
        BASE,
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb%3D, x = y "),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "only=metrics"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=no,team=db%20people",
        ),
        ("OTEL_SERVICE_NAME", "orders-proxy"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "250"),
    ]);
    let options = options.expect("on");
    assert!(wrong.is_empty(), "{wrong:?}");
    let header = |name: &str, value: &str| (name.to_owned(), Zeroizing::new(value.to_owned()));
    let traces = options.traces.expect("on");
    assert_eq!(
        traces.headers,
        [header("api-key", "a,b="), header("x", "y")]
    );
    assert_eq!(
        options.metrics.expect("on").headers,
        [header("only", "metrics")]
    );
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        options.resource,
        [
            attribute("team", "db people"),
            attribute("service.name", "orders-proxy")
        ]
    );
    assert_eq!(options.sampler, Sampler::Ratio(0.5));
    assert_eq!(options.interval, Duration::from_millis(250));
}

#[test]
fn what_is_wrong_is_said_and_left_out() {
    let (options, wrong) = read(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "http://collector:4318",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=marked,marked"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ]);
    let options = options.expect("metrics are sent");
    assert_eq!(options.traces, None);
    assert_eq!(options.sampler, Sampler::Always);
    assert_eq!(options.interval, Duration::from_mins(1));
    let text = wrong.join("\n");
    for expected in [
        "\"collector:4317\" is no http://",
        "OTEL_EXPORTER_OTLP_PROTOCOL=\"grpc\"",
        "without encryption",
        "OTEL_EXPORTER_OTLP_HEADERS: 1 of",
        "OTEL_RESOURCE_ATTRIBUTES: 1 of",
        "OTEL_TRACES_SAMPLER=\"sometimes\"",
        "OTEL_METRIC_EXPORT_INTERVAL=\"0\"",
    ] {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }
    assert!(!text.contains("marked"), "a header may be a key:\n{text}");
}
