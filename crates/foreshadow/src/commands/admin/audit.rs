//! `foreshadow audit`.

use foreshadow_api::v1::ListAuditEventsResponse;

use super::Asked;
use crate::{failure::Failure, remote::time, table::Table};

/// Arguments of `foreshadow audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only changes by this caller.
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only changes by this call, such as `SetOverride`.
    #[arg(long, value_name = "CALL")]
    action: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 100)]
    latest: u32,
    #[command(flatten)]
    asked: Asked,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let query = [
        ("who", args.who.clone().unwrap_or_default()),
        ("action", args.action.clone().unwrap_or_default()),
        ("pageSize", args.latest.to_string()),
    ];
    let found: ListAuditEventsResponse = args.asked.remote.get("/admin/audit", &query)?;
    args.asked.write(&found, table)
}

fn table(found: &ListAuditEventsResponse) -> String {
    let mut table = Table::new(["at", "who", "role", "from", "call", "outcome", "request"]);
    for event in &found.events {
        let outcome = match event.refusal.as_str() {
            "" => "done",
            refusal => refusal,
        };
        table.row([
            time(event.at),
            event.who.clone(),
            event.role.clone(),
            event.peer.clone(),
            event.action.clone(),
            outcome.to_owned(),
            event.request.clone(),
        ]);
    }
    table.to_string()
}
