//! What an instance is called in its cluster, and what it is known by there.

use std::{collections::BTreeMap, sync::Arc};

use foreshadow_types::{FencingToken, InstanceId, PoolName};
use kube::api::DynamicObject;

use super::template::PREFIX;
use crate::provider::Lease;

/// Who makes changes, as told to the API server.
pub(super) const MANAGER: &str = "foreshadow";

/// Which Foreshadow an object belongs to.
const OWNER: &str = "foreshadow.dev/owner";
/// The pool that it is of, as far as a label can hold its name.
const POOL: &str = "foreshadow.dev/pool";
/// The instance that it is.
const INSTANCE: &str = "foreshadow.dev/instance";
/// How often the instance had been made anew when this object of it was made.
const GENERATION: &str = "foreshadow.dev/generation";
/// Whether it is on lease.
pub(super) const STATE: &str = "foreshadow.dev/state";
/// The allocation of its lease, and what the holder shows.
pub(super) const ALLOCATION: &str = "foreshadow.dev/allocation";
pub(super) const TOKEN: &str = "foreshadow.dev/fencing-token";
/// Tells a cluster's autoscaler whether it may move a pod.
pub(super) const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// How much of a pool's name is in that of an object.
const POOL_CHARACTERS: usize = 24;
/// How much of an owner's name is in that of an object.
const OWNER_CHARACTERS: usize = 8;
/// The longest value of a label.
const MAX_LABEL: usize = 63;

/// What an instance is used for, as its label says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is not ready yet, or just has become so.
    Starting,
    /// It waits to be claimed.
    Warm,
    /// It is claimed; by whom, where that is known.
    Leased(Option<Lease>),
}

impl Use {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Warm => "warm",
            Self::Leased(_) => "leased",
        }
    }

    /// What an object says.
    pub(super) fn of(object: &DynamicObject) -> Self {
        let label = label(object, STATE);
        let uses = [Self::Warm, Self::Leased(told_lease(object))];
        let told = uses.into_iter().find(|own| label == Some(own.label()));
        told.unwrap_or(Self::Starting)
    }
}

fn told_lease(object: &DynamicObject) -> Option<Lease> {
    let annotations = object.metadata.annotations.as_ref()?;
    Some(Lease {
        allocation: annotations.get(ALLOCATION)?.parse().ok()?,
        token: FencingToken(annotations.get(TOKEN)?.parse().ok()?),
    })
}

/// Everything that the name of an object follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) owner: Arc<str>,
    pub(super) pool: PoolName,
    pub(super) id: InstanceId,
    /// Rises each time the instance is made anew.
    pub(super) generation: u64,
}

impl Identity {
    /// The same for the same instance, so that a start that is asked for again starts nothing twice.
    pub(super) fn name(&self) -> String {
        let pool = plain(self.pool.as_str(), POOL_CHARACTERS);
        let owner: String = self.owner.chars().take(OWNER_CHARACTERS).collect();
        let name = format!("{pool}-{owner}-{}", self.id);
        if self.generation == 0 {
            return name;
        }
        format!("{name}-r{}", self.generation)
    }

    /// Labels of its object.
    pub(super) fn labels(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("app.kubernetes.io/managed-by", MANAGER.to_owned()),
            (OWNER, self.owner.to_string()),
            (POOL, pool_label(self.pool.as_str())),
            (INSTANCE, self.id.to_string()),
            (GENERATION, self.generation.to_string()),
            (STATE, Use::Starting.label().to_owned()),
        ])
    }

    /// What selects its objects, whatever their generation.
    pub(super) fn selector(&self) -> String {
        format!("{},{INSTANCE}={}", selector(&self.owner), self.id)
    }

    /// The name of its pool in full, which a label cannot hold.
    pub(super) fn annotations(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([(POOL, self.pool.to_string())])
    }

    /// Whether an object is this instance, and not somebody else's under its name.
    pub(super) fn is(&self, object: &DynamicObject) -> bool {
        label(object, OWNER) == Some(&self.owner) && instance_of(object) == Some(self.id)
    }
}

/// What selects all objects of an owner.
pub(super) fn selector(owner: &str) -> String {
    debug_assert!(OWNER.starts_with(PREFIX), "our labels have our prefix");
    format!("{OWNER}={owner}")
}

/// The instance that an object of ours is.
pub(super) fn instance_of(object: &DynamicObject) -> Option<InstanceId> {
    label(object, INSTANCE)?.parse().ok()
}

/// How often its instance had been made anew when an object of ours was made.
pub(super) fn generation_of(object: &DynamicObject) -> Option<u64> {
    label(object, GENERATION)?.parse().ok()
}

/// The pool that an object of ours is of.
pub(super) fn pool_of(object: &DynamicObject) -> Option<PoolName> {
    let annotations = object.metadata.annotations.as_ref()?;
    PoolName::new(annotations.get(POOL)?).ok()
}

fn label<'a>(object: &'a DynamicObject, key: &str) -> Option<&'a str> {
    let labels = object.metadata.labels.as_ref()?;
    labels.get(key).map(String::as_str)
}

/// A name as it may stand in that of an object.
fn plain(name: &str, most: usize) -> String {
    let characters = name.chars().map(|character| match character {
        'a'..='z' | '0'..='9' => character,
        'A'..='Z' => character.to_ascii_lowercase(),
        _ => '-',
    });
    let text: String = characters.take(most).collect();
    let text = text.trim_matches('-');
    if text.is_empty() {
        return "pool".to_owned();
    }
    text.to_owned()
}

/// A pool's name where it can be a label, else what comes near.
fn pool_label(name: &str) -> String {
    let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let fits = name.len() <= MAX_LABEL
        && end(name.bytes().next())
        && end(name.bytes().next_back())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits {
        return name.to_owned();
    }
    plain(name, MAX_LABEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(pool: &str) -> Identity {
        Identity {
            owner: "0123456789abcdef0123456789abcdef".into(),
            pool: PoolName::new(pool).unwrap(),
            id: InstanceId(7),
            generation: 0,
        }
    }

    #[test]
    fn a_name_follows_from_the_instance_alone() {
        assert_eq!(identity("game").name(), "game-01234567-i-7");
        let renewed = Identity {
            generation: 2,
            ..identity("game")
        };
        assert_eq!(renewed.name(), "game-01234567-i-7-r2");
    }

    #[test]
    fn whatever_a_pool_is_called_its_name_can_be_one_in_a_cluster() {
        for (pool, name, label) in [
            ("Notebook_GPU", "notebook-gpu-01234567-i-7", "Notebook_GPU"),
            ("größe 2", "gr--e-2-01234567-i-7", "gr--e-2"),
            ("__", "pool-01234567-i-7", "pool"),
        ] {
            assert_eq!(identity(pool).name(), name);
            assert_eq!(identity(pool).labels()[POOL], label);
            assert_eq!(identity(pool).annotations()[POOL], pool);
        }
        let long = "x".repeat(200);
        assert!(identity(&long).name().len() <= 63);
        assert_eq!(identity(&long).labels()[POOL].len(), 63);
    }
}
