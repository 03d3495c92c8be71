//! `externalscaler.ExternalScaler`: KEDA asks how large a workload is to be.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_api::externalscaler::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef, external_scaler_server::ExternalScaler,
};
use foreshadow_engine::EngineHandle;
use futures::{Stream, stream, stream::BoxStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::stream::until_shutdown;
use crate::{
    error::ApiError,
    replicas::{Number, pool_named},
};

/// How often a stream looks whether the pool has become active.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(crate) struct ExternalScalerService {
    pub(crate) engine: EngineHandle,
    pub(crate) shutdown: CancellationToken,
}

/// What a trigger's metadata asks for.
#[derive(Debug, Clone, PartialEq)]
struct Trigger {
    pool: String,
    number: Number,
    /// Instances that one replica carries, above zero.
    per_replica: f64,
}

impl Trigger {
    fn read(metadata: &BTreeMap<String, String>) -> Result<Self, ApiError> {
        let refused = |key: &str, mend: &str| {
            ApiError::invalid(format!("the trigger's metadata: `{key}` {mend}"))
        };
        let Some(pool) = metadata.get("pool") else {
            return Err(refused("pool", "is missing; name the pool"));
        };
        let number = match metadata.get("number") {
            None => Number::default(),
            Some(name) => {
                let known = Number::ALL.into_iter().find(|number| number.name() == name);
                known.ok_or_else(|| {
                    let all = Number::ALL.map(Number::name).join(", ");
                    refused("number", &format!("is {name:?}; give one of {all}"))
                })?
            }
        };
        let per_replica = match metadata.get("perReplica") {
            None => 1.0,
            Some(text) => {
                let number: Option<f64> = text.parse().ok();
                let usable = number.filter(|number| number.is_finite() && *number > 0.0);
                let mend = || refused("perReplica", &format!("is {text:?}; give a number above 0"));
                usable.ok_or_else(mend)?
            }
        };
        Ok(Self {
            pool: pool.clone(),
            number,
            per_replica,
        })
    }

    fn metric(&self) -> String {
        format!("foreshadow-{}", self.number.name())
    }

    async fn value(&self, engine: &EngineHandle) -> Result<u32, ApiError> {
        self.number.of(&pool_named(engine, &self.pool).await?)
    }

    /// Whether the number is above zero, now and after each change.
    fn activity(
        self,
        engine: EngineHandle,
    ) -> impl Stream<Item = Result<IsActiveResponse, Status>> {
        stream::unfold((self, engine, None), |(trigger, engine, told)| async move {
            loop {
                let active = match trigger.value(&engine).await {
                    Ok(value) => value > 0,
                    // The stream ends with it; KEDA comes again.
                    Err(error) => return Some((Err(error.into()), (trigger, engine, told))),
                };
                if told != Some(active) {
                    let answer = IsActiveResponse { result: active };
                    return Some((Ok(answer), (trigger, engine, Some(active))));
                }
                sleep(LOOK_EVERY).await;
            }
        })
    }
}

#[tonic::async_trait]
impl ExternalScaler for ExternalScalerService {
    type StreamIsActiveStream = BoxStream<'static, Result<IsActiveResponse, Status>>;

    async fn is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>, Status> {
        let trigger = Trigger::read(&request.into_inner().scaler_metadata)?;
        let result = trigger.value(&self.engine).await? > 0;
        Ok(Response::new(IsActiveResponse { result }))
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let trigger = Trigger::read(&request.into_inner().scaler_metadata)?;
        // What is wrong with the trigger is said at once rather than in the stream.
        pool_named(&self.engine, &trigger.pool).await?;
        let activity = trigger.activity(self.engine.clone());
        Ok(Response::new(until_shutdown(activity, &self.shutdown)))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        let trigger = Trigger::read(&request.into_inner().scaler_metadata)?;
        pool_named(&self.engine, &trigger.pool).await?;
        let spec = MetricSpec {
            metric_name: trigger.metric(),
            target_size: trigger.per_replica.ceil() as i64,
            target_size_float: trigger.per_replica,
        };
        Ok(Response::new(GetMetricSpecResponse {
            metric_specs: vec![spec],
        }))
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        let request = request.into_inner();
        let metadata = request
            .scaled_object_ref
            .unwrap_or_default()
            .scaler_metadata;
        let trigger = Trigger::read(&metadata)?;
        if request.metric_name != trigger.metric() {
            let (asked, known) = (&request.metric_name, trigger.metric());
            let message = format!("`metricName` is {asked:?}; this trigger's metric is `{known}`");
            return Err(ApiError::invalid(message).into());
        }
        let value = trigger.value(&self.engine).await?;
        let value = MetricValue {
            metric_name: request.metric_name,
            metric_value: i64::from(value),
            metric_value_float: f64::from(value),
        };
        Ok(Response::new(GetMetricsResponse {
            metric_values: vec![value],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Trigger, ApiError> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()));
        Trigger::read(&pairs.collect())
    }

    #[test]
    fn a_trigger_names_its_pool_and_perhaps_more() {
        let plain = read(&[("pool", "game"), ("scalerAddress", "foreshadow:7070")]).unwrap();
        assert_eq!((plain.number, plain.per_replica), (Number::Target, 1.0));
        let more = [("pool", "game"), ("number", "total"), ("perReplica", "2.5")];
        let more = read(&more).unwrap();
        assert_eq!((more.number, more.per_replica), (Number::Total, 2.5));
        assert_eq!(more.metric(), "foreshadow-total");
    }

    #[test]
    fn a_trigger_that_is_not_understood_says_how_to_mend_it() {
        let refused = |pairs: &[(&str, &str)]| read(pairs).unwrap_err().message;
        assert!(refused(&[]).contains("`pool` is missing"));
        let number = refused(&[("pool", "game"), ("number", "warm")]);
        assert!(number.contains("target, total, leased"), "{number}");
        for bad in ["0", "-1", "many", "NaN", "inf"] {
            let message = refused(&[("pool", "game"), ("perReplica", bad)]);
            assert!(message.contains("above 0"), "{message}");
        }
    }
}
