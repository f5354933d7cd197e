//! Traces by OTLP. Only spans with the target [`TARGET`] are exported, and no log lines.
//!
//! Without `otlp.endpoint` those spans are disabled, which costs one comparison each.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
    SpanLimits,
};
use prost::Message as _;
use tokio::runtime::Handle;
use tracing::field::Empty;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::config::TracesConfig;

/// The target of spans that are exported. Other crates use the same text.
pub(super) const TARGET: &str = "otlp";
/// The name of this service in traces.
const SERVICE: &str = "vimeo-connections";
/// Spans that wait; further ones are dropped.
const QUEUE: usize = 4_096;
/// Spans in one request.
const BATCH: usize = 512;
/// How often spans are sent.
const INTERVAL: Duration = Duration::from_secs(1);
/// Limit of a request, and of the last ones at shutdown together.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a shutdown waits for the last spans to be sent.
const SHUTDOWN: Duration = Duration::from_secs(2);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Starts exporting. All limits are set here, so that no variable of the environment changes them.
pub(super) fn start(config: &TracesConfig) -> Result<SdkTracer, reqwest::Error> {
    let exporter = Exporter {
        client: client(config)?,
        url: config.url.clone(),
        runtime: Handle::current(),
        resource: ResourceAttributesWithSchema::default(),
        is_failing: AtomicBool::new(false),
    };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(INTERVAL)
        .build();
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", SERVICE),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sampled))))
        .with_span_limits(SpanLimits::default())
        .with_resource(resource.build())
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
        .build();
    Ok(PROVIDER.get_or_init(|| provider).tracer(SERVICE))
}

fn client(config: &TracesConfig) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .timeout(TIMEOUT);
    // By default, reqwest takes root certificates from wherever the environment points.
    match config.tls.clone() {
        Some(tls) => builder.tls_backend_preconfigured(tls),
        None => builder.tls_certs_only([]),
    }
    .build()
}

/// Sends what is left, within a time limit.
pub(crate) async fn finish() {
    let Some(provider) = PROVIDER.get() else { return };
    // It blocks its thread. What could not be sent was reported.
    let _ = tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(SHUTDOWN)).await;
}

/// The span of a request, which continues the client's trace. Disabled if traces are not exported.
pub(crate) fn request_span(headers: &HeaderMap, method: &str, route: &str) -> Span {
    if !tracing::enabled!(target: TARGET, Level::DEBUG) {
        return Span::none();
    }
    let span = tracing::debug_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request_id = Empty,
    );
    // Without a valid header it has no parent.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Sends spans to the receiver.
struct Exporter {
    client: reqwest::Client,
    url: String,
    runtime: Handle,
    resource: ResourceAttributesWithSchema,
    /// Whether the last request failed, which was reported.
    is_failing: AtomicBool,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter")
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let request = self.client.post(&self.url).header("content-type", "application/x-protobuf");
        let request = request.body(spans.encode_to_vec());
        // Called on a thread of the library's, which has no runtime: even the timeout of `send` needs one.
        let failure = match self.runtime.spawn(async move { request.send().await }).await {
            Ok(Ok(response)) if response.status().is_success() => None,
            Ok(Ok(response)) => Some(format!("status {}", response.status().as_u16())),
            Ok(Err(error)) => Some(error.without_url().to_string()),
            Err(_) => Some("the service is stopping".to_owned()),
        };
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            None => Ok(()),
            Some(failure) => {
                if !was_failing {
                    tracing::warn!(
                        failure,
                        "traces cannot be sent to otlp.endpoint; spans are dropped until they can"
                    );
                }
                Err(OTelSdkError::InternalFailure(failure))
            }
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
