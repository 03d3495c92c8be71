//! The life of one instance in a cluster, from its start to its end.

use std::{sync::Arc, time::Duration};

use kube::api::DynamicObject;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    care::Care, cluster::CallError, contact::Contact, place::Found, sights::Sight, stage::Stage,
};
use crate::{
    clock,
    event::{GoneReason, ProviderEvent},
    pause::Pause,
    supervision::{Wishes, another, stop_wished},
};

/// What there is when supervision begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing, or a start that was asked for already.
    New,
    /// What an earlier run of the server started; it may be gone.
    Earlier,
    /// The same, but it is to be as new.
    Used,
    /// The same, but nobody wants it.
    Unwanted,
}

/// What comes after an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: this became of the instance.
    Over(ProviderEvent),
    /// Another object, since the instance is to be as new.
    Another,
}

/// Why an object is not watched over any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LifeEnd {
    /// It is gone, or somebody removes it already.
    Gone(GoneReason),
    /// It is of no use any more and is to be removed; its node may be lost, so that nobody waits for
    /// that.
    Abandoned(GoneReason),
    /// Its start came to nothing; something may be left of it.
    Failed(String),
    /// It is to be ended.
    End,
    /// It is to be replaced by another.
    Renew,
}

/// One instance under supervision.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) contact: Contact,
    pub(super) sights: watch::Receiver<Sight>,
    pub(super) wishes: watch::Receiver<Wishes>,
    pub(super) events: mpsc::Sender<ProviderEvent>,
}

impl Instance {
    /// Supervises its object to the end and says what comes next; `begun` is what had been wished
    /// before.
    pub(super) async fn live(&mut self, origin: Origin, begun: &Wishes) -> Next {
        let instance = self.contact.identity.id;
        let end = match self.bring_up(origin).await {
            Ok(object) => self.watch_over(Care::of(object, begun)).await,
            Err(end) => end,
        };
        let reason = match end {
            LifeEnd::Gone(reason) => reason,
            LifeEnd::Abandoned(reason) => {
                self.contact.discard().await;
                reason
            }
            LifeEnd::End => {
                self.end().await;
                GoneReason::Stopped
            }
            LifeEnd::Failed(reason) => {
                self.report(ProviderEvent::Failed { instance, reason })
                    .await;
                self.end().await;
                GoneReason::Stopped
            }
            LifeEnd::Renew => {
                self.contact.discard().await;
                return Next::Another;
            }
        };
        Next::Over(ProviderEvent::Gone { instance, reason })
    }

    async fn report(&self, event: ProviderEvent) {
        // A receiver that is gone means that the server is going; the instance stays for the next.
        let _ = self.events.send(event).await;
    }

    async fn bring_up(&mut self, origin: Origin) -> Result<Arc<DynamicObject>, LifeEnd> {
        if self.wishes.borrow().stop {
            return Err(LifeEnd::End);
        }
        let asked = clock::now();
        let (object, address, took) = match origin {
            Origin::Unwanted => return Err(LifeEnd::End),
            Origin::Used => return Err(LifeEnd::Renew),
            Origin::Earlier => {
                let (object, address) = self.find().await?;
                (object, address, Duration::ZERO)
            }
            Origin::New => {
                let (object, address) = self.start().await?;
                (object, address, asked.elapsed())
            }
        };
        self.report(ProviderEvent::Ready {
            instance: self.contact.identity.id,
            address,
            took,
        })
        .await;
        Ok(object)
    }

    async fn find(&mut self) -> Result<(Arc<DynamicObject>, String), LifeEnd> {
        tokio::select! {
            found = self.contact.take_up(&mut self.sights) => found,
            () = stop_wished(&mut self.wishes) => Err(LifeEnd::End),
        }
    }

    async fn start(&mut self) -> Result<(Arc<DynamicObject>, String), LifeEnd> {
        let mut trouble = None;
        let limit = self.contact.spec.start_timeout;
        tokio::select! {
            started = self.contact.start(&mut self.sights, &mut trouble) => started,
            () = stop_wished(&mut self.wishes) => Err(LifeEnd::End),
            () = sleep(limit) => {
                let trouble = trouble.map_or_else(String::new, |words| format!("; {words}"));
                Err(LifeEnd::Failed(format!("it was not ready within {limit:?}{trouble}")))
            }
        }
    }

    /// Fulfils what is wished until the object has ended or must be replaced.
    async fn watch_over(&mut self, mut care: Care) -> LifeEnd {
        loop {
            let wished = *self.wishes.borrow_and_update();
            if wished.stop {
                return LifeEnd::End;
            }
            if care.heed(&wished) {
                return LifeEnd::Renew;
            }
            if let Some(end) = care.assess(&self.contact.spec) {
                return end;
            }
            let own = care.to_mark(&wished);
            if care.may_call() && care.in_doubt {
                if let Some(end) = self.look(&mut care).await {
                    return end;
                }
            } else if let Some(own) = own.filter(|_| care.may_call()) {
                care.marked(own, self.contact.mark(&care.object, own).await);
            } else {
                let wake = care.wake(own.is_some(), &self.contact.spec);
                tokio::select! {
                    () = another(&mut self.wishes) => {}
                    sight = seen(&mut self.sights) => care.see(sight),
                    () = sleep_until(wake) => {}
                }
            }
        }
    }

    /// Asks for the object, since what is seen of it lags behind.
    async fn look(&self, care: &mut Care) -> Option<LifeEnd> {
        match self.contact.look().await {
            Ok(Found::Own(object)) if care.is_same(&object) => {
                care.looked(object);
                None
            }
            Ok(Found::Own(_) | Found::Foreign | Found::Nothing) => {
                let reason = GoneReason::Exited("it was removed".to_owned());
                Some(LifeEnd::Gone(reason))
            }
            Err(error) => {
                care.failed(&error);
                None
            }
        }
    }

