//! Traces: spans are sent in batches to a collector, by OTLP over gRPC, beside what is served.

mod context;
mod export;
mod sampler;

use std::time::Duration;

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider, Tracer},
};
use tonic::{
    metadata::{MetadataKey, MetadataMap},
    transport::ClientTlsConfig,
};

pub(crate) use self::context::{W3c, headers_of};
use self::{export::Reported, sampler::LinkedOr};
use crate::{
    config::{Headers, TracesConfig},
    failure::Failure,
};

/// How long the collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way of traces to their collector. What was not sent yet is sent by [`Traces::flush`].
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Gets ready to send traces; to be called within a runtime. The collector need not be there.
    ///
    /// # Errors
    /// [`Failure::BadInput`] if the endpoint is none.
    pub(crate) fn new(config: &TracesConfig) -> Result<Self, Failure> {
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&config.endpoint)
            .with_timeout(PATIENCE)
            .with_metadata(metadata(&config.headers));
        if config.endpoint.starts_with("https://") {
            exporter = exporter.with_tls_config(ClientTlsConfig::new().with_native_roots());
        }
        let exporter = exporter
            .build()
            .map_err(|error| Failure::bad_input(format!("[traces] endpoint: {error}")))?;
        let root = LinkedOr(Sampler::TraceIdRatioBased(config.sample));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Reported::new(exporter, &config.endpoint))
            .with_sampler(Sampler::ParentBased(Box::new(root)))
            .with_resource(resource(&config.service))
            .build();
        Ok(Self { provider })
    }

    /// What makes spans.
    pub(crate) fn tracer(&self) -> Tracer {
        self.provider.tracer("foreshadow")
    }

    /// Sends what is left; a collector that does not take it in time loses it.
    pub(crate) async fn flush(self) {
        let ended =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(PATIENCE));
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(%error, "the last traces may be lost");
        }
    }
}

fn resource(service: &str) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(version)
        .build()
}

/// The configuration has checked what headers are made of.
fn metadata(headers: &Headers) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for (name, value) in &headers.0 {
        let name = MetadataKey::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(mut value)) =
            (name, value.parse::<tonic::metadata::AsciiMetadataValue>())
        {
            value.set_sensitive(true);
            metadata.append(name, value);
        }
    }
    metadata
}
