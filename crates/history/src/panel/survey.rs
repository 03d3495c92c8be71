//! The first pass: which series there are, and from when to when.

use arrow::array::Array;
use foreshadow_types::{EntityId, PoolName, Timestamp, UserId};

use super::{
    PanelLimits, PanelOptions, REQUESTS_METRIC,
    roster::{Roster, RosterError},
};
use crate::{
    HistoryError, HistoryKind, HistoryPaths, column,
    file::{Batch, HistoryFile},
    schema::{ENTITY_ID, POOL, TIMESTAMP, USER_ID},
};

/// Series are given up before bins only down to this many.
const MIN_SAMPLED_SERIES: u64 = 4_096;

/// A file and what is read from it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: HistoryFile,
    pub(super) kind: SourceKind,
}

/// How a file is read.
#[derive(Debug)]
pub(super) enum SourceKind {
    /// The metrics wanted that the file has.
    Usage { metrics: Vec<String> },
    /// Requests to be counted.
    Requests,
}

/// What the files hold.
#[derive(Debug)]
pub(super) struct Survey {
    sources: Vec<Source>,
    metrics: Vec<String>,
    entities: Roster,
    pools: Roster,
    users: Roster,
    span: Option<(Timestamp, Timestamp)>,
    description: String,
}

/// The panel to be filled.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) start: Timestamp,
    pub(super) interval: std::time::Duration,
    pub(super) bins: usize,
    pub(super) metrics: Vec<String>,
    pub(super) entities: Vec<String>,
    pub(super) pools: Vec<String>,
    pub(super) users: Vec<String>,
}

