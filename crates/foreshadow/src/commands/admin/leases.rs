//! `foreshadow leases` and `foreshadow queue`.

use foreshadow_api::v1::{Allocation, ListResponse, ReleaseRequest};
use serde_json::json;

use super::Asked;
use crate::{
    failure::Failure,
    remote::{Remote, segment, span, state, time},
    table::Table,
};

/// The states in which something is held, and those in which something is waited for.
const HELD: &str = "GRANTED,JOINED";
const WAITING: &str = "QUEUED,JOINED,BOOKED";

/// Arguments of `foreshadow leases`.
#[derive(Debug, clap::Args)]
pub(crate) struct LeasesArgs {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    filter: Filter,
}

/// Arguments of `foreshadow queue`.
#[derive(Debug, clap::Args)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    change: Option<Withdrawal>,
    #[command(flatten)]
    filter: Filter,
}

/// Which allocations.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Only of this pool.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// Only of this tenant.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Give a lease back in its holder's place.
    Release {
        /// The allocation, such as `a-42`.
        id: String,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Withdrawal {
    /// Take a request back that waits.
    Cancel {
        /// The allocation, such as `a-42`.
        id: String,
    },
}

/// Runs `foreshadow leases`.
pub(super) fn run_leases(args: &LeasesArgs) -> Result<(), Failure> {
    let asked = &args.filter.asked;
    let Some(Change::Release { id }) = &args.change else {
        let found = all(&args.filter, HELD)?;
        return asked.write(&found, |found| leases(found));
    };
    let lease = holding(&asked.remote, id)?;
    let request = ReleaseRequest {
        allocation_id: id.clone(),
        fencing_token: lease.fencing_token,
    };
    let path = format!("/api/v1/allocations/{}/release", segment(id));
    let released: Allocation = asked.remote.post(&path, &[], &request)?;
    asked.write(&released, ended)
}

/// Runs `foreshadow queue`.
pub(super) fn run_queue(args: &QueueArgs) -> Result<(), Failure> {
    let asked = &args.filter.asked;
    let Some(Withdrawal::Cancel { id }) = &args.change else {
        let found = all(&args.filter, WAITING)?;
        return asked.write(&found, |found| queue(found));
    };
    let path = format!("/api/v1/allocations/{}/cancel", segment(id));
    let cancelled: Allocation = asked.remote.post(&path, &[], &json!({}))?;
    asked.write(&cancelled, ended)
}

fn ended(allocation: &Allocation) -> String {
    format!("{} is {}\n", allocation.allocation_id, state(allocation))
}

/// All pages of what a filter asks for.
fn all(filter: &Filter, states: &str) -> Result<Vec<Allocation>, Failure> {
    let given = |name: &Option<String>| name.clone().unwrap_or_default();
    let query = [
        ("pool", given(&filter.pool)),
        ("tenantId", given(&filter.tenant)),
        ("userId", given(&filter.user)),
        ("states", states.to_owned()),
    ];
    let mut found = Vec::new();
    each_page(&filter.asked.remote, &query, |page| {
        found.extend(page.allocations);
        true
    })?;
    Ok(found)
}

/// Walks the pages until there are no more or `more` says that it is enough.
fn each_page(
    remote: &Remote,
    query: &[(&str, String)],
    more: impl FnMut(ListResponse) -> bool,
) -> Result<(), Failure> {
    let next = |page: &ListResponse| page.next_page_token.clone();
    remote.each_page("/api/v1/allocations", query, next, more)
}

/// The lease of an id, for its fencing token.
fn holding(remote: &Remote, id: &str) -> Result<Allocation, Failure> {
    let mut found = None;
    let query = [("states", HELD.to_owned())];
    each_page(remote, &query, |page| {
        found = page
            .allocations
            .into_iter()
            .find(|one| one.allocation_id == id);
        found.is_none()
    })?;
    found.ok_or_else(|| {
        Failure::bad_input(format!(
            "nobody holds `{id}`; `foreshadow leases` lists what is held"
        ))
    })
}

fn leases(found: &[Allocation]) -> String {
    let mut table = Table::new([
        "allocation",
        "pool",
        "tenant",
        "user",
        "state",
        "instance",
        "address",
        "expires",
    ]);
    for lease in found {
        let instance = lease.instance.clone().unwrap_or_default();
        table.row([
            lease.allocation_id.clone(),
            lease.pool.clone(),
            lease.tenant_id.clone(),
            lease.user_id.clone(),
            state(lease),
            instance.id,
            instance.address,
            time(lease.lease_expires_at),
        ]);
    }
    format!("{table}{} held\n", found.len())
}

fn queue(found: &[Allocation]) -> String {
    let mut table = Table::new([
        "allocation",
        "pool",
        "tenant",
        "user",
        "state",
        "place",
        "estimated",
        "needed",
    ]);
    for waiting in found {
        table.row([
            waiting.allocation_id.clone(),
            waiting.pool.clone(),
            waiting.tenant_id.clone(),
            waiting.user_id.clone(),
            state(waiting),
            match waiting.queue_position {
                0 => "-".to_owned(),
                place => place.to_string(),
            },
            span(waiting.estimated_wait.as_ref()),
            time(waiting.availability_time.or(waiting.requested_at)),
        ]);
    }
    format!("{table}{} waiting\n", found.len())
}
