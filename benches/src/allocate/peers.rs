//! What people build themselves, started for the run where it can be had.

use foreshadow_engine::config::Durability;

use super::{
    load::{Claims, Rates, rate},
    postgres::Postgres,
    valkey::Valkey,
};

/// The servers that could be started.
pub(crate) struct Peers {
    pub(crate) postgres: Option<Postgres>,
    pub(crate) valkey: Option<Valkey>,
}

impl Peers {
    /// Starts each with this many instances, or says on stderr why it is left out.
    pub(crate) async fn start(durability: Durability, instances: u32) -> Self {
        Self {
            postgres: or_left_out(
                "postgres_skip_locked",
                Postgres::start(durability, instances).await,
            ),
            valkey: or_left_out("valkey_script", Valkey::start(durability, instances).await),
        }
    }

    /// Measures each and notes its rate.
    pub(crate) async fn measure(&mut self, rates: &mut Rates, clients: usize, batch: usize) {
        if let Some(postgres) = &self.postgres {
            note(
                rates,
                "postgres_skip_locked",
                postgres.clients(clients).await,
                batch,
            )
            .await;
        }
        if let Some(valkey) = &self.valkey {
            note(rates, "valkey_script", Ok(valkey.clients(clients)), batch).await;
        }
    }
}

async fn note<C: Claims>(
    rates: &mut Rates,
    peer: &'static str,
    clients: anyhow::Result<Vec<C>>,
    batch: usize,
) {
    let outcome = match clients {
        Ok(clients) => rate(clients, batch).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(rate) => rates.note(peer, rate),
        Err(error) => eprintln!("{peer}: a run is left out: {error:#}"),
    }
}

fn or_left_out<T>(peer: &str, started: anyhow::Result<T>) -> Option<T> {
    started
        .inspect_err(|error| eprintln!("{peer} is left out: {error:#}"))
        .ok()
}
