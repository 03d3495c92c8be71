//! `foreshadow explain`: why a pool had the size it had.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, bail};
use foreshadow_api::{timestamp_from_proto, v1::Explanation, well_known};
use foreshadow_types::Timestamp;
use serde::Deserialize;

use crate::{failure::Failure, format::Format};

const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `foreshadow explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool.
    #[arg(long, value_name = "NAME")]
    pool: String,
    /// The time; now unless given.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    at: Option<Timestamp>,
    /// The server to ask.
    #[arg(
        long,
        env = "FORESHADOW_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:7070"
    )]
    server: String,
    /// Shown to the server as a bearer token.
    #[arg(
        long,
        env = "FORESHADOW_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    message: String,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let asked = ask(args);
    let found = asked.map_err(|error| Failure::bad_input(format!("{}: {error:#}", args.server)))?;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&found)?),
        Format::Text => print!("{}", text(&found)),
    }
    Ok(())
}

fn ask(args: &Args) -> anyhow::Result<Explanation> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let url = format!("{}/admin/explain", args.server.trim_end_matches('/'));
    let mut request = agent.get(&url).query("pool", &args.pool);
    if let Some(at) = args.at {
        request = request.query("at", at.to_string());
    }
    if let Some(token) = &args.token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut answer = request
        .call()
        .context("no server answers there; start one or give --server")?;
    let status = answer.status();
    let body = answer.body_mut().read_to_string()?;
    if !status.is_success() {
        let refusal = serde_json::from_str(&body).map(|refusal: Refusal| refusal.message);
        bail!("{}", refusal.unwrap_or_else(|_| format!("status {status}")));
    }
    serde_json::from_str(&body).context("the answer is not understood; are the versions the same?")
}

/// The explanation for people.
fn text(found: &Explanation) -> String {
    let mut text = format!(
        "{} at {}: {} instances, {}, since {}",
        found.pool,
        time(found.at),
        found.target,
        found.mode,
        time(found.since)
    );
    if found.until.is_some() {
        let _ = write!(text, " until {}", time(found.until));
    }
    let _ = writeln!(
        text,
        "\n  then: {} ready, {} starting, {} leased, {} waiting",
        found.ready, found.starting, found.leased, found.queued
    );
    for (number, reason) in found.reasons.iter().enumerate() {
        let _ = writeln!(text, "  {}. {reason}", number + 1);
    }
    let mut waits: Vec<String> = found
        .waits
        .iter()
        .map(|(cause, count)| format!("{count} {}", cause.replace('_', " ")))
        .collect();
    waits.sort();
    let waits = if waits.is_empty() {
        "none".to_owned()
    } else {
        waits.join(", ")
    };
    let _ = writeln!(text, "  waits meanwhile: {waits}");
    text
}

fn time(at: Option<well_known::Timestamp>) -> String {
    let at = timestamp_from_proto("time", at);
    at.ok()
        .flatten()
        .map_or_else(|| "an unknown time".to_owned(), |at| at.to_string())
}
