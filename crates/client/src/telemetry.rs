//! Measurements of users and applications.

use std::{
    ops::{Add, AddAssign},
    time::SystemTime,
};

use foreshadow_api::v1::{
    Point, ReportRequest, ReportResponse, Series, telemetry_client::TelemetryClient,
};
use futures::{
    Stream, StreamExt as _, TryStreamExt as _,
    stream::{self, try_unfold},
};

use crate::{Client, Entity, Error, time::to_wire};

/// Samples in one message of a report at the most.
const BATCH: usize = 10_000;

/// A measurement of one metric of a user or an application.
///
/// ```
/// use foreshadow_client::{Entity, Sample};
///
/// let sample = Sample::new(Entity::user("ada"), "memory_usage_bytes", 3.2e9);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    entity: Entity,
    metric: String,
    value: f64,
    at: Option<SystemTime>,
}

impl Sample {
    /// A value of now; the metric's name has its unit at the end.
    pub fn new(entity: Entity, metric: impl Into<String>, value: f64) -> Self {
        Self {
            entity,
            metric: metric.into(),
            value,
            at: None,
        }
    }

    /// The time of the measurement, if it is not now.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.at = Some(time);
        self
    }

    fn is_of_the_series_of(&self, other: &Self) -> bool {
        self.entity == other.entity && self.metric == other.metric
    }
}

/// What became of reported samples. One that is accepted has been taken over: it survives the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "samples may have been refused"]
pub struct Reported {
    /// How many were taken, now or before.
    pub accepted: u64,
    /// How many of them had been taken before, and count once.
    pub duplicates: u64,
    /// How many were refused, for their time, value or name.
    pub refused: u64,
    /// The first refusal in words, naming the field.
    pub first_error: Option<String>,
}

impl Add for Reported {
    type Output = Self;

    fn add(mut self, later: Self) -> Self {
        self += later;
        self
    }
}

impl AddAssign for Reported {
    fn add_assign(&mut self, later: Self) {
        self.accepted += later.accepted;
        self.duplicates += later.duplicates;
        self.refused += later.refused;
        self.first_error = self.first_error.take().or(later.first_error);
    }
}

impl From<ReportResponse> for Reported {
    fn from(wire: ReportResponse) -> Self {
        Self {
            accepted: wire.accepted,
            duplicates: wire.duplicates,
            refused: wire.refused,
            first_error: Some(wire.first_error).filter(|error| !error.is_empty()),
        }
    }
}

impl Client {
    /// Sends measurements, and waits until all have been taken over.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// use foreshadow_client::{Entity, Sample};
    ///
    /// let load = Sample::new(Entity::user("ada"), "cpu_usage_pct", 12.5);
    /// let reported = client.report([load]).await?;
    /// assert_eq!(reported.refused, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`report_stream`](Self::report_stream), which also says what was taken before an error.
    pub async fn report<I>(&self, samples: I) -> Result<Reported, Error>
    where
        I: IntoIterator<Item = Sample>,
        I::IntoIter: Send + 'static,
    {
        let answers = self.report_stream(stream::iter(samples)).await?;
        answers
            .try_fold(Reported::default(), async |sum, next| Ok(sum + next))
            .await
    }

    /// Sends measurements for as long as there are any. The answers, which have to be read, come one for
    /// each batch in its order, when it has been taken over. Samples are drawn no faster than the server
    /// takes them; those that wait for their batch are sent as soon as no further one is ready.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// use foreshadow_client::{Entity, Sample};
    /// use futures::{SinkExt as _, TryStreamExt as _, channel::mpsc};
    ///
    /// let (mut samples, drawn) = mpsc::channel(1_000);
    /// tokio::spawn(async move {
    ///     // This waits while the server is behind.
    ///     let load = Sample::new(Entity::user("ada"), "cpu_usage_pct", 12.5);
    ///     samples.send(load).await
    /// });
    /// let mut answers = std::pin::pin!(client.report_stream(drawn).await?);
    /// while let Some(reported) = answers.try_next().await? {
    ///     println!("{} taken over", reported.accepted);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of any call. Nothing is sent again: what had no answer before an error may have been taken
    /// or not. Send it again: a sample [with its time](Sample::at) that had been taken counts once.
    pub async fn report_stream<S>(
        &self,
        samples: S,
    ) -> Result<impl Stream<Item = Result<Reported, Error>> + Send + use<S>, Error>
    where
        S: Stream<Item = Sample> + Send + 'static,
    {
        let batches = samples.ready_chunks(BATCH).map(|samples| batch(&samples));
        let mut to = TelemetryClient::new(self.transport());
        let patience = self.inner().settings.call_timeout;
        let begun = self.attempt("Report", patience, to.report(batches));
        let answers = begun.await?.message;
        let client = self.clone();
        Ok(try_unfold(answers, move |mut answers| {
            let client = client.clone();
            async move {
                let next = answers.message().await;
                let next = next.map_err(|status| client.refused("Report", &status))?;
                Ok(next.map(|answer| (answer.into(), answers)))
            }
        }))
    }
}

/// One message, in which the samples of one series that follow each other stand together.
fn batch(samples: &[Sample]) -> ReportRequest {
    let of_one_series = samples.chunk_by(Sample::is_of_the_series_of);
    ReportRequest {
        series: of_one_series.filter_map(series).collect(),
    }
}

/// The series of these samples, which are all of one; none without samples.
fn series(samples: &[Sample]) -> Option<Series> {
    let first = samples.first()?;
    let point = |sample: &Sample| Point {
        at: sample.at.map(to_wire),
        value: sample.value,
    };
    Some(Series {
        entity: Some(first.entity.clone().into()),
        metric: first.metric.clone(),
        points: samples.iter().map(point).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_series_stand_together() {
        let of = |user: &str, metric: &str, value| Sample::new(Entity::user(user), metric, value);
        let wire = batch(&[
            of("ada", "cpu", 1.0),
            of("ada", "cpu", 2.0),
            of("ada", "memory", 3.0),
            of("bob", "memory", 4.0),
        ]);
        let points: Vec<usize> = wire
            .series
            .iter()
            .map(|series| series.points.len())
            .collect();
        assert_eq!(points, [2, 1, 1]);
        assert_eq!(batch(&[]), ReportRequest::default());
    }

    #[test]
    fn a_user_and_an_application_of_one_name_are_two_series() {
        let of = |entity| Sample::new(entity, "cpu", 1.0);
        let wire = batch(&[of(Entity::user("x")), of(Entity::application("x"))]);
        assert_eq!(wire.series.len(), 2);
    }

    #[test]
    fn sums_keep_the_first_error() {
        let answer = |first_error: &str| {
            Reported::from(ReportResponse {
                accepted: 1,
                refused: 2,
                first_error: first_error.to_owned(),
                ..ReportResponse::default()
            })
        };
        let sum = answer("") + answer("first") + answer("second");
        assert_eq!((sum.accepted, sum.refused), (3, 6));
        assert_eq!(sum.first_error.as_deref(), Some("first"));
    }
}
