//! Where past usage is kept, and how it becomes coarser with age.

use std::{path::PathBuf, time::Duration};

use foreshadow_history::{check_reachable, is_remote};

use super::{
    EngineConfig,
    validate::{ConfigError, refuse},
};

/// The least age at which samples become means: the file of a day is whole by then.
const LEAST_AGE: Duration = Duration::from_hours(24);
/// The widest mean.
const WIDEST: Duration = Duration::from_hours(24);
/// The most steps.
const MOST_STEPS: usize = 8;

/// Usage whose day ended so long ago becomes means over an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downsampling {
    /// How long ago, at the least.
    pub after: Duration,
    /// The width of the means, which begin at multiples of it since 1970.
    pub interval: Duration,
}

impl EngineConfig {
    /// The folder of the history, or the prefix of an object store.
    pub fn history_dir(&self) -> PathBuf {
        self.history_dir
            .clone()
            .unwrap_or_else(|| self.data_dir.join("history"))
    }

    /// The folder of the history's journal, which is always on this machine.
    pub fn journal_dir(&self) -> PathBuf {
        let history = self.history_dir();
        if is_remote(&history) {
            return self.data_dir.join("history/journal");
        }
        history.join("journal")
    }

    /// Whether the history can be reached, and becomes coarser step by step.
    pub(super) fn check_history(&self) -> Result<(), ConfigError> {
        let place = || "history".to_owned();
        check_reachable(&self.history_dir())
            .map_err(|error| ConfigError::History(error.to_string()))?;
        if self.downsampling.len() > MOST_STEPS {
            let mend = "give eight steps at the most";
            return Err(refuse(place(), "downsample", self.downsampling.len(), mend));
        }
        let text = |duration: Duration| format!("{}s", duration.as_secs_f64());
        let mut before: Option<&Downsampling> = None;
        for step in &self.downsampling {
            if step.after < LEAST_AGE {
                let mend = "it is a day or more, since the latest day is not whole";
                return Err(refuse(place(), "after", text(step.after), mend));
            }
            let whole = step.interval.subsec_nanos() == 0 && !step.interval.is_zero();
            if !whole || step.interval > WIDEST {
                let mend = "it is a whole number of seconds, up to a day";
                return Err(refuse(place(), "interval", text(step.interval), mend));
            }
            if let Some(before) = before {
                if step.after <= before.after {
                    let mend = "give the steps by age, each older than the one before";
                    return Err(refuse(place(), "after", text(step.after), mend));
                }
                let multiple = step
                    .interval
                    .as_secs()
                    .is_multiple_of(before.interval.as_secs());
                if !multiple || step.interval == before.interval {
                    let mend = "it is a multiple of the interval of the step before";
                    return Err(refuse(place(), "interval", text(step.interval), mend));
                }
            }
            before = Some(step);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(steps: &[(u64, u64)]) -> EngineConfig {
        let mut config = EngineConfig::new("data");
        config.downsampling = steps
            .iter()
            .map(|&(hours, seconds)| Downsampling {
                after: Duration::from_hours(hours),
                interval: Duration::from_secs(seconds),
            })
            .collect();
        config
    }

    #[test]
    fn steps_that_make_no_sense_are_refused() {
        assert_eq!(config(&[(24, 300), (240, 3600)]).check_history(), Ok(()));
        for (steps, word) in [
            (&[(1, 300)][..], "a day or more"),
            (&[(24, 0)], "whole number of seconds"),
            (&[(24, 100_000)], "up to a day"),
            (&[(48, 300), (24, 600)], "by age"),
            (&[(24, 300), (48, 450)], "multiple"),
            (&[(24, 300), (48, 300)], "multiple"),
            (&[(24, 1); 9], "eight"),
        ] {
            let refused = config(steps).check_history().unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
    }

    #[test]
    fn the_journal_is_on_this_machine_wherever_the_history_is() {
        let mut config = config(&[]);
        assert_eq!(config.journal_dir(), PathBuf::from("data/history/journal"));
        config.history_dir = Some("/elsewhere".into());
        assert_eq!(config.journal_dir(), PathBuf::from("/elsewhere/journal"));
        config.history_dir = Some("s3://bucket/prefix".into());
        assert_eq!(config.journal_dir(), PathBuf::from("data/history/journal"));
        config.history_dir = Some("ftp://host/prefix".into());
        let refused = config.check_history().unwrap_err().to_string();
        assert!(refused.contains("s3://bucket/prefix"), "{refused}");
    }
}
