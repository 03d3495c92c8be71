//! `foreshadow import prometheus`: what a Prometheus server remembers becomes usage history.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use foreshadow_history::{ImportSummary, UsageWriter};
use foreshadow_telemetry::{Combine, Mapping, MappingText, MetricKind, PRESETS, preset};
use foreshadow_types::{EntityId, Timestamp, format_duration, parse_duration};
use serde::Deserialize;

use crate::{clock::now, config, failure::Failure};

/// Steps asked for at a time: a server answers with at most 11,000.
const STEPS_AT_ONCE: u32 = 1_000;
/// Steps asked for in all.
const MOST_STEPS: u128 = 2_000_000;
/// The largest answer that is read.
const MOST_BYTES: u64 = 64 << 20;
const PATIENCE: Duration = Duration::from_mins(2);

/// Arguments of `foreshadow import prometheus`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server, such as `http://localhost:9090`; its API must be reachable without TLS.
    #[arg(value_name = "URL")]
    url: String,
    /// The history file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// From when.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    start: Timestamp,
    /// Until when; now unless given.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    end: Option<Timestamp>,
    /// One sample every so often.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    step: Duration,
    /// A configuration of `serve`, whose mappings are used.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["presets", "query"])]
    config: Option<PathBuf>,
    /// Ready-made mappings; all unless given.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    presets: Option<Vec<String>>,
    /// One query of your own instead of mappings.
    #[arg(long, value_name = "PROMQL", requires_all = ["metric", "entity"], conflicts_with = "presets")]
    query: Option<String>,
    /// The metric's name in the history, for `--query`.
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// The entity's name in the history, with labels in braces, for `--query`.
    #[arg(long, value_name = "TEMPLATE")]
    entity: Option<String>,
    /// Sent as a bearer token.
    #[arg(
        long,
        env = "PROMETHEUS_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
}

/// A query and what its results are.
struct Wanted {
    query: String,
    mapping: Mapping,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(PathBuf, ImportSummary), Failure> {
    let wanted = wanted(args)?;
    let end = args.end.unwrap_or_else(now);
    if args.start >= end {
        return Err(Failure::bad_input(format!(
            "--start is {}, which is not before {end}",
            args.start
        )));
    }
    if args.step < Duration::from_secs(1) {
        return Err(Failure::bad_input("--step is less than a second"));
    }
    let steps = end.since(args.start).as_millis() / args.step.as_millis();
    if steps > MOST_STEPS {
        return Err(Failure::bad_input(format!(
            "--start {} to {end} are {steps} steps; at most {MOST_STEPS} are asked for, give a longer --step",
            args.start
        )));
    }
    let summary = import(args, &wanted, end)
        .map_err(|error| Failure::bad_input(format!("{}: {error:#}", args.url)))?;
    Ok((args.out.clone(), summary))
}

fn wanted(args: &Args) -> Result<Vec<Wanted>, Failure> {
    if let (Some(query), Some(metric), Some(entity)) = (&args.query, &args.metric, &args.entity) {
        let text = MappingText {
            metric: "query",
            conditions: &[],
            entity,
            resource: metric,
            kind: MetricKind::Gauge,
            combine: Combine::Last,
            scale: 1.0,
        };
        let mapping = Mapping::new(&text)
            .map_err(|error| Failure::bad_input(format!("--entity or --metric: {error}")))?;
        let query = query.clone();
        return Ok(vec![Wanted { query, mapping }]);
    }
    let window = format_duration((args.step * 4).max(Duration::from_mins(1)));
    // Names with dots are OpenTelemetry's; a Prometheus server has others.
    let queries = |mappings: Vec<Mapping>| {
        let asked = mappings
            .into_iter()
            .filter(|mapping| !mapping.metric().contains('.'));
        let wanted: Vec<Wanted> = asked
            .map(|mapping| Wanted {
                query: mapping.query(&window),
                mapping,
            })
            .collect();
        if wanted.is_empty() {
            let message = "no mapping names a metric of Prometheus; see docs/telemetry.md";
            return Err(Failure::bad_input(message));
        }
        Ok(wanted)
    };
    if let Some(file) = &args.config {
        let data = std::path::Path::new("unused");
        let loaded = config::load(Some(file), data).map_err(Failure::bad_input)?;
        return queries(loaded.telemetry.mappings);
    }
    let all = || PRESETS.iter().map(|name| (*name).to_owned()).collect();
    let mut mappings = Vec::new();
    for name in args.presets.clone().unwrap_or_else(all) {
        let known = preset(&name);
        let known = known.map_err(|error| Failure::bad_input(format!("--presets: {error}")))?;
        mappings.extend(known);
    }
    queries(mappings)
}

fn import(args: &Args, wanted: &[Wanted], end: Timestamp) -> anyhow::Result<ImportSummary> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut columns: Vec<&str> = wanted.iter().map(|one| &**one.mapping.resource()).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut writer = UsageWriter::create(&args.out, &columns)?;
    let mut written: Option<ImportSummary> = None;
    let mut from = args.start;
    while from <= end {
        let last = (from + args.step * (STEPS_AT_ONCE - 1)).min(end);
        let rows = rows(args, &agent, wanted, &columns, (from, last))?;
        for ((at, entity), values) in &rows {
            writer.write(*at, entity, values)?;
            let first = written.as_ref().map_or(*at, |summary| summary.first);
            let rows = written.as_ref().map_or(0, |summary| summary.rows) + 1;
            written = Some(ImportSummary {
                rows,
                first,
                last: *at,
            });
        }
        from = from + args.step * STEPS_AT_ONCE;
    }
    let Some(summary) = written else {
        bail!(
            "the server has no sample of the metrics that are mapped, from {} to {end}",
            args.start
        );
    };
    writer.finish()?;
    Ok(summary)
}

