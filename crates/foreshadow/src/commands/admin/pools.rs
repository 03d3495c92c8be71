//! `foreshadow pools`.

use foreshadow_api::v1::{ListPoolsResponse, PoolStatus};

use super::{Asked, percent};
use crate::{failure::Failure, remote::Remote, table::Table};

/// Arguments of `foreshadow pools`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let found = ListPoolsResponse {
        pools: all(&args.asked.remote)?,
        ..ListPoolsResponse::default()
    };
    args.asked.write(&found, |found| table(&found.pools))
}

/// All pools, page by page.
fn all(remote: &Remote) -> Result<Vec<PoolStatus>, Failure> {
    let (mut pools, mut token) = (Vec::new(), String::new());
    loop {
        let query = [("pageSize", "1000".to_owned()), ("pageToken", token)];
        let page: ListPoolsResponse = remote.get("/api/v1/pools", &query)?;
        pools.extend(page.pools);
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(pools);
        }
    }
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
