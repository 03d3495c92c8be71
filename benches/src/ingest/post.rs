//! A sender: one connection that is kept open.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};

const PATIENCE: Duration = Duration::from_mins(1);

/// One connection to a server.
pub(super) struct Poster {
    agent: ureq::Agent,
    address: SocketAddr,
}

impl Poster {
    pub(super) fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false);
        Self {
            agent: config.build().new_agent(),
            address,
        }
    }

    /// Sends one body of remote write 1.0; an error unless all of it is kept.
    pub(super) fn write(&self, body: &[u8]) -> anyhow::Result<()> {
        let mut answer = self
            .agent
            .post(format!("http://{}/api/v1/write", self.address))
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .send(body)?;
        let text = answer.body_mut().read_to_string()?;
        ensure!(answer.status().is_success(), "{}: {text}", answer.status());
        Ok(())
    }

    /// Reads a page to its end; an error unless it is there.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("http://{}{path}", self.address);
        let mut answer = self.agent.get(url).call()?;
        let text = answer.body_mut().read_to_string()?;
        ensure!(
            answer.status().is_success(),
            "{path}: {}: {text}",
            answer.status()
        );
        Ok(text)
    }

    /// The sum of the metrics on the server's own page that begin so.
    pub(super) fn metric(&self, begin: &str) -> anyhow::Result<f64> {
        let page = self.get("/metrics")?;
        let values: Vec<f64> = page
            .lines()
            .filter(|line| line.starts_with(begin))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        let sum = values.iter().copied().reduce(|a, b| a + b);
        sum.with_context(|| format!("{} tells no {begin}", self.address))
    }
}
