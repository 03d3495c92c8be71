//! `foreshadow pools`.

use foreshadow_api::v1::{ListPoolsResponse, PoolStatus};

use super::{Asked, percent};
use crate::{failure::Failure, table::Table};

/// Arguments of `foreshadow pools`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut found = ListPoolsResponse::default();
    let next = |page: &ListPoolsResponse| page.next_page_token.clone();
    args.asked
        .remote
        .each_page("/api/v1/pools", &[], next, |page| {
            found.pools.extend(page.pools);
            true
        })?;
    args.asked.write(&found, |found| table(&found.pools))
}

/// The pools, a row each.
pub(super) fn table(pools: &[PoolStatus]) -> String {
    if pools.is_empty() {
        return "there are no pools; define one in the server's configuration\n".to_owned();
    }
    let mut table = Table::new([
        "pool", "target", "ready", "starting", "leased", "queued", "max", "requests", "hit rate",
        "model",
    ]);
    for pool in pools {
        let requests = pool.hits + pool.joins + pool.misses + pool.rejected;
        table.row([
            pool.pool.clone(),
            pool.target.to_string(),
            pool.ready.to_string(),
            pool.starting.to_string(),
            pool.leased.to_string(),
            pool.queued.to_string(),
            pool.max.to_string(),
            requests.to_string(),
            percent(pool.hit_rate),
            pool.forecast
                .as_ref()
                .map_or("-", |one| &one.model)
                .to_owned(),
        ]);
    }
    table.to_string()
}
