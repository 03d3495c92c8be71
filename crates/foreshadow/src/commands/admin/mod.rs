//! The commands that ask a running server, one file each.

mod audit;
mod config;
mod drain;
mod explain;
mod leases;
mod models;
mod overrides;
mod pools;
mod shadow;
mod top;

use serde::Serialize;

use crate::{
    failure::Failure,
    format::{Format, print},
    remote::Remote,
};

/// Commands that ask a running server.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Admin {
    /// The pools of a running server: instances, plan, hit rate.
    Pools(pools::Args),
    /// Say why a pool had the size it had.
    Explain(explain::Args),
    /// Who holds what, and giving it back.
    Leases(leases::LeasesArgs),
    /// Who waits, and for how long yet.
    Queue(leases::QueueArgs),
    /// The live profile of a user or an application.
    Shadow(shadow::Args),
    /// The models that retraining has made, and choosing one.
    Models(models::Args),
    /// Instances that an administrator keeps.
    Override(overrides::Args),
    /// How the server plans: show it, check or apply another.
    Config(config::Args),
    /// Take instances out, after use where they are held.
    Drain(drain::Args),
    /// Who changed what.
    Audit(audit::Args),
    /// Pools and what waits, renewed every other second.
    Top(top::Args),
}

/// The server, and how the answer is written.
#[derive(Debug, clap::Args)]
struct Asked {
    #[command(flatten)]
    remote: Remote,
    /// How the answer is written.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Asked {
    /// Writes an answer as JSON, or as text for people.
    fn write<T: Serialize>(
        &self,
        answer: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(answer)?)),
            Format::Text => print(&text(answer)),
        }
    }
}

/// Runs the command.
pub(crate) fn run(command: &Admin) -> Result<(), Failure> {
    match command {
        Admin::Pools(args) => pools::run(args),
        Admin::Explain(args) => explain::run(args),
        Admin::Leases(args) => leases::run_leases(args),
        Admin::Queue(args) => leases::run_queue(args),
        Admin::Shadow(args) => shadow::run(args),
        Admin::Models(args) => models::run(args),
        Admin::Override(args) => overrides::run(args),
        Admin::Config(args) => config::run(args),
        Admin::Drain(args) => drain::run(args),
        Admin::Audit(args) => audit::run(args),
        Admin::Top(args) => top::run(args),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0))
}
