//! A collector of traces within the test: it takes OTLP over gRPC and keeps what comes.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Server};

/// What has come.
#[derive(Debug, Default)]
struct Taken {
    requests: Vec<ExportTraceServiceRequest>,
    metadata: Vec<MetadataMap>,
}

#[derive(Debug, Clone, Default)]
struct Taker(Arc<Mutex<Taken>>);

#[tonic::async_trait]
impl TraceService for Taker {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let mut taken = self.0.lock().expect("no test panicked");
        taken.metadata.push(metadata);
        taken.requests.push(request);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector that ends with the test.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    taker: Taker,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let taker = Taker::default();
        let server = Server::builder().add_service(TraceServiceServer::new(taker.clone()));
        let serving = server.serve_with_incoming(TcpListenerStream::new(listener));
        Self {
            address,
            taker,
            serving: tokio::spawn(serving),
        }
    }

    /// The table of a configuration that sends traces here.
    pub(crate) fn table(&self, rest: &str) -> String {
        format!(
            "\n[traces]\nendpoint = \"http://{}\"\n{rest}\n",
            self.address
        )
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        let taken = self.taker.0.lock().expect("no test panicked");
        let of_resources = taken.requests.iter().flat_map(|one| &one.resource_spans);
        let mut spans = Vec::new();
        for one in of_resources {
            let resource = one.resource.as_ref();
            let resource = resource.map_or(&[][..], |resource| &resource.attributes);
            for span in one.scope_spans.iter().flat_map(|scope| &scope.spans) {
                spans.push(Seen {
                    attributes: texts(&span.attributes),
                    resource: texts(resource),
                    span: span.clone(),
                });
            }
        }
        spans
    }

    /// Everything as it came, for a search of what must not be in it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let taken = self.taker.0.lock().expect("no test panicked");
        let requests = taken.requests.iter();
        requests.flat_map(Message::encode_to_vec).collect()
    }

    /// The values of a header that came with batches.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let taken = self.taker.0.lock().expect("no test panicked");
        let values = taken
            .metadata
            .iter()
            .filter_map(|metadata| metadata.get(name));
        values
            .map(|value| value.to_str().expect("it is text").to_owned())
            .collect()
    }
}

/// A span that has come, with its attributes as text, numbers as `#1`.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) span: Span,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
}

impl Seen {
    pub(crate) fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// An attribute; none is empty.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// The spans that it is linked to, as trace and id.
    pub(crate) fn links(&self) -> Vec<(String, String)> {
        let links = self.span.links.iter();
        links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |one: &KeyValue| match one.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => format!("#{number}"),
        other => format!("{other:?}"),
    };
    let pairs = attributes.iter().map(|one| (one.key.clone(), text(one)));
    let all: BTreeMap<_, _> = pairs.collect();
    assert_eq!(all.len(), attributes.len(), "each once: {attributes:?}");
    all
}

/// A caller's context with this trace and these flags; its span is [`CALLER`].
pub(crate) fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CALLER}-{flags}")
}

/// The id of a caller's span.
pub(crate) const CALLER: &str = "00f067aa0ba902b7";
