//! What a server tells over HTTP.

use std::{net::SocketAddr, time::Duration};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// A page of a server, over HTTP.
pub(crate) async fn page(
    server: SocketAddr,
    method: &'static str,
    path: &str,
    body: String,
) -> anyhow::Result<String> {
    let url = format!("http://{server}{path}");
    let answer = tokio::task::spawn_blocking(move || {
        let request = ureq::http::Request::builder().method(method).uri(url);
        let request = request
            .header("content-type", "application/json")
            .body(body)?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        anyhow::Ok(
            agent
                .run(request)?
                .body_mut()
                .with_config()
                .limit(1 << 30)
                .read_to_string()?,
        )
    });
    answer.await?
}

/// The sum of the samples that begin so.
pub(crate) fn sum(page: &str, begin: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(begin));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// How many instances of all its pools are ready.
pub(crate) async fn ready(server: SocketAddr) -> anyhow::Result<f64> {
    let metrics = page(server, "GET", "/metrics", String::new()).await?;
    let lines = metrics
        .lines()
        .filter(|line| line.contains("state=\"ready\""));
    let ready: Vec<&str> = lines.collect();
    Ok(sum(&ready.join("\n"), "foreshadow_pool_instances"))
}
