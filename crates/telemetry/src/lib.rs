//! Telemetry receivers: our own reports, Prometheus remote write and OpenTelemetry become
//! observations, checked once and refused with reasons.

mod counts;
mod intake;
mod mapper;
mod mapping;
mod otlp;
mod presets;
mod rate;
mod refusals;
mod remote_write;
mod report;
mod target;

pub use counts::IntakeCounts;
pub use intake::{Intake, Mapped};
pub use mapper::{Mapper, RawSample};
pub use mapping::{Combine, Mapping, MappingError, MappingText, MetricKind};
pub use otlp::{OtlpEncoding, OtlpError, read_export};
pub use presets::{PRESETS, preset};
pub use refusals::Refusals;
pub use remote_write::{
    Label, ReceivedWrite, TimeSeries, WriteError, WriteRequest, WriteSample, read_write_request,
};
pub use report::{Batch, IntakeLimits, batch_from_report};
