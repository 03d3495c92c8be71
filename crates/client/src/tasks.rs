//! What is still to be given back, so that its end can be waited for.

use tokio::sync::watch;

/// Counts what is under way. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks(watch::Sender<usize>);

/// Something that is under way until this is dropped.
#[derive(Debug)]
#[must_use = "what is under way ends when this is dropped"]
pub(crate) struct Busy(Tasks);

impl Tasks {
    pub(crate) fn begin(&self) -> Busy {
        self.0.send_modify(|count| *count += 1);
        Busy(self.clone())
    }

    /// Waits until nothing is under way.
    pub(crate) async fn finished(&self) {
        let mut count = self.0.subscribe();
        // The count cannot go away while it is borrowed here.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_end_comes_when_nothing_is_under_way() {
        let tasks = Tasks::default();
        let (first, second) = (tasks.begin(), tasks.clone().begin());
        let mut finished = Box::pin(tasks.finished());
        drop(first);
        assert!(finished.as_mut().now_or_never().is_none());
        drop(second);
        finished.await;
    }
}
