//! The `[telemetry]` table: which metrics of Prometheus and OpenTelemetry are of which entities.

use foreshadow_telemetry::{
    Combine, IntakeLimits, Mapping, MappingText, MetricKind, PRESETS, preset,
};
use serde::Deserialize;
use toml::Spanned;

use super::Fault;

/// What passive senders may send.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TelemetryConfig {
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) limits: IntakeLimits,
}

/// The table as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTelemetry {
    /// Ready-made mappings; all unless given.
    presets: Option<Vec<Spanned<String>>>,
    mapping: Vec<Spanned<RawMapping>>,
    max_series: usize,
}

impl Default for RawTelemetry {
    fn default() -> Self {
        Self {
            presets: None,
            mapping: Vec::new(),
            max_series: IntakeLimits::default().max_series,
        }
    }
}

/// A `[[telemetry.mapping]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMapping {
    metric: String,
    #[serde(default, rename = "where")]
    conditions: Vec<String>,
    user: Option<String>,
    application: Option<String>,
    #[serde(rename = "as")]
    resource: String,
    #[serde(default)]
    kind: RawKind,
    #[serde(default)]
    combine: RawCombine,
    #[serde(default = "one")]
    scale: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    #[default]
    Gauge,
    Counter,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawCombine {
    #[default]
    Last,
    Sum,
}

impl RawTelemetry {
    /// The mappings, or what is wrong and where.
    pub(super) fn check(self) -> Result<TelemetryConfig, Fault> {
        let mut mappings = Vec::new();
        let names = self.presets.unwrap_or_else(|| {
            let all = PRESETS.iter().map(|name| (*name).to_owned());
            all.map(|name| Spanned::new(0..0, name)).collect()
        });
        for name in names {
            let start = name.span().start;
            let known = preset(name.get_ref());
            mappings.extend(known.map_err(|error| Fault::at(start, error.to_string()))?);
        }
        for mapping in self.mapping {
            let start = mapping.span().start;
            let checked = mapping.into_inner().check();
            mappings.push(
                checked.map_err(|reason| {
                    Fault::at(start, format!("[[telemetry.mapping]]: {reason}"))
                })?,
            );
        }
        if self.max_series == 0 {
            let reason = "[telemetry]: `max_series` is 0; give at least 1".to_owned();
            return Err(Fault {
                offset: None,
                reason,
            });
        }
        let limits = IntakeLimits {
            max_series: self.max_series,
            ..IntakeLimits::default()
        };
        Ok(TelemetryConfig { mappings, limits })
    }
}

impl RawMapping {
    fn check(self) -> Result<Mapping, String> {
        let entity = match (&self.user, &self.application) {
            (Some(user), None) => user,
            (None, Some(application)) => application,
            (Some(_), Some(_)) => {
                return Err("`user` and `application` are both given; give one".to_owned());
            }
            (None, None) => {
                return Err(
                    "says neither `user` nor `application`; write for example `application = \"{job}\"`"
                        .to_owned(),
                );
            }
        };
        let conditions: Vec<&str> = self.conditions.iter().map(String::as_str).collect();
        let text = MappingText {
            metric: &self.metric,
            conditions: &conditions,
            entity,
            resource: &self.resource,
            kind: match self.kind {
                RawKind::Gauge => MetricKind::Gauge,
                RawKind::Counter => MetricKind::Counter,
            },
            combine: match self.combine {
                RawCombine::Last => Combine::Last,
                RawCombine::Sum => Combine::Sum,
            },
            scale: self.scale,
        };
        Mapping::new(&text).map_err(|error| error.to_string())
    }
}
