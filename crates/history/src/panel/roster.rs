//! The names seen in the files, sampled when there are too many.

use std::collections::HashSet;

use foreshadow_types::IdError;

/// The most names of one kind that are kept.
const MAX_NAMES: usize = 1 << 20;

/// A set of names whose memory is bounded.
#[derive(Debug)]
pub(super) struct Roster {
    names: HashSet<Box<str>>,
    most: usize,
    /// `None` when every name must be kept.
    seed: Option<u64>,
    /// Names whose hash is above it are not kept.
    highest: u64,
    last: String,
}

/// Why a name could not be kept.
pub(super) enum RosterError {
    Name(IdError),
    TooMany,
}

impl Roster {
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self {
            names: HashSet::new(),
            most: MAX_NAMES,
            seed,
            highest: u64::MAX,
            last: String::new(),
        }
    }

    /// Keeps a name, after checking it with `check` when it is new.
    pub(super) fn insert<T>(
        &mut self,
        name: &str,
        check: impl Fn(&str) -> Result<T, IdError>,
    ) -> Result<(), RosterError> {
        if name == self.last || self.names.contains(name) {
            return Ok(());
        }
        check(name).map_err(RosterError::Name)?;
        name.clone_into(&mut self.last);
        if self.hash(name) > self.highest {
            return Ok(());
        }
        self.names.insert(name.into());
        if self.names.len() > self.most {
            self.halve()?;
        }
        Ok(())
    }

    fn halve(&mut self) -> Result<(), RosterError> {
        let Some(seed) = self.seed else {
            return Err(RosterError::TooMany);
        };
        self.highest /= 2;
        let highest = self.highest;
        self.names.retain(|name| seeded_hash(seed, name) <= highest);
        Ok(())
    }

    fn hash(&self, name: &str) -> u64 {
        self.seed.map_or(0, |seed| seeded_hash(seed, name))
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The names, sorted; at most `most` of them, chosen by the seed.
    pub(super) fn chosen(&self, most: usize) -> Vec<String> {
        let mut names: Vec<_> = self.names.iter().map(ToString::to_string).collect();
        if names.len() > most {
            names.sort_by_cached_key(|name| (self.hash(name), name.clone()));
            names.truncate(most);
        }
        names.sort();
        names
    }
}

/// FNV-1a with a seed, finished by the mixer of splitmix64: the same on every machine.
fn seeded_hash(seed: u64, name: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed;
    let hash = name.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(seed: Option<u64>, names: usize) -> Roster {
        let mut roster = Roster::new(seed);
        for name in 0..names {
            assert!(
                roster
                    .insert(&format!("vm-{name}"), |_| Ok::<_, IdError>(()))
                    .is_ok()
            );
        }
        roster
    }

    #[test]
    fn the_sample_is_decided_by_the_seed() {
        let chosen = roster(Some(1), 100).chosen(10);
        assert_eq!(chosen.len(), 10);
        assert_eq!(chosen, roster(Some(1), 100).chosen(10));
        assert_ne!(chosen, roster(Some(2), 100).chosen(10));
    }

    #[test]
    fn more_names_than_fit_are_sampled_or_refused() {
        const MOST: usize = 1_000;
        let mut sampled = roster(Some(1), 0);
        let mut refusing = roster(None, 0);
        sampled.most = MOST;
        refusing.most = MOST;
        let mut refused = false;
        for name in 0..=MOST {
            let name = name.to_string();
            let check = |_: &str| Ok::<_, IdError>(());
            assert!(sampled.insert(&name, check).is_ok());
            refused |= refusing.insert(&name, check).is_err();
        }
        assert!(refused);
        assert!((MOST / 3..MOST).contains(&sampled.len()));
    }
}
