//! Prometheus remote write 1.0: a snappy block of one protobuf message.

use std::ops::Range;

use bytes::{Buf as _, Bytes};
use foreshadow_shadow::Observation;
use foreshadow_types::Timestamp;
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use thiserror::Error;

use crate::mapper::{Mapper, RawSample};

/// The label that holds the metric's name.
const NAME: &[u8] = b"__name__";
/// The field of a request that holds a series.
const SERIES: u32 = 1;
/// The fields of a series that hold a label and a sample.
const LABEL: u32 = 1;
const SAMPLE: u32 = 2;

/// `prometheus.WriteRequest`, as senders make it; metadata is not read.
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

/// `prometheus.Label`; the bytes are UTF-8.
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

/// A request that was unpacked and checked, read where it lies: nothing is copied for a series that is
/// known already.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReceivedWrite {
    bytes: Vec<u8>,
    series: Vec<ReceivedSeries>,
    samples: Vec<RawSample>,
}

/// Where one series lies in the bytes, and which samples are its own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReceivedSeries {
    labels: Range<usize>,
    samples: Range<usize>,
}

/// Unpacks and checks a body.
///
/// # Errors
/// [`WriteError`] if it is too large or malformed.
pub fn read_write_request(body: &[u8], most: usize) -> Result<ReceivedWrite, WriteError> {
    let refused = |error: snap::Error| WriteError::Snappy(error.to_string());
    let bytes = snap::raw::decompress_len(body).map_err(refused)?;
    if bytes > most {
        return Err(WriteError::TooLarge { bytes, most });
    }
    let bytes = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(refused)?;
    let mut request = ReceivedWrite::default();
    request.read(&bytes).map_err(WriteError::Protobuf)?;
    request.bytes = bytes;
    Ok(request)
}

impl ReceivedWrite {
    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (tag, wire) = key(&mut rest)?;
            if tag == SERIES && wire == WireType::LengthDelimited {
                let series = block(&mut rest)?;
                let begin = bytes.len() - rest.len() - series.len();
                self.read_series(series, begin)?;
            } else {
                skip(wire, tag, &mut rest)?;
            }
        }
        Ok(())
    }

    /// A series that begins at a place of the request.
    fn read_series(&mut self, series: &[u8], begin: usize) -> Result<(), String> {
        let first = self.samples.len();
        let (mut rest, mut labels) = (series, 0);
        while !rest.is_empty() {
            let at = series.len() - rest.len();
            let (tag, wire) = key(&mut rest)?;
            match (tag, wire) {
                (LABEL, WireType::LengthDelimited) if at == labels => {
                    label(block(&mut rest)?)?;
                    labels = series.len() - rest.len();
                }
                (LABEL, _) => return Err("a label after the samples of its series".to_owned()),
                (SAMPLE, WireType::LengthDelimited) => {
                    self.samples.push(sample(block(&mut rest)?)?);
                }
                _ => skip(wire, tag, &mut rest)?,
            }
        }
        self.series.push(ReceivedSeries {
            labels: begin..begin + labels,
            samples: first..self.samples.len(),
        });
        Ok(())
    }
}

fn key(bytes: &mut &[u8]) -> Result<(u32, WireType), String> {
    decode_key(bytes).map_err(|error| error.to_string())
}

fn skip(wire: WireType, tag: u32, bytes: &mut &[u8]) -> Result<(), String> {
    skip_field(wire, tag, bytes, DecodeContext::default()).map_err(|error| error.to_string())
}

/// Bytes with their length before them.
fn block<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = decode_varint(bytes).map_err(|error| error.to_string())?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (block, rest) = bytes
        .split_at_checked(length)
        .ok_or("a length that leads beyond the end")?;
    *bytes = rest;
    Ok(block)
}

/// The name and the value of a label.
fn label(mut bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    while !bytes.is_empty() {
        match key(&mut bytes)? {
            (1, WireType::LengthDelimited) => name = block(&mut bytes)?,
            (2, WireType::LengthDelimited) => value = block(&mut bytes)?,
            (tag, wire) => skip(wire, tag, &mut bytes)?,
        }
    }
    Ok((name, value))
}

