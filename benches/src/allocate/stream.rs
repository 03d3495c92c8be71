//! Messages on one `AllocateStream`, each with requests and with the releases of what an earlier one
//! was granted.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use foreshadow_api::v1::{
    AllocateStreamRequest, AllocateStreamResponse, ReleaseRequest, allocate_result,
    allocations_client::AllocationsClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::ours::{ask, connect};
use crate::clock::Watch;

const RUN: Duration = Duration::from_secs(2);
/// A message may be as long as the largest that the server takes.
const LONGEST: usize = 16 << 20;

/// Calls a second on one stream with `window` messages of `batch` requests under way: each allocation
/// is two calls, since all that is granted is given back within the run.
pub(crate) async fn rate(address: SocketAddr, batch: usize, window: usize) -> anyhow::Result<f64> {
    let mut client =
        AllocationsClient::new(connect(address).await?).max_decoding_message_size(LONGEST);
    let (messages, sent) = mpsc::channel(window);
    for _ in 0..window {
        messages.send(message(batch, Vec::new())).await?;
    }
    let stream = client.allocate_stream(ReceiverStream::new(sent)).await?;
    let mut answers = stream.into_inner();
    let (started, mut calls, mut under_way) = (Watch::start(), 0, window);
    let mut took = Duration::ZERO;
    while under_way > 0 {
        let answer = answers.message().await?.context("the stream ended")?;
        under_way -= 1;
        calls += answer.results.len() + answer.releases.len();
        let granted = granted(answer)?;
        let last = took > RUN;
        if !last || !granted.is_empty() {
            messages
                .send(message(if last { 0 } else { batch }, granted))
                .await?;
            under_way += 1;
        }
        took = started.elapsed();
    }
    Ok(calls as f64 / took.as_secs_f64())
}

fn message(batch: usize, releases: Vec<ReleaseRequest>) -> AllocateStreamRequest {
    AllocateStreamRequest {
        requests: std::iter::repeat_with(ask).take(batch).collect(),
        releases,
    }
}

/// What is to be given back; anything but grants ends the run.
fn granted(answer: AllocateStreamResponse) -> anyhow::Result<Vec<ReleaseRequest>> {
    if let Some(error) = answer.releases.into_iter().find_map(|one| one.error) {
        anyhow::bail!("a release was refused: {}", error.message);
    }
    let results = answer.results.into_iter().map(|one| match one.result {
        Some(allocate_result::Result::Allocation(got)) if got.warm => Ok(ReleaseRequest {
            allocation_id: got.allocation_id,
            fencing_token: got.fencing_token,
        }),
        other => anyhow::bail!("no warm instance was granted: {other:?}"),
    });
    results.collect()
}
