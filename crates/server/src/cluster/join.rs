//! One answer of those of all shards.

use std::collections::BTreeMap;

use axum::response::Response;
use foreshadow_api::{
    duration_to_proto, page_size,
    v1::{self, adaptation::Group, overview::Totals},
    well_known,
};
use foreshadow_engine::PRETRAINED;
use foreshadow_types::ShardId;
use futures::future::join_all;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    dispatch::Asked,
    wire::{Refusal, answer, told},
};
use crate::{
    convert::{add_totals, sort_by_urgency, sum},
    http::etag,
};

/// What shards' answers make together.
pub(super) trait Joined: Message + Default + Serialize + DeserializeOwned {
    /// Adds what another shard has answered.
    fn add(&mut self, other: Self);

    /// What a change is made against, if it has that.
    fn etag(&self) -> Option<&str> {
        None
    }
}

/// Asks every shard; what all have answered, or the first refusal.
pub(super) async fn every<T: Joined>(asked: &Asked) -> Response {
    let answers: Result<Vec<T>, Refusal> = from_all(asked).await.into_iter().collect();
    match answers {
        Ok(answers) => together(asked, answers),
        Err(refusal) => refusal.response,
    }
}

/// A page of the pools of all shards: every shard has answered with as many as one page holds.
pub(super) async fn pools(asked: &Asked, wanted: &v1::ListPoolsRequest) -> Response {
    let answers: Result<Vec<_>, Refusal> = from_all(asked).await.into_iter().collect();
    match answers {
        Ok(answers) => told(
            asked.call.is_grpc(),
            &page(answers, page_size(wanted.page_size)),
        ),
        Err(refusal) => refusal.response,
    }
}

/// The first of the pools of these pages.
fn page(answers: Vec<v1::ListPoolsResponse>, size: usize) -> v1::ListPoolsResponse {
    let mut page = v1::ListPoolsResponse::default();
    let mut is_last = true;
    for answer in answers {
        is_last &= answer.next_page_token.is_empty();
        page.pools.extend(answer.pools);
    }
    page.pools.sort_by(|a, b| a.pool.cmp(&b.pool));
    is_last &= page.pools.len() <= size;
    page.pools.truncate(size);
    if let Some(last) = page.pools.last().filter(|_| !is_last) {
        page.next_page_token.clone_from(&last.pool);
    }
    page
}

/// Asks every shard; what those have answered that know what it is about.
pub(super) async fn any<T: Joined>(asked: &Asked) -> Response {
    known(asked, from_all::<T>(asked).await)
}

/// Asks this shard, then the others, until one knows what it is about.
pub(super) async fn first_known<T: Joined>(asked: &Asked, first: ShardId) -> Response {
    let mut answers = Vec::new();
    for shard in asked.front.from(first) {
        let answer = answer::<T>(asked.to(shard).await).await;
        let settled = !matches!(&answer, Err(refusal) if refusal.is_unknown());
        answers.push(answer);
        if settled {
            break;
        }
    }
    known(asked, answers)
}

/// The shadow of a user or an application: as the shard has it that keeps their usage, with what the
/// others have of their requests.
pub(super) async fn shadow(asked: &Asked, name: &str) -> Response {
    let home = usize::from(asked.front.of_entity(name).0);
    let mut answers = from_all::<v1::ResourceShadow>(asked).await;
    let shards = answers.len();
    answers.rotate_left(home.min(shards));
    known(asked, answers)
}

/// What those have answered that know what it is about; if nobody does, the first refusal.
fn known<T: Joined>(asked: &Asked, answers: Vec<Result<T, Refusal>>) -> Response {
    let (mut known, mut refused) = (Vec::new(), None);
    for answer in answers {
        match answer {
            Ok(answer) => known.push(answer),
            Err(refusal) if refusal.is_unknown() || refusal.is_for_others() => {
                refused.get_or_insert(refusal);
            }
            Err(refusal) => return refusal.response,
        }
    }
    match refused {
        Some(refusal) if known.is_empty() => refusal.response,
        Some(_) | None => together(asked, known),
    }
}

/// What each shard answers to the call.
pub(super) async fn from_all<T: Message + Default + DeserializeOwned>(
    asked: &Asked,
) -> Vec<Result<T, Refusal>> {
    let shards = asked.front.all();
    join_all(shards.map(async |shard| answer::<T>(asked.to(shard).await).await)).await
}

