//! How long the server is waited for.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use super::failure::Failure;

/// How many tries fit into the patience at the least: a connection that was lost without a word is
/// given up early enough to make another.
const TRIES: u32 = 3;
/// How often an operation that got on, and thereby got more time, is begun again.
const MOST_BEGINNINGS: u32 = 8;
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The patience with one operation, of which parts may take long each.
pub(super) struct Patience {
    whole: Duration,
    until: Instant,
    tries: u32,
    /// Tries in which the server answered, and whether it did in this one.
    beginnings: u32,
    got_on: bool,
}

/// How long one statement may take.
pub(super) fn of_a_try(patience: Duration) -> Duration {
    patience.max(LEAST_PATIENCE) / TRIES
}

/// How long the server lets us keep what we hold without a word from us. It holds others up, and our
/// own next try too, when the connection was lost and the server does not know.
pub(super) fn of_the_server(patience: Duration) -> Duration {
    of_a_try(patience) / 2
}

impl Patience {
    pub(super) fn begin(whole: Duration) -> Self {
        let whole = whole.max(LEAST_PATIENCE);
        Self {
            whole,
            until: Instant::now() + whole,
            tries: 0,
            beginnings: 0,
            got_on: false,
        }
    }

    /// Whether an earlier try failed, so that what it did is not known.
    pub(super) fn is_repeated(&self) -> bool {
        self.tries > 0
    }

    /// The server answered in the middle of a long operation: it is there.
    pub(super) fn heard(&mut self) {
        self.until = Instant::now() + self.whole;
        self.got_on = true;
    }

    /// Waits for one answer.
    pub(super) async fn wait<T, E: Into<Failure>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let limit = self.until.min(Instant::now() + of_a_try(self.whole));
        match timeout_at(limit, answer).await {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    /// Pauses before the next try, longer each time; false if there is none.
    pub(super) async fn pause(&mut self) -> bool {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.tries.min(8));
        self.tries += 1;
        self.beginnings += u32::from(std::mem::take(&mut self.got_on));
        sleep(pause.min(LONGEST_PAUSE)).await;
        self.beginnings < MOST_BEGINNINGS && Instant::now() < self.until
    }
}
