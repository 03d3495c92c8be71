//! Which metric and labels of a sender make which entity and resource.

use std::sync::Arc;

use thiserror::Error;

use crate::presets::PRESETS;

/// The most parts of a template and the most conditions of a mapping.
const MOST_PARTS: usize = 16;

/// How a sender's value becomes a shadow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// As it is.
    Gauge,
    /// A counter that only rises: its rate per second.
    Counter,
}

/// What becomes of several series of one entity and resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Each sample stands for itself.
    Last,
    /// Their sum, such as of all processors of a machine.
    Sum,
}

/// One mapping, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    pub(crate) metric: String,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) entity: Template,
    pub(crate) resource: Arc<str>,
    pub(crate) kind: MetricKind,
    pub(crate) combine: Combine,
    pub(crate) scale: f64,
}

/// A mapping as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct MappingText<'a> {
    /// The sender's metric.
    pub metric: &'a str,
    /// Conditions on labels: `label=value` or `label!=value`; an absent label is empty.
    pub conditions: &'a [&'a str],
    /// The entity's name, with labels in braces: `{namespace}/{pod}`.
    pub entity: &'a str,
    /// The metric's name in the shadows, its unit at the end.
    pub resource: &'a str,
    /// Gauge or counter.
    pub kind: MetricKind,
    /// What becomes of several series.
    pub combine: Combine,
    /// What values are multiplied by.
    pub scale: f64,
}

/// Why a mapping was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MappingError {
    /// There are no ready-made mappings of this name.
    #[error("there is no preset `{0}`; there are {known}", known = PRESETS.join(", "))]
    NoPreset(String),
    /// A key is empty.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// A condition has another form.
    #[error("`where` has {0:?}; write `label=value` or `label!=value`")]
    Condition(String),
    /// The template cannot be read.
    #[error("`{0}` is no name with labels in braces, such as `{{namespace}}/{{pod}}`")]
    Template(String),
    /// Every series would be the same entity.
    #[error(
        "`{0}` names no label, so that all series would be one entity; write for example `{{instance}}`"
    )]
    NoLabel(String),
    /// There are too many parts.
    #[error("`{0}` has more than {MOST_PARTS} entries")]
    TooMany(&'static str),
    /// The factor is no number.
    #[error("`scale` is {0}; give a finite number other than zero")]
    Scale(String),
}

impl Mapping {
    /// Checks a mapping.
    ///
    /// # Errors
    /// [`MappingError`] names the key at fault and how to mend it.
    pub fn new(text: &MappingText<'_>) -> Result<Self, MappingError> {
        if text.metric.is_empty() {
            return Err(MappingError::Empty("metric"));
        }
        if text.resource.is_empty() {
            return Err(MappingError::Empty("as"));
        }
        if !text.scale.is_finite() || text.scale == 0.0 {
            return Err(MappingError::Scale(text.scale.to_string()));
        }
        if text.conditions.len() > MOST_PARTS {
            return Err(MappingError::TooMany("where"));
        }
        let conditions = text.conditions.iter().map(|one| Condition::parse(one));
        Ok(Self {
            metric: text.metric.to_owned(),
            conditions: conditions.collect::<Result<_, _>>()?,
            entity: Template::parse(text.entity)?,
            resource: text.resource.into(),
            kind: text.kind,
            combine: text.combine,
            scale: text.scale,
        })
    }

    /// The sender's metric.
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// The metric's name in the shadows.
    pub fn resource(&self) -> &Arc<str> {
        &self.resource
    }

    /// The mapping as a query over the latest hour of a Prometheus server, by the labels that its
    /// entity is named after; `window` is what rates are taken over.
    pub fn query(&self, window: &str) -> String {
        let conditions: Vec<String> = self.conditions.iter().map(Condition::query).collect();
        let selector = format!("{}{{{}}}", self.metric, conditions.join(","));
        let values = match self.kind {
            MetricKind::Gauge => selector,
            MetricKind::Counter => format!("rate({selector}[{window}])"),
        };
        let by: Vec<&str> = self.entity.labels().collect();
        format!("sum by ({}) ({values}) * {}", by.join(","), self.scale)
    }

    /// The entity that labels name; `None` if one is absent.
    pub fn entity_of<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        let mut name = String::new();
        self.entity.fill(label, &mut name).then_some(name)
    }
}

