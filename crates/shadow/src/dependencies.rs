//! The heaviest partners of an entity, in fixed memory: Space-Saving (Metwally et al. 2005).

use foreshadow_types::{EntityId, Timestamp};

/// How many partners are kept for each entity.
const KEPT: usize = 8;

#[derive(Debug, Clone)]
struct Partner {
    entity: EntityId,
    count: f32,
    latest: Timestamp,
}

/// Applications of a user, or users of an application, by how often they came together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dependencies {
    partners: Vec<Partner>,
    total: f32,
}

/// When the total reaches this, all counts are halved, so that shares follow habits.
const MEMORY: f32 = 1024.0;

impl Dependencies {
    /// Counts one meeting. A new partner beyond the limit takes the place of the lightest one and
    /// inherits its count, which bounds the error of every share by 1/8.
    pub(crate) fn add(&mut self, entity: &EntityId, at: Timestamp) {
        self.total += 1.0;
        if let Some(known) = self
            .partners
            .iter_mut()
            .find(|partner| partner.entity == *entity)
        {
            known.count += 1.0;
            known.latest = known.latest.max(at);
        } else if self.partners.len() < KEPT {
            self.partners.push(Partner {
                entity: entity.clone(),
                count: 1.0,
                latest: at,
            });
        } else if let Some(lightest) = self
            .partners
            .iter_mut()
            .min_by(|a, b| a.count.total_cmp(&b.count))
        {
            lightest.entity = entity.clone();
            lightest.count += 1.0;
            lightest.latest = at;
        }
        if self.total > MEMORY {
            self.fade();
        }
    }

    fn fade(&mut self) {
        self.total /= 2.0;
        self.partners
            .iter_mut()
            .for_each(|partner| partner.count /= 2.0);
    }

    /// Partners with their share of all meetings and the time of the latest, heaviest first.
    pub(crate) fn shares(&self) -> Vec<(EntityId, f64, Timestamp)> {
        let mut shares: Vec<_> = self
            .partners
            .iter()
            .map(|p| (p.entity.clone(), f64::from(p.count / self.total), p.latest))
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        shares
    }

    /// Removes a partner; shares are of what remains.
    pub(crate) fn forget(&mut self, entity: &EntityId) {
        self.partners.retain(|partner| {
            let kept = partner.entity != *entity;
            if !kept {
                self.total -= partner.count;
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(name: &str) -> EntityId {
        EntityId::new(name).unwrap()
    }

    #[test]
    fn shares_add_up_and_the_heaviest_comes_first() {
        let mut dependencies = Dependencies::default();
        for (name, times) in [("editor", 1), ("notebook", 3)] {
            (0..times).for_each(|i| dependencies.add(&entity(name), Timestamp::from_millis(i)));
        }
        let shares = dependencies.shares();
        assert_eq!(
            shares[0],
            (entity("notebook"), 0.75, Timestamp::from_millis(2))
        );
        assert_eq!(shares[1].1, 0.25);
    }

    #[test]
    fn memory_is_fixed_and_a_heavy_partner_survives_a_flood() {
        let mut dependencies = Dependencies::default();
        for i in 0..5_000 {
            dependencies.add(&entity("heavy"), Timestamp::from_millis(i));
            dependencies.add(&entity(&format!("rare-{i}")), Timestamp::from_millis(i));
        }
        let shares = dependencies.shares();
        assert_eq!(shares.len(), KEPT);
        assert_eq!(shares[0].0, entity("heavy"));
        assert!((shares[0].1 - 0.5).abs() < 0.01, "{}", shares[0].1);
    }
}
