//! What a replica does about the shards it sees: pure, so that every case can be tried.

use std::collections::BTreeMap;

use foreshadow_types::ShardId;

/// A shard's row, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRow {
    /// Which shard.
    pub shard: ShardId,
    /// Rises with each claim.
    pub epoch: u64,
    /// Who has it, if anybody has and the time is not over.
    pub owner: Option<Owner>,
}

/// Who has a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The replica.
    pub replica: String,
    /// Where it is reached, `http://HOST:PORT`.
    pub address: String,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Take a shard that nobody has, if its epoch is still this one.
    Claim {
        /// Which shard.
        shard: ShardId,
        /// The epoch that was seen.
        epoch: u64,
    },
    /// Give one back, for others to take.
    Yield(ShardId),
}

/// What `me` does about the shards there are, among these replicas, itself included.
///
/// The replicas' shares differ by one at the most. Nobody claims beyond the larger share; whoever has
/// the larger share gives one back only when another has less than the smaller one. Shards in
/// `declined` are left to others for now.
pub fn steps(me: &str, replicas: &[String], rows: &[ShardRow], declined: &[ShardId]) -> Vec<Step> {
    let mut counts: BTreeMap<&str, usize> = replicas.iter().map(|name| (&**name, 0)).collect();
    counts.entry(me).or_default();
    for owner in rows.iter().filter_map(|row| row.owner.as_ref()) {
        if let Some(count) = counts.get_mut(&*owner.replica) {
            *count += 1;
        }
    }
    let (smaller, larger) = (rows.len() / counts.len(), rows.len().div_ceil(counts.len()));
    let mine = counts.get(me).copied().unwrap_or_default();
    let starving = counts.values().any(|&count| count < smaller);
    if mine > larger || mine > smaller && starving {
        let last = rows.iter().rev().find(|row| is_of(row, me));
        return last.map(|row| Step::Yield(row.shard)).into_iter().collect();
    }
    let free = rows
        .iter()
        .filter(|row| row.owner.is_none() && !declined.contains(&row.shard));
    // Replicas that see the same free shards begin at different ones.
    let mut free: Vec<_> = free.collect();
    let turn = turn(me, replicas, free.len());
    free.rotate_left(turn);
    free.into_iter()
        .take(larger - mine)
        .map(|row| Step::Claim {
            shard: row.shard,
            epoch: row.epoch,
        })
        .collect()
}

fn is_of(row: &ShardRow, me: &str) -> bool {
    row.owner.as_ref().is_some_and(|owner| owner.replica == me)
}

fn turn(me: &str, replicas: &[String], free: usize) -> usize {
    let place = replicas.iter().position(|name| name == me);
    (place.unwrap_or_default() * free)
        .checked_div(replicas.len())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replicas a, b, c, …
    fn names(count: u8) -> Vec<String> {
        (0..count)
            .map(|n| char::from(b'a' + n).to_string())
            .collect()
    }

    /// Shards with these owners, `.` for nobody.
    fn rows(owners: &str) -> Vec<ShardRow> {
        let rows = owners.chars().enumerate().map(|(number, owner)| ShardRow {
            shard: ShardId(number as u16),
            epoch: 1,
            owner: (owner != '.').then(|| Owner {
                replica: owner.to_string(),
                address: String::new(),
            }),
        });
        rows.collect()
    }

    fn claimed(owners: &str, me: &str, replicas: u8) -> Vec<u16> {
        let steps = steps(me, &names(replicas), &rows(owners), &[]);
        let claims = steps.into_iter().filter_map(|step| match step {
            Step::Claim { shard, .. } => Some(shard.0),
            Step::Yield(_) => None,
        });
        claims.collect()
    }

    fn yielded(owners: &str, me: &str, replicas: u8) -> bool {
        let steps = steps(me, &names(replicas), &rows(owners), &[]);
        steps.iter().any(|step| matches!(step, Step::Yield(_)))
    }

    #[test]
    fn one_alone_takes_all_and_three_take_a_third_each() {
        assert_eq!(claimed("....", "a", 1), [0, 1, 2, 3]);
        assert_eq!(claimed("......", "a", 3), [0, 1]);
        assert_eq!(claimed("......", "b", 3), [2, 3]);
        assert_eq!(claimed("......", "c", 3), [4, 5]);
    }

    #[test]
    fn what_a_lost_replica_had_is_shared_among_the_rest() {
        assert_eq!(claimed("aabb..", "a", 2).len(), 1);
        assert_eq!(claimed("aabb..", "b", 2).len(), 1);
    }

    #[test]
    fn who_has_too_much_gives_one_back_and_who_has_enough_keeps_it() {
        assert!(yielded("aaabbb", "a", 3));
        assert!(!yielded("aabb..", "a", 3));
        assert!(!yielded("aab", "a", 2));
        assert!(yielded("aabb", "a", 3), "c has less than the smaller share");
        assert!(!yielded("ab", "a", 3), "there is nothing for c to have");
    }

    #[test]
    fn what_was_given_back_is_left_to_others() {
        let declined = [ShardId(0), ShardId(2)];
        let steps = steps("a", &names(1), &rows("..."), &declined);
        assert_eq!(
            steps,
            [Step::Claim {
                shard: ShardId(1),
                epoch: 1
            }]
        );
    }

    /// All take their steps in turn until nobody has any: shares then differ by one at the most.
    #[test]
    fn shares_come_out_even_from_any_start() {
        for replicas in 1..=5_u8 {
            for seed in 0..200_u32 {
                let mut owners: Vec<char> = (0..7)
                    .map(|shard| {
                        let pick = (seed.wrapping_mul(2_654_435_761) >> (shard * 3)) % 6;
                        if pick < u32::from(replicas) {
                            char::from(b'a' + pick as u8)
                        } else {
                            '.'
                        }
                    })
                    .collect();
                let mut declined = vec![Vec::new(); usize::from(replicas)];
                for _ in 0..40 {
                    for (me, declined) in names(replicas).iter().zip(&mut declined) {
                        let text: String = owners.iter().collect();
                        for step in steps(me, &names(replicas), &rows(&text), declined) {
                            match step {
                                Step::Claim { shard, .. } => {
                                    owners[usize::from(shard.0)] = me.chars().next().unwrap();
                                }
                                Step::Yield(shard) => {
                                    owners[usize::from(shard.0)] = '.';
                                    declined.push(shard);
                                }
                            }
                        }
                        if declined.len() > 2 {
                            declined.clear();
                        }
                    }
                }
                let counts: Vec<_> = names(replicas)
                    .iter()
                    .map(|name| {
                        owners
                            .iter()
                            .filter(|&&owner| name.starts_with(owner))
                            .count()
                    })
                    .collect();
                let (least, most) = (counts.iter().min(), counts.iter().max());
                assert!(most.unwrap() - least.unwrap() <= 1, "{counts:?} {owners:?}");
                assert_eq!(counts.iter().sum::<usize>(), 7, "{owners:?}");
            }
        }
    }
}
