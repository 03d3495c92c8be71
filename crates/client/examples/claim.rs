//! Claims an instance, holds it for a while and gives it back.
//!
//! ```sh
//! cargo run -p foreshadow-client --example claim -- notebook 30
//! ```
//!
//! The server is the one in `FORESHADOW_SERVER` (`127.0.0.1:7070` if it is not set), with the token in
//! `FORESHADOW_TOKEN` and the authority in `FORESHADOW_CA` if there are any.

use std::{error::Error, process::ExitCode, time::Duration};

use foreshadow_client::{Allocation, Claim, Claimed, Client, Lease, Lost, State, Waiting};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It says what failed, where, and how to mend it.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let pool = args.next().unwrap_or_else(|| "notebook".to_owned());
    let seconds = args.next().map_or(Ok(10), |text| text.parse())?;

    let client = Client::from_env()?.connect().await?;
    let claim = Claim::pool(pool)
        .user("example")
        .lease_duration(Duration::from_secs(30));
    let lease = match client.claim(claim).await? {
        Claimed::Granted(lease) => lease,
        Claimed::Waiting(waiting) => waited_for(waiting).await?,
    };
    let kind = if lease.is_warm() { "warm" } else { "cold" };
    println!("{}: a {kind} instance at {}", lease.id(), lease.address());

    hold(&lease, Duration::from_secs(seconds)).await?;
    lease.release().await?;
    println!("given back");
    Ok(())
}

/// Says where the claim stands until it is granted.
async fn waited_for(mut waiting: Waiting) -> Result<Lease, foreshadow_client::Error> {
    while waiting.allocation().state != State::Granted {
        say(waiting.allocation());
        waiting.changed().await?;
    }
    waiting.granted().await
}

fn say(now: &Allocation) {
    print!("{}", now.state);
    if let Some(place) = now.queue_position {
        print!(" at place {place}");
    }
    match now.estimated_wait {
        Some(wait) => println!(", ready in about {:.1} s", wait.as_secs_f64()),
        None => println!(),
    }
}

/// Holds the lease, which is renewed meanwhile; ends early if it is lost.
async fn hold(lease: &Lease, time: Duration) -> Result<(), Lost> {
    println!("held for {time:?} with token {}", lease.fencing_token());
    lease.while_held(tokio::time::sleep(time)).await
}