/// Answers with all of them.
pub(super) fn together<T: Joined>(asked: &Asked, answers: Vec<T>) -> Response {
    let mut answers = answers.into_iter();
    let mut whole = answers.next().unwrap_or_default();
    answers.for_each(|other| whole.add(other));
    let grpc = asked.call.is_grpc();
    let mut response = told(grpc, &whole);
    let tag = whole.etag().filter(|_| !grpc).and_then(etag);
    if let Some((name, value)) = tag {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Between the tags of shards.
pub(super) const TAG_BREAK: char = '.';

impl Joined for v1::ListOverridesResponse {
    fn add(&mut self, other: Self) {
        self.overrides.extend(other.overrides);
        self.etag = format!("{}{TAG_BREAK}{}", self.etag, other.etag);
    }

    fn etag(&self) -> Option<&str> {
        Some(&self.etag)
    }
}

impl Joined for v1::SetOverrideResponse {
    fn add(&mut self, other: Self) {
        self.overrides.extend(other.overrides);
        self.etag = format!("{}{TAG_BREAK}{}", self.etag, other.etag);
    }

    fn etag(&self) -> Option<&str> {
        Some(&self.etag)
    }
}

impl Joined for v1::SetShadowConfigResponse {
    /// The first shard's configuration is that of all.
    fn add(&mut self, other: Self) {
        self.plan.extend(other.plan);
    }

    fn etag(&self) -> Option<&str> {
        self.config.as_ref().map(|config| &*config.etag)
    }
}

impl Joined for v1::ListTenantQuotasResponse {
    /// What is said of the pools of each shard.
    fn add(&mut self, other: Self) {
        for quota in other.quotas {
            let same = |known: &&mut v1::TenantQuota| known.tenant_id == quota.tenant_id;
            match self.quotas.iter_mut().find(same) {
                Some(known) => known.warm.extend(quota.warm),
                None => self.quotas.push(quota),
            }
        }
    }
}

impl Joined for v1::DeleteUserResponse {
    fn add(&mut self, other: Self) {
        self.shadow |= other.shadow;
        self.history_rows += other.history_rows;
        self.allocations += other.allocations;
        self.overrides += other.overrides;
    }
}

impl Joined for v1::Adaptation {
    /// How good the forecasts of a group were is told by the shard that has compared most of them; its
    /// requests, and what was kept idle for them, are those of all shards.
    fn add(&mut self, other: Self) {
        let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
        for group in self.groups.drain(..).chain(other.groups) {
            let key = (group.kind.clone(), group.name.clone());
            let joined = match groups.remove(&key) {
                Some(known) => joined(known, group),
                None => group,
            };
            groups.insert(key, joined);
        }
        self.groups = groups.into_values().collect();
    }
}

fn joined(one: Group, other: Group) -> Group {
    let hits = |group: &Group| group.hit_rate.unwrap_or_default() * group.requests as f64;
    let requests = one.requests + other.requests;
    let hits = hits(&one) + hits(&other);
    let idle = sum([one.idle, other.idle]);
    let most = if one.points < other.points {
        other
    } else {
        one
    };
    Group {
        requests,
        hit_rate: (requests > 0).then(|| hits / requests as f64),
        idle: Some(duration_to_proto(idle)),
        ..most
    }
}

impl Joined for v1::ListModelsResponse {
    /// Each shard has models of its own, but for the one that every build holds.
    fn add(&mut self, other: Self) {
        if self.latest_training.is_empty() {
            self.latest_training = other.latest_training;
        }
        for model in other.models {
            let held = |one: &&mut v1::Model| one.name == PRETRAINED && model.name == PRETRAINED;
            match self.models.iter_mut().find(held) {
                Some(one) => one.in_use |= model.in_use,
                None => self.models.push(model),
            }
        }
    }
}

impl Joined for v1::RetrainResponse {
    fn add(&mut self, _: Self) {}
}

impl Joined for v1::Forecast {
    fn add(&mut self, _: Self) {}
}

impl Joined for v1::ResourceShadow {
    /// Its usage is in the first; requests are where their pools are.
    fn add(&mut self, other: Self) {
        self.reservations.extend(other.reservations);
        self.allocations.extend(other.allocations);
        if self.access.is_none() {
            self.access = other.access;
        }
        if self.category.is_none() {
            self.category = other.category;
        }
        let of = |forecast: &v1::Forecast| forecast.metric.clone();
        for forecast in other.forecasts {
            if !self
                .forecasts
                .iter()
                .any(|known| of(known) == of(&forecast))
            {
                self.forecasts.push(forecast);
            }
        }
        for dependency in other.dependencies {
            let same =
                |known: &v1::resource_shadow::Dependency| known.entity_id == dependency.entity_id;
            if !self.dependencies.iter().any(same) {
                self.dependencies.push(dependency);
            }
        }
    }
}

impl Joined for v1::Overview {
    fn add(&mut self, other: Self) {
        self.ready &= other.ready;
        if self.not_ready_reason.is_empty() {
            self.not_ready_reason = other.not_ready_reason;
        }
        self.pools.extend(other.pools);
        sort_by_urgency(&mut self.pools);
        self.max_pools = self.max_pools.max(other.max_pools);
        self.pools.truncate(self.max_pools as usize);
        self.matching += other.matching;
        self.overrides.extend(other.overrides);
        if let Some(part) = other.totals {
            add_totals(self.totals.get_or_insert_with(Totals::default), part);
        }
        self.entities += other.entities;
        self.samples += other.samples;
        longest(&mut self.reply_p50, other.reply_p50);
        longest(&mut self.reply_p99, other.reply_p99);
        longest(&mut self.wait_error_p50, other.wait_error_p50);
        longest(&mut self.wait_error_p90, other.wait_error_p90);
        if let (Some(whole), Some(part)) = (&mut self.forecasting, other.forecasting) {
            whole.ticks = whole.ticks.max(part.ticks);
            whole.series += part.series;
            whole.fallbacks += part.fallbacks;
            whole.triggers_active += part.triggers_active;
            longest(&mut whole.batch_p50, part.batch_p50);
            longest(&mut whole.plan_age, part.plan_age);
        }
        if let (Some(whole), Some(part)) = (&mut self.retraining, other.retraining) {
            whole.started += part.started;
            whole.failed += part.failed;
            whole.promoted += part.promoted;
            whole.rejected += part.rejected;
        }
    }
}

/// The longer of two durations: of shards beside each other the slowest counts.
fn longest(known: &mut Option<well_known::Duration>, other: Option<well_known::Duration>) {
    let key = |one: &well_known::Duration| (one.seconds, one.nanos);
    if other.as_ref().map(key) > known.as_ref().map(key) {
        *known = other;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_api::v1::{overview::Trouble, pool_status::Alert};

    use super::*;

    fn answer(pools: &[&str], next: &str) -> v1::ListPoolsResponse {
        let status = |name: &&str| v1::PoolStatus {
            pool: (*name).to_owned(),
            ..v1::PoolStatus::default()
        };
        v1::ListPoolsResponse {
            pools: pools.iter().map(status).collect(),
            next_page_token: next.to_owned(),
        }
    }

    #[test]
    fn a_page_of_all_shards_has_the_first_pools_of_all_and_ends_where_the_last_has() {
        let answers = || vec![answer(&["a", "d"], "d"), answer(&["b", "c"], "")];
        assert_eq!(page(answers(), 2), answer(&["a", "b"], "b"));
        assert_eq!(page(answers(), 4), answer(&["a", "b", "c", "d"], "d"));
        let last = vec![answer(&["e"], ""), answer(&[], "")];
        assert_eq!(page(last, 2), answer(&["e"], ""));
    }

    fn group(points: u64, requests: u64, hit_rate: Option<f64>, idle_s: u64) -> v1::Adaptation {
        let group = Group {
            kind: "category".to_owned(),
            name: "small".to_owned(),
            points,
            wape: Some(points as f64),
            requests,
            hit_rate,
            idle: Some(duration_to_proto(Duration::from_secs(idle_s))),
            ..Group::default()
        };
        v1::Adaptation {
            groups: vec![group],
        }
    }

    fn overview(shard: &str, queued: u32, alerts: Vec<i32>) -> v1::Overview {
        let pool = |name: String, queued, alerts| v1::PoolStatus {
            pool: name,
            queued,
            alerts,
            ..v1::PoolStatus::default()
        };
        let trouble = |alert: &i32| Trouble {
            alert: *alert,
            pools: 1,
        };
        v1::Overview {
            totals: Some(Totals {
                pools: 2,
                queued: u64::from(queued),
                troubles: alerts.iter().map(trouble).collect(),
                idle: Some(duration_to_proto(Duration::from_secs(30))),
                ..Totals::default()
            }),
            pools: vec![
                pool(format!("{shard}-a"), queued, alerts),
                pool(format!("{shard}-b"), 0, Vec::new()),
            ],
            matching: 2,
            max_pools: 3,
            ..v1::Overview::default()
        }
    }

    #[test]
    fn the_overview_of_shards_has_the_most_urgent_pools_of_all_and_sums_over_all() {
        let (fails, waits) = (Alert::StartsFail as i32, Alert::Waiting as i32);
        let mut whole = v1::Overview::default();
        for part in [
            overview("x", 3, vec![waits]),
            overview("y", 9, vec![waits]),
            overview("z", 0, vec![fails]),
        ] {
            whole.add(part);
        }
        let names: Vec<_> = whole.pools.iter().map(|pool| &*pool.pool).collect();
        assert_eq!(names, ["z-a", "y-a", "x-a"]);
        let totals = whole.totals.unwrap();
        assert_eq!((whole.matching, totals.pools, totals.queued), (6, 6, 12));
        assert_eq!(totals.idle.map(|idle| idle.seconds), Some(90));
        let troubles: Vec<_> = totals
            .troubles
            .iter()
            .map(|one| (one.alert, one.pools))
            .collect();
        assert_eq!(troubles, [(fails, 1), (waits, 2)]);
    }

    #[test]
    fn requests_of_a_group_are_those_of_all_shards_and_accuracy_that_of_one() {
        let mut whole = v1::Adaptation::default();
        for part in [
            group(5, 30, Some(1.0), 60),
            group(9, 10, Some(0.2), 30),
            group(0, 0, None, 10),
        ] {
            whole.add(part);
        }
        let [one] = &*whole.groups else {
            panic!("{whole:?}");
        };
        assert_eq!((one.points, one.wape, one.requests), (9, Some(9.0), 40));
        assert_eq!(one.hit_rate, Some(0.8));
        assert_eq!(one.idle.map(|idle| idle.seconds), Some(100));
    }
}
