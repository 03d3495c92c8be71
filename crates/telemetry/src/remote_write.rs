//! Prometheus remote write 1.0: a snappy block of one protobuf message.

use bytes::Bytes;
use foreshadow_shadow::Observation;
use foreshadow_types::Timestamp;
use prost::Message;
use thiserror::Error;

use crate::mapper::{Mapper, RawSample};

/// The label that holds the metric's name.
const NAME: &[u8] = b"__name__";

/// `prometheus.WriteRequest`; metadata is not read.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.TimeSeries`; exemplars and histograms are not read.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Sorted by time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<WriteSample>,
}

/// `prometheus.Label`; the bytes are UTF-8 and share the request's memory.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Label {
    /// Its name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// Its value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `prometheus.Sample`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct WriteSample {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// Why a body was refused; sending it again does not help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    /// It is larger than is taken.
    #[error(
        "the body unpacks to {bytes} bytes; at most {most} are taken, send fewer samples at once (max_samples_per_send)"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is taken.
        most: usize,
    },
    /// It is no snappy block.
    #[error("the body is no snappy block: {0}; send remote write 1.0")]
    Snappy(String),
    /// It is no message.
    #[error("the body is no prometheus.WriteRequest: {0}; send remote write 1.0")]
    Protobuf(String),
}

/// Unpacks and reads a body.
///
/// # Errors
/// [`WriteError`] if it is too large or malformed.
pub fn read_write_request(body: &[u8], most: usize) -> Result<WriteRequest, WriteError> {
    let refused = |error: snap::Error| WriteError::Snappy(error.to_string());
    let bytes = snap::raw::decompress_len(body).map_err(refused)?;
    if bytes > most {
        return Err(WriteError::TooLarge { bytes, most });
    }
    let unpacked = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(refused)?;
    WriteRequest::decode(Bytes::from(unpacked))
        .map_err(|error| WriteError::Protobuf(error.to_string()))
}

/// Maps all samples of a request. A series whose labels are no UTF-8 or that has no name counts as
/// not mapped.
pub(crate) fn map_write_request(
    request: &WriteRequest,
    mapper: &mut Mapper,
    now: Timestamp,
    into: &mut Vec<Observation>,
) {
    let mut labels: Vec<(&str, &str)> = Vec::new();
    for series in &request.timeseries {
        labels.clear();
        let mut metric = "";
        for label in &series.labels {
            let Ok(value) = std::str::from_utf8(&label.value) else {
                continue;
            };
            if label.name == NAME {
                metric = value;
            } else if let Ok(name) = std::str::from_utf8(&label.name) {
                labels.push((name, value));
            }
        }
        let samples = series.samples.iter().map(|sample| RawSample {
            at: Timestamp::from_millis(sample.timestamp),
            value: sample.value,
        });
        mapper.take(metric, &labels, samples, now, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_read_and_what_is_malformed_is_named() {
        let request = WriteRequest {
            timeseries: vec![TimeSeries {
                labels: vec![Label {
                    name: "__name__".into(),
                    value: "up".into(),
                }],
                samples: vec![WriteSample {
                    value: 1.0,
                    timestamp: 7,
                }],
            }],
        };
        let packed = snap::raw::Encoder::new()
            .compress_vec(&request.encode_to_vec())
            .unwrap();
        assert_eq!(read_write_request(&packed, 1_000), Ok(request));
        assert!(matches!(
            read_write_request(&packed, 10),
            Err(WriteError::TooLarge { most: 10, .. })
        ));
        assert!(matches!(
            read_write_request(b"\xff\xff\xff\xff\xff\xff", 10),
            Err(WriteError::Snappy(_))
        ));
        let nonsense = snap::raw::Encoder::new().compress_vec(b"\x0a\xff").unwrap();
        assert!(matches!(
            read_write_request(&nonsense, 10),
            Err(WriteError::Protobuf(_))
        ));
    }
}
