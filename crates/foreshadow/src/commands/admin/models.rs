//! `foreshadow models`.

use foreshadow_api::v1::{ListModelsResponse, RetrainResponse, UseModelRequest, model::Measures};
use serde_json::json;

use super::Asked;
use crate::{failure::Failure, remote::time, table::Table};

const PATH: &str = "/admin/models";

/// Arguments of `foreshadow models`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Take a model up and keep it whatever retraining finds.
    Use {
        /// Such as `candidate-3`.
        name: String,
    },
    /// Train one now; it is taken up if it is better.
    Retrain,
    /// Leave the choice to retraining again.
    Auto,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let asked = &args.asked;
    let name = match &args.change {
        None => {
            let found: ListModelsResponse = asked.remote.get(PATH, &[])?;
            return asked.write(&found, table);
        }
        Some(Change::Retrain) => {
            let answer: RetrainResponse = asked.remote.post("/admin/retrain", &[], &json!({}))?;
            return asked.write(&answer, |_| "a training is asked for\n".to_owned());
        }
        Some(Change::Use { name }) => name.clone(),
        Some(Change::Auto) => String::new(),
    };
    let request = UseModelRequest { name };
    let found: ListModelsResponse = asked.remote.post(PATH, &[], &request)?;
    asked.write(&found, table)
}

fn table(found: &ListModelsResponse) -> String {
    let latest = match found.latest_training.as_str() {
        "" => String::new(),
        latest => format!("latest training: {latest}\n"),
    };
    if found.models.is_empty() {
        return format!("retraining has made no model yet\n{latest}");
    }
    let mut table = Table::new([
        "model",
        "in use",
        "kept",
        "trained through",
        "wape",
        "naive ones",
        "problem",
    ]);
    let wape = |one: &Measures| {
        one.wape
            .map_or_else(|| "-".to_owned(), |wape| format!("{wape:.3}"))
    };
    let yes = |is: bool| if is { "yes" } else { "" }.to_owned();
    for model in &found.models {
        table.row([
            model.name.clone(),
            yes(model.in_use),
            yes(model.pinned),
            time(model.trained_through),
            model.measures.first().map(wape).unwrap_or_default(),
            model
                .measures
                .iter()
                .skip(1)
                .map(wape)
                .collect::<Vec<_>>()
                .join(", "),
            model.problem.clone(),
        ]);
    }
    format!("{table}{latest}")
}
