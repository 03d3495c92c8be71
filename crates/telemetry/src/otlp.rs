//! OpenTelemetry metrics: the attributes of the resource and of each point are its labels.

use std::io::Read;

use foreshadow_shadow::Observation;
use foreshadow_types::Timestamp;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Metric, NumberDataPoint, metric::Data, number_data_point,
    },
};
use prost::Message;
use thiserror::Error;

use crate::mapper::{Mapper, RawSample};

/// How the message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpEncoding {
    /// Protobuf.
    Protobuf,
    /// The JSON of OTLP.
    Json,
}

/// Why a body was refused; sending it again does not help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OtlpError {
    /// It is larger than is taken.
    #[error("the body unpacks to more than {0} bytes; export fewer points at once")]
    TooLarge(usize),
    /// It cannot be unpacked.
    #[error("the body is no gzip: {0}")]
    Gzip(String),
    /// It is no message.
    #[error("the body is no ExportMetricsServiceRequest: {0}")]
    Malformed(String),
}

/// Unpacks and reads a body of OTLP over HTTP.
///
/// # Errors
/// [`OtlpError`] if it is too large or malformed.
pub fn read_export(
    body: &[u8],
    gzip: bool,
    encoding: OtlpEncoding,
    most: usize,
) -> Result<ExportMetricsServiceRequest, OtlpError> {
    let unpacked;
    let body = if gzip {
        unpacked = gunzip(body, most)?;
        &unpacked
    } else {
        body
    };
    match encoding {
        OtlpEncoding::Protobuf => ExportMetricsServiceRequest::decode(body)
            .map_err(|error| OtlpError::Malformed(error.to_string())),
        OtlpEncoding::Json => {
            serde_json::from_slice(body).map_err(|error| OtlpError::Malformed(error.to_string()))
        }
    }
}

fn gunzip(body: &[u8], most: usize) -> Result<Vec<u8>, OtlpError> {
    let mut unpacked = Vec::new();
    let limited = flate2::read::GzDecoder::new(body).take(most as u64 + 1);
    let mut limited = limited;
    limited
        .read_to_end(&mut unpacked)
        .map_err(|error| OtlpError::Gzip(error.to_string()))?;
    if unpacked.len() > most {
        return Err(OtlpError::TooLarge(most));
    }
    Ok(unpacked)
}

/// Maps all points of gauges and sums; how many points of other kinds there were. Sums
/// must be cumulative, which is the default of senders.
pub(crate) fn map_export(
    request: &ExportMetricsServiceRequest,
    mapper: &mut Mapper,
    now: Timestamp,
    into: &mut Vec<Observation>,
) -> u64 {
    let mut others = 0;
    for resource in &request.resource_metrics {
        let attributes = resource.resource.as_ref();
        let attributes = attributes.map_or(&[][..], |resource| &resource.attributes);
        let shared = texts(attributes);
        let metrics = resource
            .scope_metrics
            .iter()
            .flat_map(|scope| &scope.metrics);
        for metric in metrics {
            match points(metric) {
                Ok(points) => map_points(metric, points, &shared, mapper, now, into),
                Err(count) => others += count,
            }
        }
    }
    others
}

fn map_points(
    metric: &Metric,
    points: &[NumberDataPoint],
    shared: &[(&str, String)],
    mapper: &mut Mapper,
    now: Timestamp,
    into: &mut Vec<Observation>,
) {
    for point in points {
        let own = texts(&point.attributes);
        let labels: Vec<(&str, &str)> = shared
            .iter()
            .chain(&own)
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let value = match point.value {
            Some(number_data_point::Value::AsDouble(value)) => value,
            Some(number_data_point::Value::AsInt(value)) => value as f64,
            None => f64::NAN,
        };
        let at_ms = i64::try_from(point.time_unix_nano / 1_000_000).unwrap_or(i64::MAX);
        let at = if at_ms == 0 {
            now
        } else {
            Timestamp::from_millis(at_ms)
        };
        let sample = std::iter::once(RawSample { at, value });
        mapper.take(&metric.name, &labels, sample, now, into);
    }
}