impl Survey {
    pub(super) fn of(paths: &HistoryPaths, options: &PanelOptions) -> Result<Self, HistoryError> {
        let (sources, metrics) = open_all(paths, options.metrics.as_deref())?;
        let seed = match options.limits {
            PanelLimits::Refuse { .. } => None,
            PanelLimits::Sample { seed, .. } => Some(seed),
        };
        let mut survey = Self {
            sources: Vec::new(),
            metrics,
            entities: Roster::new(seed),
            pools: Roster::new(seed),
            users: Roster::new(seed),
            span: None,
            description: paths.summary(),
        };
        let end = options.until.map(|time| time.floor_to(options.interval));
        for source in &sources {
            survey.read(source, end, options.limits)?;
        }
        survey.sources = sources;
        Ok(survey)
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    fn read(
        &mut self,
        source: &Source,
        end: Option<Timestamp>,
        limits: PanelLimits,
    ) -> Result<(), HistoryError> {
        for batch in source
            .file
            .batches(&[TIMESTAMP, ENTITY_ID, POOL, USER_ID])?
        {
            let batch = batch?;
            let times = batch.times(TIMESTAMP)?;
            let inside = |row: usize| end.is_none_or(|end| times[row] < end);
            for time in times
                .iter()
                .filter(|&&time| end.is_none_or(|end| time < end))
            {
                let (first, last) = self.span.unwrap_or((*time, *time));
                self.span = Some((first.min(*time), last.max(*time)));
            }
            let with_limits = |roster: &mut Roster, column, needed, check: CheckName| {
                note_names(roster, &batch, column, needed, check, inside, limits)
            };
            match source.kind {
                SourceKind::Usage { .. } => {
                    with_limits(&mut self.entities, ENTITY_ID, true, check_entity)?;
                }
                SourceKind::Requests => {
                    with_limits(&mut self.pools, POOL, true, check_pool)?;
                    if source.file.has(USER_ID) {
                        with_limits(&mut self.users, USER_ID, false, check_user)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Decides which series and bins are loaded.
    pub(super) fn plan(&self, options: &PanelOptions) -> Result<Plan, HistoryError> {
        let Some((first, last)) = self.span else {
            let until = options.until.map(|time| format!(" before {time}"));
            return Err(HistoryError::Empty(
                self.description.clone(),
                until.unwrap_or_default(),
            ));
        };
        let step = options.interval.as_millis().min(i64::MAX as u128) as i64;
        let first_bin = first.as_millis().div_euclid(step);
        let last_bin = last.as_millis().div_euclid(step);
        let bins = (i128::from(last_bin) - i128::from(first_bin) + 1) as u64;
        let per_entity = self.metrics.len() as u64;
        let rosters = [&self.entities, &self.pools, &self.users];
        let series =
            rosters[0].len() as u64 * per_entity + (rosters[1].len() + rosters[2].len()) as u64;
        let (share, bins_kept) = within(options.limits, series, bins)?;
        let most = |roster: &Roster| (roster.len() as f64 * share).ceil() as usize;
        Ok(Plan {
            start: Timestamp::from_millis((last_bin - (bins_kept as i64 - 1)) * step),
            interval: options.interval,
            bins: bins_kept as usize,
            metrics: self.metrics.clone(),
            entities: self.entities.chosen(most(&self.entities)),
            pools: self.pools.chosen(most(&self.pools)),
            users: self.users.chosen(most(&self.users)),
        })
    }
}

/// The share of the series and the number of bins that are loaded.
fn within(limits: PanelLimits, series: u64, bins: u64) -> Result<(f64, u64), HistoryError> {
    let limit = limits.max_values();
    if u128::from(series) * u128::from(bins) <= u128::from(limit) {
        return Ok((1.0, bins));
    }
    match limits {
        PanelLimits::Refuse { .. } => Err(HistoryError::TooLarge {
            series,
            bins,
            limit,
        }),
        PanelLimits::Sample { .. } => {
            let kept = (limit / bins).max(MIN_SAMPLED_SERIES).min(series);
            Ok((kept as f64 / series as f64, (limit / kept).clamp(1, bins)))
        }
    }
}

/// Opens the files and settles the metrics.
fn open_all(
    paths: &HistoryPaths,
    wanted: Option<&[String]>,
) -> Result<(Vec<Source>, Vec<String>), HistoryError> {
    let mut files = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for path in paths.files() {
        let file = HistoryFile::open(path)?;
        let kind = HistoryKind::of_schema(path, file.schema())?;
        let metrics = match &kind {
            HistoryKind::Usage { metrics } => metrics.clone(),
            HistoryKind::Requests => vec![REQUESTS_METRIC.to_owned()],
        };
        for metric in metrics {
            if !known.contains(&metric) {
                known.push(metric);
            }
        }
        files.push((file, kind));
    }
    let chosen = wanted.map_or_else(|| known.clone(), <[String]>::to_vec);
    let sources: Vec<_> = files
        .into_iter()
        .filter_map(|(file, kind)| source(file, &kind, &chosen))
        .collect();
    for metric in &chosen {
        if !sources.iter().any(|source| source.gives(metric)) {
            return Err(HistoryError::UnknownMetric {
                metric: metric.clone(),
                known: known.join(", "),
            });
        }
    }
    let of_usage = |metric: &String| {
        let mut usage = sources
            .iter()
            .filter(|s| !matches!(s.kind, SourceKind::Requests));
        usage.any(|source| source.gives(metric))
    };
    let metrics = chosen.iter().filter(|m| of_usage(m)).cloned().collect();
    Ok((sources, metrics))
}

/// The file as a source of the metrics chosen; `None` if it has none of them.
fn source(file: HistoryFile, kind: &HistoryKind, chosen: &[String]) -> Option<Source> {
    let kind = match kind {
        HistoryKind::Usage { .. } => {
            let readable = |metric: &&String| {
                let field = file.schema().field_with_name(metric);
                field.is_ok_and(|field| column::is_number(field.data_type()))
            };
            let metrics: Vec<_> = chosen.iter().filter(readable).cloned().collect();
            (!metrics.is_empty()).then_some(SourceKind::Usage { metrics })
        }
        HistoryKind::Requests => chosen
            .iter()
            .any(|metric| metric == REQUESTS_METRIC)
            .then_some(SourceKind::Requests),
    };
    kind.map(|kind| Source { file, kind })
}

impl Source {
    fn gives(&self, metric: &str) -> bool {
        match &self.kind {
            SourceKind::Usage { metrics } => metrics.iter().any(|known| known == metric),
            SourceKind::Requests => metric == REQUESTS_METRIC,
        }
    }
}

type CheckName = fn(&str) -> Result<(), foreshadow_types::IdError>;

fn check_entity(name: &str) -> Result<(), foreshadow_types::IdError> {
    EntityId::new(name).map(drop)
}

fn check_pool(name: &str) -> Result<(), foreshadow_types::IdError> {
    PoolName::new(name).map(drop)
}

fn check_user(name: &str) -> Result<(), foreshadow_types::IdError> {
    UserId::new(name).map(drop)
}

fn note_names(
    roster: &mut Roster,
    batch: &Batch,
    column: &str,
    needed: bool,
    check: CheckName,
    inside: impl Fn(usize) -> bool,
    limits: PanelLimits,
) -> Result<(), HistoryError> {
    let names = batch.texts(column)?;
    for row in 0..names.len() {
        if names.is_null(row) || names.value(row).is_empty() {
            if needed {
                return Err(batch.row_error(column, row, "it is absent; every row names one"));
            }
            continue;
        }
        if !inside(row) {
            continue;
        }
        roster
            .insert(names.value(row), check)
            .map_err(|error| match error {
                RosterError::Name(error) => batch.row_error(column, row, &error),
                RosterError::TooMany => HistoryError::TooLarge {
                    series: roster.len() as u64,
                    bins: 1,
                    limit: limits.max_values(),
                },
            })?;
    }
    Ok(())
}
