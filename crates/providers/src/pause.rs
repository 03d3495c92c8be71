//! Pauses between two questions: short at first, then longer and longer.

use std::time::Duration;

use tokio::time::sleep;

/// A pause that doubles each time, up to a longest one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    /// Between two looks at an instance that is starting.
    pub(crate) fn of_looks() -> Self {
        Self {
            next: Duration::from_millis(20),
            longest: Duration::from_secs(1),
        }
    }

    /// Between two tries of a call that failed.
    pub(crate) fn of_tries() -> Self {
        Self {
            next: Duration::from_millis(50),
            longest: Duration::from_secs(5),
        }
    }

    /// Between two looks at an instance whose news come by themselves.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn of_starts() -> Self {
        Self {
            next: Duration::from_secs(5),
            longest: Duration::from_secs(20),
        }
    }

    /// How long to wait now; the next will be longer.
    pub(crate) fn take(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.longest);
        now
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.take()).await;
    }

    /// The same, but between half of the pause and all of it: those who were refused together do not
    /// come back together.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn take_about(&mut self) -> Duration {
        let part = (crate::random::random() >> 48) as f64 / 65_536.0;
        self.take().mul_f64(0.5 + part / 2.0)
    }

    #[cfg(feature = "kubernetes")]
    pub(crate) async fn wait_about(&mut self) {
        sleep(self.take_about()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let mut pause = Pause::of_looks();
        let pauses: Vec<_> = (0..8).map(|_| pause.take().as_millis()).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}
