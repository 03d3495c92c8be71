//! Observations that were mapped and could not be kept. Their sender is told so and sends the request
//! again, but then all of its samples are known already: what was mapped is handed over first.

use foreshadow_shadow::Observation;
use tokio::sync::Mutex;
use tonic::Code;

use crate::{cluster::Credentials, error::ApiError};

/// What one request is owed.
pub(super) type Owed = (Vec<Observation>, Option<Credentials>);

/// What is owed to all requests. Nothing new is mapped before it is kept, so that it is never more
/// than what is mapped at once.
#[derive(Debug, Default)]
pub(super) struct Debt(Mutex<Vec<Owed>>);

impl Debt {
    /// Notes what could not be kept.
    pub(super) async fn add(&self, owed: Owed) {
        self.0.lock().await.push(owed);
    }

    /// Hands over all that is owed. What is refused for another reason than that it cannot be kept now,
    /// as where its sender's token is over, is owed no more: it would keep out what comes after it.
    ///
    /// # Errors
    /// That it cannot be kept now; what is left is owed still.
    pub(super) async fn pay<F>(&self, keep: impl Fn(Owed) -> F) -> Result<(), ApiError>
    where
        F: Future<Output = Result<(), ApiError>>,
    {
        let mut debt = self.0.lock().await;
        while let Some(owed) = debt.last() {
            if let Err(error) = keep(owed.clone()).await {
                if error.code == Code::Unavailable {
                    return Err(error);
                }
                let samples = owed.0.len();
                tracing::error!(%error, samples, "samples that could not be kept are lost");
            }
            debt.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::StatusCode;
    use foreshadow_types::{EntityId, Timestamp};

    use super::*;

    fn owed(value: f64) -> Owed {
        let observation = Observation {
            entity: EntityId::new("ada").unwrap(),
            metric: "cpu".into(),
            at: Timestamp::from_millis(1),
            value,
        };
        (vec![observation], None)
    }

    #[tokio::test]
    async fn what_could_not_be_kept_is_owed_until_it_is() {
        let debt = Debt::default();
        debt.add(owed(1.0)).await;
        debt.add(owed(2.0)).await;
        let kept = AtomicUsize::new(0);
        let refusing = |_| async { Err(ApiError::unavailable("full")) };
        assert!(debt.pay(refusing).await.is_err());
        let keeping = |owed: Owed| {
            kept.fetch_add(owed.0.len(), Ordering::Relaxed);
            async { Ok(()) }
        };
        debt.pay(keeping).await.unwrap();
        debt.pay(keeping).await.unwrap();
        assert_eq!(kept.into_inner(), 2, "once each");
    }

    #[tokio::test]
    async fn what_nobody_will_ever_take_keeps_nothing_out() {
        let debt = Debt::default();
        debt.add(owed(1.0)).await;
        let over = |_| async {
            Err(ApiError::new(
                Code::Unauthenticated,
                StatusCode::UNAUTHORIZED,
                "over",
            ))
        };
        debt.pay(over).await.unwrap();
        let none = |_| async { Err(ApiError::unavailable("nothing is owed")) };
        debt.pay(none).await.unwrap();
    }
}
