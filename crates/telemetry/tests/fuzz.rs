//! Telemetry: whatever senders send, it is taken or refused, and nothing panics. Runs a second of random
//! inputs by itself; `BOLERO_RANDOM_ITERATIONS` and `BOLERO_RANDOM_TEST_TIME_MS` ask for more.

#[path = "../../../tests/fuzz/edits.rs"]
mod edits;

use std::io::Write as _;

use bolero::check;
use edits::{Edits, edited};
use flate2::{Compression, write::GzEncoder};
use foreshadow_api::v1;
use foreshadow_telemetry::{
    Intake, IntakeLimits, Label, Mapping, OtlpEncoding, PRESETS, TimeSeries, WriteRequest,
    WriteSample, batch_from_report, preset, read_export, read_write_request,
};
use foreshadow_types::Timestamp;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message;

/// Unpacked bodies are no larger.
const MOST: usize = 1 << 20;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn intake() -> Intake {
    let mappings: Vec<Mapping> = PRESETS
        .iter()
        .flat_map(|name| preset(name).expect("it is one"))
        .collect();
    Intake::new(mappings, IntakeLimits::default())
}

fn write_request() -> WriteRequest {
    let label = |name: &'static str, value: &'static str| Label {
        name: name.into(),
        value: value.into(),
    };
    let sample = |seconds: i64, value| WriteSample {
        value,
        timestamp: NOW.as_millis() + 1_000 * seconds,
    };
    let series = |pod| TimeSeries {
        labels: vec![
            label("__name__", "container_cpu_usage_seconds_total"),
            label("container", "main"),
            label("namespace", "shop"),
            label("pod", pod),
        ],
        samples: vec![sample(-30, 1.0), sample(-15, 2.5), sample(0, f64::NAN)],
    };
    WriteRequest {
        timeseries: vec![series("web-1"), series("web-2")],
    }
}

#[test]
fn remote_writes_are_taken_or_refused() {
    let (intake, message) = (intake(), write_request().encode_to_vec());
    let packed = |bytes: &[u8]| {
        snap::raw::Encoder::new()
            .compress_vec(bytes)
            .expect("it is short")
    };
    let valid = packed(&message);
    let taken = |body: &[u8]| {
        let request = read_write_request(body, MOST).ok()?;
        Some(intake.write_request(&request, NOW))
    };
    assert!(taken(&valid).is_some());
    check!()
        .with_type::<(bool, Edits)>()
        .for_each(|(inside, edits)| {
            let body = if *inside {
                packed(&edited(&message, edits))
            } else {
                edited(&valid, edits)
            };
            let _outcome = taken(&body);
        });
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn export() -> ExportMetricsServiceRequest {
    let point = |value| NumberDataPoint {
        attributes: vec![text("state", "used")],
        time_unix_nano: NOW.as_millis() as u64 * 1_000_000,
        value: Some(value),
        ..NumberDataPoint::default()
    };
    let metric = |name: &str, data| Metric {
        name: name.to_owned(),
        data: Some(data),
        ..Metric::default()
    };
    let gauge = Gauge {
        data_points: vec![point(number_data_point::Value::AsDouble(0.5))],
    };
    let sum = Sum {
        data_points: vec![point(number_data_point::Value::AsInt(7))],
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![text("service.name", "web"), text("k8s.pod.name", "web-1")],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![
                    metric("container.memory.usage", Data::Gauge(gauge)),
                    metric("process.cpu.time", Data::Sum(sum)),
                ],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

#[test]
fn exports_of_opentelemetry_are_taken_or_refused() {
    let intake = intake();
    let protobuf = export().encode_to_vec();
    let json = serde_json::to_vec(&export()).expect("a message has a JSON form");
    let packed = |bytes: &[u8]| {
        let mut packing = GzEncoder::new(Vec::new(), Compression::fast());
        packing.write_all(bytes).expect("memory takes it");
        packing.finish().expect("memory takes it")
    };
    let taken = |body: &[u8], gzip, encoding| {
        let request = read_export(body, gzip, encoding, MOST).ok()?;
        Some(intake.export(&request, NOW))
    };
    assert!(taken(&protobuf, false, OtlpEncoding::Protobuf).is_some());
    assert!(taken(&json, false, OtlpEncoding::Json).is_some());
    assert!(taken(&packed(&json), true, OtlpEncoding::Json).is_some());
    check!()
        .with_type::<(bool, bool, Edits)>()
        .for_each(|(gzip, as_json, edits)| {
            let (valid, encoding) = if *as_json {
                (&json, OtlpEncoding::Json)
            } else {
                (&protobuf, OtlpEncoding::Protobuf)
            };
            let edited = edited(valid, edits);
            let body = if *gzip { packed(&edited) } else { edited };
            let _outcome = taken(&body, *gzip, encoding);
        });
}

#[test]
fn reports_are_taken_or_refused() {
    let point = |value| v1::Point { at: None, value };
    let series = v1::Series {
        entity: Some(v1::series::Entity::UserId("ada".to_owned())),
        metric: "cpu_usage_pct".to_owned(),
        points: vec![point(1.0), point(f64::INFINITY)],
    };
    let report = v1::ReportRequest {
        series: vec![series; 2],
    };
    let limits = IntakeLimits::default();
    let (protobuf, json) = (
        report.encode_to_vec(),
        serde_json::to_vec(&report).expect("a message has a JSON form"),
    );
    check!()
        .with_type::<(bool, Edits)>()
        .for_each(|(as_json, edits)| {
            let read = if *as_json {
                serde_json::from_slice(&edited(&json, edits)).ok()
            } else {
                v1::ReportRequest::decode(&*edited(&protobuf, edits)).ok()
            };
            if let Some(report) = read {
                let _outcome = batch_from_report(report, NOW, &limits);
            }
        });
}