    /// Has it removed and waits until nothing is left, however long the API server is away. A node
    /// that is lost never says so: then the cluster clears up when it is back or given up.
    async fn end(&mut self) {
        let spec = &self.contact.spec;
        let patience = spec.stop_grace + spec.unready_timeout;
        let mut leaving_since = None;
        let mut tries = Pause::of_tries();
        loop {
            match self.contact.look().await {
                Ok(Found::Nothing | Found::Foreign) => return,
                Ok(Found::Own(object)) if object.metadata.deletion_timestamp.is_some() => {
                    let since = *leaving_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= patience {
                        return self.contact.tell_left();
                    }
                }
                Ok(Found::Own(object)) => {
                    let _asked_again = self.contact.remove(&object).await;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = vanished(&mut self.sights) => {}
                () = tries.wait_about() => {}
            }
        }
    }
}

impl Contact {
    /// Creates the object unless it is there, and waits until it is ready; `trouble` is what stood in
    /// its way last.
    async fn start(
        &self,
        sights: &mut watch::Receiver<Sight>,
        trouble: &mut Option<String>,
    ) -> Result<(Arc<DynamicObject>, String), LifeEnd> {
        let mut object = self.create(trouble).await?;
        loop {
            match Stage::of(&object, &self.spec) {
                Stage::Ready(address) => return Ok((object, address)),
                Stage::Coming(words) => *trouble = words,
                Stage::Unready {
                    reason,
                    hopeless: false,
                    ..
                } => *trouble = Some(reason),
                Stage::Unready { reason, .. }
                | Stage::Hopeless(reason)
                | Stage::Ended(reason)
                | Stage::Leaving(reason) => return Err(LifeEnd::Failed(reason)),
            }
            object = self.another_sight(&object, sights, trouble).await?;
        }
    }

    async fn create(&self, trouble: &mut Option<String>) -> Result<Arc<DynamicObject>, LifeEnd> {
        let mut tries = Pause::of_tries();
        loop {
            let error = match self.place.create(&self.identity, &self.spec).await {
                Ok(object) => return Ok(Arc::new(object)),
                // An earlier try, or an earlier run, has created it.
                Err(CallError::Exists(_)) => match self.look().await {
                    Ok(Found::Own(object)) => return Ok(object),
                    Ok(Found::Foreign) => return Err(LifeEnd::Failed(self.taken())),
                    Ok(Found::Nothing) => CallError::Passing("it has just gone".to_owned()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            match error {
                CallError::Passing(words) => *trouble = Some(words),
                error => return Err(LifeEnd::Failed(error.to_string())),
            }
            tries.wait_about().await;
        }
    }

    /// The object of one that starts, once there is news of it.
    async fn another_sight(
        &self,
        before: &DynamicObject,
        sights: &mut watch::Receiver<Sight>,
        trouble: &mut Option<String>,
    ) -> Result<Arc<DynamicObject>, LifeEnd> {
        let mut looks = Pause::of_starts();
        loop {
            let sight = tokio::select! {
                sight = seen(sights) => sight,
                // Should the watch be down, this is how it becomes known.
                () = looks.wait_about() => None,
            };
            let same = |object: &DynamicObject| object.metadata.uid == before.metadata.uid;
            if let Some(object) = sight.filter(|object| same(object)) {
                return Ok(object);
            }
            match self.look().await {
                Ok(Found::Own(object)) => return Ok(object),
                Ok(Found::Foreign | Found::Nothing) => {
                    let reason = "it was removed while it started".to_owned();
                    return Err(LifeEnd::Failed(reason));
                }
                Err(error) => *trouble = Some(error.to_string()),
            }
        }
    }

    /// Finds out what became of an instance of an earlier run, however long the API server is away. One
    /// that has lost its address for now has as much time as any that is not ready.
    async fn take_up(
        &self,
        sights: &mut watch::Receiver<Sight>,
    ) -> Result<(Arc<DynamicObject>, String), LifeEnd> {
        let mut tries = Pause::of_tries();
        let mut unready_since = None;
        loop {
            match self.look().await {
                Ok(Found::Own(object)) => {
                    if let Some(address) = taken_up(Stage::of(&object, &self.spec))? {
                        return Ok((object, address));
                    }
                    let since = *unready_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= self.spec.unready_timeout {
                        return Err(LifeEnd::Abandoned(GoneReason::Stuck));
                    }
                }
                Ok(Found::Foreign | Found::Nothing) => {
                    return Err(LifeEnd::Gone(GoneReason::Missing));
                }
                Err(_) => {}
            }
            tokio::select! {
                _ = seen(sights) => {}
                () = tries.wait_about() => {}
            }
        }
    }
}

/// The address of an instance that was ready once, if it has one now.
fn taken_up(stage: Stage) -> Result<Option<String>, LifeEnd> {
    match stage {
        Stage::Ready(address) | Stage::Unready { address, .. } => Ok(Some(address)),
        Stage::Coming(_) => Ok(None),
        Stage::Hopeless(reason) | Stage::Ended(reason) => {
            Err(LifeEnd::Abandoned(GoneReason::Exited(reason)))
        }
        Stage::Leaving(reason) => Err(LifeEnd::Gone(GoneReason::Exited(reason))),
    }
}

/// Waits for what is seen next.
async fn seen(sights: &mut watch::Receiver<Sight>) -> Sight {
    if sights.changed().await.is_err() {
        // Nobody watches any more: the server is going.
        std::future::pending::<()>().await;
    }
    sights.borrow_and_update().clone()
}

/// Waits until an object is seen to be gone.
async fn vanished(sights: &mut watch::Receiver<Sight>) {
    while seen(sights).await.is_some() {}
}
