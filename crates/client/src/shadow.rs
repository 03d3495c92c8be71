//! Live profiles.

use std::time::SystemTime;

use foreshadow_api::v1::{GetResourceShadowRequest, ResourceShadow, shadows_client::ShadowsClient};

use crate::{Client, Entity, Error, time::to_wire};

impl Client {
    /// The live profile of a user or an application: its metrics, dependencies, habits, category,
    /// forecasts and what it holds.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// use foreshadow_client::Entity;
    ///
    /// let shadow = client.shadow(Entity::user("ada")).await?;
    /// for metric in &shadow.metrics {
    ///     println!("{}: {} lately, {} on average", metric.metric, metric.latest, metric.mean);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`] for one that nothing is known of, and those of any call.
    pub async fn shadow(&self, entity: Entity) -> Result<ResourceShadow, Error> {
        self.shadow_then(entity, None).await
    }

    /// The profile as it was at that time, made again from the history of the week before it: metrics,
    /// dependencies and accesses.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// use std::time::{Duration, SystemTime};
    /// use foreshadow_client::Entity;
    ///
    /// let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    /// let shadow = client.shadow_at(Entity::application("jupyter"), yesterday).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a time ahead or before what is kept, [`Error::NotFound`] for one
    /// that nothing was known of, and those of any call.
    pub async fn shadow_at(
        &self,
        entity: Entity,
        time: SystemTime,
    ) -> Result<ResourceShadow, Error> {
        self.shadow_then(entity, Some(time)).await
    }

    async fn shadow_then(
        &self,
        entity: Entity,
        time: Option<SystemTime>,
    ) -> Result<ResourceShadow, Error> {
        let request = GetResourceShadowRequest {
            entity: Some(entity.into()),
            at: time.map(to_wire),
        };
        let asked = self.ask("GetResourceShadow", request, |to, request| async move {
            ShadowsClient::new(to).get_resource_shadow(request).await
        });
        Ok(asked.await?.message)
    }
}
