//! The one mapper behind all passive receivers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foreshadow_shadow::Observation;
use foreshadow_types::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

use crate::{
    IntakeLimits,
    counts::IntakeCounts,
    mapper::Mapper,
    mapping::Mapping,
    otlp::map_export,
    remote_write::{ReceivedWrite, map_write_request},
};

/// Maps what passive senders send. Requests are mapped one at a time, since sums and rates need the
/// order.
#[derive(Debug)]
pub struct Intake(Mutex<Mapper>);

/// What a request held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mapped {
    /// What is to be observed.
    pub observations: Vec<Observation>,
    /// Samples that were not taken because of their time or value; `None` if there were none.
    pub refusal: Option<String>,
    /// How many those are.
    pub refused: u64,
}

impl Mapped {
    /// Adds samples that were not taken, and why.
    pub fn reject(&mut self, count: u64, why: &str) {
        if count == 0 {
            return;
        }
        self.refused += count;
        let more = format!("{count} {why}");
        self.refusal = Some(match self.refusal.take() {
            Some(refusal) => format!("{refusal}; {more}"),
            None => format!("of the samples, {more}"),
        });
    }
}

impl Intake {
    /// With these mappings and limits.
    pub fn new(mappings: Vec<Mapping>, limits: IntakeLimits) -> Self {
        Self(Mutex::new(Mapper::new(mappings, limits)))
    }

    /// What became of all samples so far.
    pub fn counts(&self) -> IntakeCounts {
        self.mapper().counts()
    }

    /// Maps a remote write request.
    pub fn write_request(&self, request: &ReceivedWrite, now: Timestamp) -> Mapped {
        self.mapped(now, |mapper, into| {
            map_write_request(request, mapper, now, into);
            0
        })
    }

    /// Maps an OpenTelemetry export.
    pub fn export(&self, request: &ExportMetricsServiceRequest, now: Timestamp) -> Mapped {
        self.mapped(now, |mapper, into| map_export(request, mapper, now, into))
    }

    fn mapped(
        &self,
        now: Timestamp,
        map: impl FnOnce(&mut Mapper, &mut Vec<Observation>) -> u64,
    ) -> Mapped {
        let mut observations = Vec::new();
        let mut mapper = self.mapper();
        let before = mapper.counts();
        let others = map(&mut mapper, &mut observations);
        let after = mapper.counts();
        drop(mapper);
        let reasons = [
            (
                "are of the future, check the sender's clock",
                after.future - before.future,
            ),
            ("are too old", after.past - before.past),
            ("are no finite number", after.not_finite - before.not_finite),
            (
                "are older than one of their series before",
                after.out_of_order - before.out_of_order,
            ),
            (
                "name no acceptable entity or one of too many series",
                after.refused - before.refused,
            ),
            (
                "are of histograms, summaries or delta sums, set cumulative temporality",
                others,
            ),
        ];
        let named: Vec<String> = reasons
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        Mapped {
            observations,
            refused: reasons.iter().map(|(_, count)| count).sum(),
            refusal: (!named.is_empty())
                .then(|| format!("of the samples, {} (it is {now} here)", named.join(", "))),
        }
    }

    /// A mapper in the middle of a request that panicked is still a mapper.
    fn mapper(&self) -> MutexGuard<'_, Mapper> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
