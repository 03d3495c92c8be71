//! Objectives of pools as records.

use foreshadow_types::PoolName;
use serde::{Deserialize, Serialize};

use super::{Unreadable, pool};
use crate::config::{Aim, Costs, Execution, PoolObjective};

#[derive(Serialize, Deserialize)]
pub(super) struct ObjectiveRecord {
    pool: String,
    #[serde(default)]
    target_hit_rate: Option<f64>,
    #[serde(default)]
    idle_instances: Option<f64>,
    /// Of an idle hour and of a second's wait.
    #[serde(default)]
    costs: Option<(f64, f64)>,
    min: Option<u32>,
    max: Option<u32>,
    #[serde(default)]
    execution: Option<ExecutionRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExecutionRecord {
    Live,
    Preview { keep: u32 },
}

pub(super) fn objective_record((pool, objective): (&PoolName, &PoolObjective)) -> ObjectiveRecord {
    let mut record = ObjectiveRecord {
        pool: pool.as_str().to_owned(),
        target_hit_rate: None,
        idle_instances: None,
        costs: None,
        min: objective.min,
        max: objective.max,
        execution: objective.execution.map(|execution| match execution {
            Execution::Live => ExecutionRecord::Live,
            Execution::Preview { keep } => ExecutionRecord::Preview { keep },
        }),
    };
    match objective.aim {
        None => {}
        Some(Aim::HitRate(rate)) => record.target_hit_rate = Some(rate),
        Some(Aim::IdleBudget(instances)) => record.idle_instances = Some(instances),
        Some(Aim::Costs(costs)) => record.costs = Some((costs.idle_hour, costs.waiting_second)),
    }
    record
}

pub(super) fn read_objective(
    record: &ObjectiveRecord,
) -> Result<(PoolName, PoolObjective), Unreadable> {
    let costs = record.costs.map(|(idle_hour, waiting_second)| Costs {
        idle_hour,
        waiting_second,
    });
    let aim = Aim::one_of(record.target_hit_rate, record.idle_instances, costs);
    let objective = PoolObjective {
        aim: aim.map_err(|error| error.to_string())?,
        min: record.min,
        max: record.max,
        execution: record.execution.as_ref().map(|execution| match execution {
            ExecutionRecord::Live => Execution::Live,
            ExecutionRecord::Preview { keep } => Execution::Preview { keep: *keep },
        }),
    };
    Ok((pool(&record.pool)?, objective))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_read_back() {
        let name = PoolName::new("notebook").unwrap();
        let objective = PoolObjective {
            aim: Some(Aim::Costs(Costs {
                idle_hour: 0.2,
                waiting_second: 0.01,
            })),
            execution: Some(Execution::Live),
            ..PoolObjective::default()
        };
        let record = objective_record((&name, &objective));
        assert_eq!(read_objective(&record), Ok((name, objective)));
    }
}