fn sample(mut bytes: &[u8]) -> Result<RawSample, String> {
    let mut sample = RawSample {
        at: Timestamp::from_millis(0),
        value: 0.0,
    };
    while !bytes.is_empty() {
        match key(&mut bytes)? {
            (1, WireType::SixtyFourBit) => {
                let value = bytes.try_get_f64_le();
                sample.value = value.map_err(|error| error.to_string())?;
            }
            (2, WireType::Varint) => {
                let at_ms = decode_varint(&mut bytes).map_err(|error| error.to_string())?;
                sample.at = Timestamp::from_millis(at_ms as i64);
            }
            (tag, wire) => skip(wire, tag, &mut bytes)?,
        }
    }
    Ok(sample)
}

/// The labels of a series that was checked.
fn labels(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        key(&mut bytes).ok()?;
        label(block(&mut bytes).ok()?).ok()
    })
}

/// Maps all samples of a request. A series whose name is no UTF-8 or that has none counts as not
/// mapped; other labels that are no UTF-8 count as absent.
pub(crate) fn map_write_request(
    request: &ReceivedWrite,
    mapper: &mut Mapper,
    now: Timestamp,
    into: &mut Vec<Observation>,
) {
    for series in &request.series {
        let bytes = &request.bytes[series.labels.clone()];
        let name = labels(bytes).find(|(name, _)| *name == NAME);
        let metric = name.and_then(|(_, metric)| std::str::from_utf8(metric).ok());
        let samples = request.samples[series.samples.clone()].iter().copied();
        let named = || {
            let texts = labels(bytes).filter(|(name, _)| *name != NAME);
            let text = std::str::from_utf8;
            texts
                .filter_map(|(name, value)| Some((text(name).ok()?, text(value).ok()?)))
                .collect()
        };
        mapper.take_as_sent(metric.unwrap_or(""), bytes, named, samples, now, into);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{IntakeLimits, presets::preset};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn packed(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    fn series(labels: &[(&str, &str)], values: &[f64]) -> TimeSeries {
        TimeSeries {
            labels: labels
                .iter()
                .map(|(name, value)| Label {
                    name: Bytes::copy_from_slice(name.as_bytes()),
                    value: Bytes::copy_from_slice(value.as_bytes()),
                })
                .collect(),
            samples: values
                .iter()
                .zip(0..)
                .map(|(value, step)| WriteSample {
                    value: *value,
                    timestamp: NOW.as_millis() - 60_000 + step * 15_000,
                })
                .collect(),
        }
    }

    fn memory(pod: &str, values: &[f64]) -> TimeSeries {
        let labels = [
            ("__name__", "container_memory_working_set_bytes"),
            ("container", "main"),
            ("namespace", "prod"),
            ("pod", pod),
        ];
        series(&labels, values)
    }

    #[test]
    fn all_series_and_samples_of_a_request_are_mapped() {
        let timeseries = vec![
            memory("a", &[1.0, 2.0]),
            series(&[("__name__", "up"), ("pod", "a")], &[1.0]),
            series(&[("pod", "a")], &[1.0]),
            memory("b", &[7.0]),
        ];
        let body = packed(&WriteRequest { timeseries }.encode_to_vec());
        let request = read_write_request(&body, 1_000).unwrap();
        assert_eq!(request.samples(), 5);
        let mut mapper = Mapper::new(preset("kubelet").unwrap(), IntakeLimits::default());
        let mut into = Vec::new();
        map_write_request(&request, &mut mapper, NOW, &mut into);
        let seen: Vec<_> = into.iter().map(|o| (o.entity.as_str(), o.value)).collect();
        // A sum is told when it is whole: of a pod seen for the first time, with its second sample.
        assert_eq!(seen, [("prod/a", 1.0)]);
        let counts = mapper.counts();
        assert_eq!((counts.mapped, counts.unmapped, counts.series), (3, 2, 2));
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let mut bytes = WriteRequest {
            timeseries: vec![memory("a", &[1.0])],
        }
        .encode_to_vec();
        // Metadata, which is the third field of the message.
        bytes.extend(b"\x1a\x02\x08\x01");
        let request = read_write_request(&packed(&bytes), 1_000).unwrap();
        assert_eq!((request.series.len(), request.samples()), (1, 1));
    }

    #[test]
    fn what_is_malformed_is_named() {
        let request = WriteRequest {
            timeseries: vec![memory("a", &[1.0])],
        };
        let bytes = request.encode_to_vec();
        assert!(matches!(
            read_write_request(&packed(&bytes), 10),
            Err(WriteError::TooLarge { most: 10, .. })
        ));
        assert!(matches!(
            read_write_request(b"\xff\xff\xff\xff\xff\xff", 10),
            Err(WriteError::Snappy(_))
        ));
        for cut in 1..bytes.len() {
            assert!(
                matches!(
                    read_write_request(&packed(&bytes[..cut]), 1_000),
                    Err(WriteError::Protobuf(_))
                ),
                "cut at {cut}"
            );
        }
        let late = b"\x0a\x06\x12\x02\x10\x01\x0a\x00";
        let refused = read_write_request(&packed(late), 1_000).unwrap_err();
        assert!(
            refused.to_string().contains("a label after the samples"),
            "{refused}"
        );
    }

    fn any_series() -> impl Strategy<Value = TimeSeries> {
        let label = ("[a-z_]{0,6}", vec(any::<u8>(), 0..20));
        let label = label.prop_map(|(name, value)| Label {
            name: name.into(),
            value: value.into(),
        });
        let sample = (any::<f64>(), any::<i64>())
            .prop_map(|(value, timestamp)| WriteSample { value, timestamp });
        let parts = (vec(label, 0..5), vec(sample, 0..4));
        parts.prop_map(|(labels, samples)| TimeSeries { labels, samples })
    }

    proptest! {
        #[test]
        fn what_is_read_in_place_is_what_the_message_says(timeseries in vec(any_series(), 0..8)) {
            let request = WriteRequest { timeseries };
            let body = packed(&request.encode_to_vec());
            let read = read_write_request(&body, 1 << 20).unwrap();
            prop_assert_eq!(read.series.len(), request.timeseries.len());
            for (found, sent) in read.series.iter().zip(&request.timeseries) {
                let found_labels: Vec<_> = labels(&read.bytes[found.labels.clone()]).collect();
                let sent_labels = sent.labels.iter().map(|one| (&*one.name, &*one.value));
                prop_assert_eq!(found_labels, sent_labels.collect::<Vec<_>>());
                let samples = &read.samples[found.samples.clone()];
                prop_assert_eq!(samples.len(), sent.samples.len());
                for (found, sent) in samples.iter().zip(&sent.samples) {
                    prop_assert_eq!(found.at.as_millis(), sent.timestamp);
                    // A zero is left out of a message, whatever its sign.
                    let same = found.value.to_bits() == sent.value.to_bits();
                    prop_assert!(same || (found.value == 0.0 && sent.value == 0.0));
                }
            }
        }

        #[test]
        fn whatever_bytes_come_they_are_read_as_a_decoder_would_or_refused(
            timeseries in vec(any_series(), 1..4),
            edits in vec((any::<u16>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = WriteRequest { timeseries }.encode_to_vec();
            for (at, value) in edits {
                let at = usize::from(at) % bytes.len();
                bytes[at] = value;
            }
            if let Ok(read) = read_write_request(&packed(&bytes), 1 << 20) {
                let mut mapper = Mapper::new(preset("kubelet").unwrap(), IntakeLimits::default());
                map_write_request(&read, &mut mapper, NOW, &mut Vec::new());
                // A decoder refuses more: known fields of another type.
                if let Ok(request) = WriteRequest::decode(bytes.as_slice()) {
                    let samples = request.timeseries.iter().map(|one| one.samples.len());
                    prop_assert_eq!(samples.sum::<usize>(), read.samples());
                }
            }
        }
    }
}
