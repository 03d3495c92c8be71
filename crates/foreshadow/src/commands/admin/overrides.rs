//! `foreshadow override`.

use foreshadow_api::{
    timestamp_to_proto,
    v1::{
        ListOverridesResponse, Override, SetOverrideRequest, SetOverrideResponse,
        set_override_request::{Change as Wanted, Extend},
    },
};
use foreshadow_types::{Timestamp, parse_duration};

use super::Asked;
use crate::{clock::now, failure::Failure, remote::time, table::Table};

const PATH: &str = "/admin/shadow_override";

/// Arguments of `foreshadow override`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Keep instances: of a pool for whoever comes, or beside it for one user or application.
    Set {
        /// The pool.
        pool: String,
        /// How many.
        count: u32,
        /// For this user or application only.
        #[arg(long = "for", value_name = "NAME")]
        entity: Option<String>,
        /// How it is called; `POOL` or `POOL/NAME` unless given.
        #[arg(long)]
        name: Option<String>,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        end: End,
    },
    /// Move the end of one.
    Extend {
        /// Its name.
        name: String,
        #[command(flatten)]
        end: End,
    },
    /// End one.
    Clear {
        /// Its name.
        name: String,
    },
}

/// When it ends; never unless given.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct End {
    /// When it ends.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    until: Option<Timestamp>,
    /// After which time it ends, such as `2h`.
    #[arg(long = "lasts", value_name = "SPAN", value_parser = parse_duration)]
    lasts: Option<std::time::Duration>,
}

impl End {
    fn at(&self) -> Option<Timestamp> {
        self.until.or_else(|| self.lasts.map(|span| now() + span))
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let asked = &args.asked;
    let Some(change) = &args.change else {
        let found: ListOverridesResponse = asked.remote.get(PATH, &[])?;
        return asked.write(&found, |found| table(&found.overrides));
    };
    let request = SetOverrideRequest {
        change: Some(wanted(change)),
        etag: String::new(),
    };
    let found: SetOverrideResponse = asked.remote.post(PATH, &[], &request)?;
    asked.write(&found, |found| table(&found.overrides))
}

fn wanted(change: &Change) -> Wanted {
    match change {
        Change::Set {
            pool,
            count,
            entity,
            name,
            reason,
            end,
        } => Wanted::Set(Override {
            name: name.clone().unwrap_or_default(),
            pool: pool.clone(),
            entity_id: entity.clone().unwrap_or_default(),
            count: *count,
            expires_at: end.at().map(timestamp_to_proto),
            reason: reason.clone(),
            set_by: String::new(),
        }),
        Change::Extend { name, end } => Wanted::Extend(Extend {
            name: name.clone(),
            expires_at: end.at().map(timestamp_to_proto),
        }),
        Change::Clear { name } => Wanted::Clear(name.clone()),
    }
}

fn table(overrides: &[Override]) -> String {
    if overrides.is_empty() {
        return "no override is in force\n".to_owned();
    }
    let mut table = Table::new(["name", "pool", "for", "count", "until", "by", "reason"]);
    for one in overrides {
        table.row([
            one.name.clone(),
            one.pool.clone(),
            one.entity_id.clone(),
            one.count.to_string(),
            time(one.expires_at),
            one.set_by.clone(),
            one.reason.clone(),
        ]);
    }
    table.to_string()
}