/// Sums that tell differences: a mapping takes a sum as a counter.
const DELTA: i32 = AggregationTemporality::Delta as i32;

/// The points of a gauge or a cumulative sum; else how many points there are.
fn points(metric: &Metric) -> Result<&[NumberDataPoint], u64> {
    match &metric.data {
        Some(Data::Gauge(gauge)) => Ok(&gauge.data_points),
        Some(Data::Sum(sum)) if sum.aggregation_temporality == DELTA => {
            Err(sum.data_points.len() as u64)
        }
        Some(Data::Sum(sum)) => Ok(&sum.data_points),
        Some(Data::Histogram(histogram)) => Err(histogram.data_points.len() as u64),
        Some(Data::ExponentialHistogram(histogram)) => Err(histogram.data_points.len() as u64),
        Some(Data::Summary(summary)) => Err(summary.data_points.len() as u64),
        None => Err(0),
    }
}

/// Attributes with values that are one text or number.
fn texts(attributes: &[KeyValue]) -> Vec<(&str, String)> {
    let text = |value: &AnyValue| match value.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(value) => Some(value.to_string()),
        Value::IntValue(value) => Some(value.to_string()),
        Value::DoubleValue(value) => Some(value.to_string()),
        _ => None,
    };
    let pairs = attributes.iter().filter_map(|pair| {
        let value = pair.value.as_ref().and_then(text)?;
        Some((pair.key.as_str(), value))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IntakeLimits, presets::preset};

    const JSON: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"checkout"}}]},
        "scopeMetrics":[{"metrics":[
          {"name":"process.memory.usage","sum":{"aggregationTemporality":2,"isMonotonic":false,
            "dataPoints":[{"timeUnixNano":"1700000000000000000","asInt":"4096"}]}},
          {"name":"process.memory.usage","sum":{"aggregationTemporality":2,"isMonotonic":false,
            "dataPoints":[{"timeUnixNano":"1700000015000000000","asInt":"8192"}]}},
          {"name":"http.server.duration","histogram":{"dataPoints":[
            {"timeUnixNano":"1700000000000000000","count":"1","bucketCounts":["1"]}],
            "aggregationTemporality":2}}]}]}]}"#;

    #[test]
    fn points_in_json_become_observations_of_the_service() {
        let request = read_export(JSON.as_bytes(), false, OtlpEncoding::Json, 1 << 20).unwrap();
        let mappings = preset("opentelemetry").unwrap();
        let mut mapper = Mapper::new(mappings, IntakeLimits::default());
        let mut into = Vec::new();
        let now = Timestamp::from_millis(1_700_000_020_000);
        assert_eq!(map_export(&request, &mut mapper, now, &mut into), 1);
        let values: Vec<_> = into
            .iter()
            .map(|one| (one.entity.as_str(), &*one.metric, one.value))
            .collect();
        assert_eq!(values[0], ("checkout", "memory_usage_bytes", 4096.0));
        let protobuf = request.encode_to_vec();
        let same = read_export(&protobuf, false, OtlpEncoding::Protobuf, 1 << 20);
        assert_eq!(same, Ok(request));
    }

    #[test]
    fn what_is_malformed_or_too_large_is_named() {
        let read = |body: &[u8], gzip, encoding| read_export(body, gzip, encoding, 100);
        assert!(matches!(
            read(b"{", false, OtlpEncoding::Json),
            Err(OtlpError::Malformed(_))
        ));
        assert!(matches!(
            read(b"\x0a\xff", false, OtlpEncoding::Protobuf),
            Err(OtlpError::Malformed(_))
        ));
        assert!(matches!(
            read(b"no gzip", true, OtlpEncoding::Json),
            Err(OtlpError::Gzip(_))
        ));
        let mut packed = Vec::new();
        let level = flate2::Compression::default();
        let mut encoder = flate2::write::GzEncoder::new(&mut packed, level);
        std::io::Write::write_all(&mut encoder, &[b' '; 1_000]).unwrap();
        encoder.finish().unwrap();
        assert_eq!(
            read(&packed, true, OtlpEncoding::Json),
            Err(OtlpError::TooLarge(100))
        );
    }
}