/// A condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    label: String,
    equal: bool,
    value: String,
}

impl Condition {
    fn parse(text: &str) -> Result<Self, MappingError> {
        let refused = || MappingError::Condition(text.to_owned());
        let (label, equal, value) = if let Some((label, value)) = text.split_once("!=") {
            (label, false, value)
        } else {
            let (label, value) = text.split_once('=').ok_or_else(refused)?;
            (label, true, value)
        };
        let (label, value) = (label.trim(), value.trim());
        if label.is_empty() || value.contains('"') {
            return Err(refused());
        }
        Ok(Self {
            label: label.to_owned(),
            equal,
            value: value.to_owned(),
        })
    }

    pub(crate) fn holds<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        (label(&self.label).unwrap_or_default() == self.value) == self.equal
    }

    fn query(&self) -> String {
        let operator = if self.equal { "=" } else { "!=" };
        format!("{}{operator}\"{}\"", self.label, self.value)
    }
}

/// A name with labels in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Label(String),
}

impl Template {
    fn parse(text: &str) -> Result<Self, MappingError> {
        let refused = || MappingError::Template(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let open = rest.find('{').unwrap_or(rest.len());
            let (before, from) = rest.split_at(open);
            if before.contains('}') {
                return Err(refused());
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            rest = from;
            if let Some(inside) = from.strip_prefix('{') {
                let (label, after) = inside.split_once('}').ok_or_else(refused)?;
                if label.is_empty() || label.contains('{') {
                    return Err(refused());
                }
                parts.push(Part::Label(label.to_owned()));
                rest = after;
            }
        }
        if parts.len() > MOST_PARTS {
            return Err(MappingError::TooMany("entity"));
        }
        if !parts.iter().any(|part| matches!(part, Part::Label(_))) {
            return Err(MappingError::NoLabel(text.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Appends the name; false if a label is absent or empty.
    pub(crate) fn fill<'a>(
        &self,
        label: impl Fn(&str) -> Option<&'a str>,
        name: &mut String,
    ) -> bool {
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Label(wanted) => match label(wanted) {
                    Some(value) if !value.is_empty() => name.push_str(value),
                    Some(_) | None => return false,
                },
            }
        }
        true
    }

    fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Label(label) => Some(label.as_str()),
            Part::Text(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: MappingText<'_> = MappingText {
        metric: "node_cpu_seconds_total",
        conditions: &["mode!=idle", "cpu=0"],
        entity: "host/{instance}",
        resource: "cpu_usage_cores",
        kind: MetricKind::Counter,
        combine: Combine::Sum,
        scale: 1.0,
    };

    #[test]
    fn labels_fill_the_name_and_conditions_select() {
        let mapping = Mapping::new(&PLAIN).unwrap();
        let label = |name: &str| match name {
            "instance" => Some("db-1"),
            "mode" => Some("user"),
            "cpu" => Some("0"),
            _ => None,
        };
        assert_eq!(mapping.entity_of(label).as_deref(), Some("host/db-1"));
        assert!(mapping.conditions.iter().all(|one| one.holds(label)));
        assert_eq!(mapping.entity_of(|_| None), None);
        assert!(!mapping.conditions[0].holds(|_| Some("idle")));
        let query =
            "sum by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\",cpu=\"0\"}[5m])) * 1";
        assert_eq!(mapping.query("5m"), query);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |change: &dyn Fn(&mut MappingText<'static>)| {
            let mut text = PLAIN;
            change(&mut text);
            Mapping::new(&text).unwrap_err().to_string()
        };
        for (error, word) in [
            (refused(&|t| t.metric = ""), "metric"),
            (refused(&|t| t.resource = ""), "as"),
            (refused(&|t| t.scale = f64::NAN), "scale"),
            (refused(&|t| t.conditions = &["mode"]), "where"),
            (refused(&|t| t.entity = "all"), "names no label"),
            (refused(&|t| t.entity = "{pod"), "{pod"),
            (refused(&|t| t.entity = "{}"), "{}"),
            (refused(&|t| t.entity = "a}b{pod}"), "a}b"),
        ] {
            assert!(error.contains(word), "{error}");
        }
    }
}