type Rows = BTreeMap<(Timestamp, EntityId), Vec<Option<f64>>>;

/// What several mappings give for one metric of an entity is added up.
fn rows(
    args: &Args,
    agent: &ureq::Agent,
    wanted: &[Wanted],
    columns: &[&str],
    span: (Timestamp, Timestamp),
) -> anyhow::Result<Rows> {
    let mut rows = Rows::new();
    for one in wanted {
        let column = columns.binary_search(&&**one.mapping.resource()).ok();
        for series in ask(args, agent, &one.query, span)? {
            add(&mut rows, &one.mapping, (column, columns.len()), series)?;
        }
    }
    Ok(rows)
}

/// Adds a series to one of so many columns.
fn add(
    rows: &mut Rows,
    mapping: &Mapping,
    (column, columns): (Option<usize>, usize),
    series: Series,
) -> anyhow::Result<()> {
    let label = |name: &str| series.metric.get(name).map(String::as_str);
    let Some(entity) = mapping.entity_of(label) else {
        return Ok(());
    };
    let entity = EntityId::new(&entity)?;
    for (at_s, value) in series.values {
        let at = Timestamp::from_millis((at_s * 1e3).round() as i64);
        let value: f64 = value.parse().unwrap_or(f64::NAN);
        let Some(column) = column.filter(|_| value.is_finite()) else {
            continue;
        };
        let row = rows.entry((at, entity.clone()));
        let row = row.or_insert_with(|| vec![None; columns]);
        row[column] = Some(row[column].unwrap_or(0.0) + value);
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Answer {
    status: String,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

fn ask(
    args: &Args,
    agent: &ureq::Agent,
    query: &str,
    (from, to): (Timestamp, Timestamp),
) -> anyhow::Result<Vec<Series>> {
    let url = format!("{}/api/v1/query_range", args.url.trim_end_matches('/'));
    let mut request = agent
        .get(url)
        .query("query", query)
        .query("start", from.to_string())
        .query("end", to.to_string())
        .query("step", args.step.as_secs_f64().to_string());
    if let Some(token) = &args.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut response = request.call().context("the server cannot be asked")?;
    let status = response.status();
    let body = response
        .body_mut()
        .with_config()
        .limit(MOST_BYTES)
        .read_to_string();
    let body = body.context("the answer cannot be read")?;
    answered(query, status, &body)
}

/// The series of an answer.
fn answered(
    query: &str,
    status: ureq::http::StatusCode,
    body: &str,
) -> anyhow::Result<Vec<Series>> {
    let Ok(answer) = serde_json::from_str::<Answer>(body) else {
        bail!("it answered {status} with something that is no answer of Prometheus' HTTP API");
    };
    match answer.data {
        Some(data) if data.result_type == "matrix" => Ok(data.result),
        Some(data) => bail!(
            "`{query}` gives a {}; write one that gives series",
            data.result_type
        ),
        None => bail!(
            "`{query}`: {}",
            answer
                .error
                .unwrap_or_else(|| format!("the answer is `{}`", answer.status))
        ),
    }
}

#[cfg(test)]
mod tests {
    use ureq::http::StatusCode;

    use super::*;
    use crate::edits::{Edits, edited};

    /// A second of random inputs by itself; `BOLERO_RANDOM_ITERATIONS` asks for more.
    #[test]
    fn whatever_a_prometheus_answers_it_is_imported_or_refused() {
        let mapping = preset("kubelet").expect("it is one").remove(0);
        let valid = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"pod":"web-1","namespace":"shop"},"values":[[1700000000,"0.5"],[1700000030.5,"NaN"]]},
            {"metric":{"pod":"web-2","namespace":"shop"},"values":[[1700000000,"+Inf"]]}]}}"#;
        let rows_of = |body: &str| {
            let mut rows = Rows::new();
            for series in answered("up", StatusCode::OK, body)? {
                add(&mut rows, &mapping, (Some(0), 1), series)?;
            }
            anyhow::Ok(rows.len())
        };
        assert_eq!(rows_of(valid).expect("it is valid"), 1);
        bolero::check!()
            .with_type::<Edits>()
            .for_each(|edits: &Edits| {
                let body = edited(valid.as_bytes(), edits);
                let _outcome = rows_of(&String::from_utf8_lossy(&body));
            });
    }
}
