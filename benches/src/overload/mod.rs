//! Twice the load that the server can take, open-loop: clients ask at times fixed beforehand, whether
//! or not earlier answers have come. The server is a process of its own, so that its memory can be told
//! from the clients', and the clients do so little that they take a small part of the machine.

mod load;
mod wire;

use std::time::Duration;

use foreshadow_engine::config::Durability;

use self::load::{Arrivals, Clients, Counts};
use crate::{
    allocate::Served,
    process::{OtherProcess, processor_s},
    report::Row,
};

/// Clients of the closed loop that finds the peak.
const CLOSED: usize = 128;
/// How long the peak is looked for.
const PEAK: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 4;
/// Claims that the server remembers after their end.
const REMEMBERED: u64 = 500_000;
/// Instances of the pool.
const WARM: u32 = 512;

/// Goodput at twice the peak load, beside the peak.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let seconds =
        std::env::var("FORESHADOW_OVERLOAD_SECONDS").map_or(Ok(60), |text| text.parse())?;
    let server = OtherProcess::start(&["overload-server"])?;
    // Until as many claims have ended as are remembered, memory grows with each.
    let mut ended = 0;
    while ended < REMEMBERED {
        let few = run(&server, Arrivals::Closed(CLOSED), PEAK)?;
        ended += few.counts.granted;
    }
    let peak = run(&server, Arrivals::Closed(CLOSED), PEAK)?;
    peak.tell(&format!("{CLOSED} clients at a time"));
    let asked = Arrivals::Open(2.0 * peak.per_second());
    let over = run(&server, asked, Duration::from_secs(seconds))?;
    over.tell(&format!("{seconds} s at twice the peak"));
    Ok(vec![Row {
        name: "overload_2x",
        value: over.per_second(),
        unit: "claims/s",
        peer: "peak",
        peer_value: peak.per_second(),
    }])
}

/// Serves until its parent has gone: the other process.
pub(crate) fn serve() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let served = Served::start(Durability::Memory, WARM).await?;
        println!("{}", served.address);
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        ended.await??;
        served.stop().await
    })
}

/// What became of a load.
struct Outcome {
    counts: Counts,
    seconds: f64,
    /// Of the server: at the beginning, and the most there was.
    memory_mb: [f64; 2],
    /// Processor time of the server and of the clients, of all that there was.
    shares: [f64; 2],
}

fn run(server: &OtherProcess, arrivals: Arrivals, lasting: Duration) -> anyhow::Result<Outcome> {
    let clients = Clients::connect(server.address, CONNECTIONS)?;
    let before_mb = server.memory_mb()?;
    let processes = [server.id(), std::process::id()];
    let before = [processor_s(processes[0])?, processor_s(processes[1])?];
    let mut most_mb = before_mb;
    let counts = clients.run(arrivals, lasting, || {
        most_mb = most_mb.max(server.memory_mb()?);
        Ok(())
    })?;
    let after = [processor_s(processes[0])?, processor_s(processes[1])?];
    let seconds = lasting.as_secs_f64();
    let cores = std::thread::available_parallelism()?.get() as f64;
    Ok(Outcome {
        counts,
        seconds,
        memory_mb: [before_mb, most_mb],
        shares: [0, 1].map(|of| (after[of] - before[of]) / (seconds * cores)),
    })
}

impl Outcome {
    fn per_second(&self) -> f64 {
        self.counts.granted as f64 / self.seconds
    }

    fn tell(&self, what: &str) {
        let Counts {
            granted,
            refused,
            held_back,
            times,
        } = &self.counts;
        let [granted_ms, refused_ms] = times.each_ref().map(|times| {
            let mut sorted = times.clone();
            sorted.sort_by(f64::total_cmp);
            [0.5, 0.99].map(|quantile| 1e3 * at(&sorted, quantile))
        });
        eprintln!(
            "{what}: {granted} granted after p50 {:.1} ms, p99 {:.1} ms; {refused} refused after p50 \
             {:.1} ms, p99 {:.1} ms; {held_back} not sent; the server took {:.0} % of the machine and the \
             clients {:.0} %; memory {:.0} MB before, {:.0} MB at the most",
            granted_ms[0],
            granted_ms[1],
            refused_ms[0],
            refused_ms[1],
            100.0 * self.shares[0],
            100.0 * self.shares[1],
            self.memory_mb[0],
            self.memory_mb[1],
        );
    }
}

/// A quantile of what is sorted; 0 of nothing.
fn at(sorted: &[f64], quantile: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted
        .get((last * quantile) as usize)
        .copied()
        .unwrap_or(0.0)
}
