//! When instances must be replaced because what is started has changed.

use std::collections::BTreeMap;

use foreshadow_providers::{Limits, ProcessSpec};

use super::ProviderConfig;

impl ProviderConfig {
    /// A number that changes with everything that instances are started with, and with nothing else:
    /// how they are checked, reset and ended is in force for those that there are.
    ///
    /// It is kept in the ledger. A key that is new here must not change the number of definitions that
    /// do not have it, or all their instances would be replaced by an upgrade.
    pub(super) fn revision(&self) -> u64 {
        let mut hash = Fnv::new();
        match self {
            Self::Process(process) => hash.process(process),
            // Where the provider listens does not say what it starts.
            Self::External(external) => {
                hash.text("external provider");
                hash.map(&external.parameters);
            }
            Self::Kubernetes(pods) => hash.text(&pods.identity()),
        }
        hash.0
    }
}

/// FNV-1a: stable over versions of the compiler, which the standard library's hash is not.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn process(&mut self, process: &ProcessSpec) {
        for word in &process.command {
            self.text(word);
        }
        self.map(&process.env);
        if let Some(folder) = &process.working_dir {
            self.text(&folder.to_string_lossy());
        }
        if let Some(user) = process.user {
            self.named("user", user.uid.into());
            self.named("group", user.gid.into());
        }
        let Limits {
            memory,
            open_files,
            processes,
            file_size,
        } = process.limits;
        for (name, most) in [
            ("memory", memory),
            ("open_files", open_files),
            ("processes", processes),
            ("file_size", file_size),
        ] {
            if let Some(most) = most {
                self.named(name, most);
            }
        }
    }

    fn map(&mut self, map: &BTreeMap<String, String>) {
        for (key, value) in map {
            self.text(key);
            self.text(value);
        }
    }

    fn named(&mut self, name: &str, number: u64) {
        self.text(name);
        self.text(&number.to_string());
    }

    fn text(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::PathBuf, time::Duration};

    use foreshadow_providers::{ExternalSpec, Hold, Readiness, Reset, RunAs};

    use super::*;

    fn process(change: impl FnOnce(&mut ProcessSpec)) -> u64 {
        let mut process = ProcessSpec::new(vec!["worker".to_owned(), "--fast".to_owned()]);
        process.env.insert("MODE".to_owned(), "a".to_owned());
        change(&mut process);
        ProviderConfig::Process(process).revision()
    }

    #[test]
    fn whatever_a_process_is_started_with_is_another_revision() {
        let changed = [
            process(|_| {}),
            process(|one| one.command.push("--more".to_owned())),
            process(|one| drop(one.env.insert("MODE".to_owned(), "b".to_owned()))),
            process(|one| one.working_dir = Some(PathBuf::from("/srv"))),
            process(|one| one.user = Some(RunAs { uid: 7, gid: 8 })),
            process(|one| one.user = Some(RunAs { uid: 7, gid: 9 })),
            process(|one| one.limits.memory = Some(1 << 30)),
            process(|one| one.limits.open_files = Some(1 << 30)),
            process(|one| one.limits.open_files = Some(1 << 20)),
            process(|one| one.limits.processes = Some(1 << 20)),
            process(|one| one.limits.file_size = Some(1 << 20)),
        ];
        let different: BTreeSet<u64> = changed.into_iter().collect();
        assert_eq!(different.len(), changed.len());
    }

    #[test]
    fn how_a_process_is_treated_is_no_other_revision() {
        let treated = process(|one| {
            one.ready = Readiness::Http("/".to_owned());
            one.hold = Hold::Freeze;
            one.start_timeout = Duration::from_secs(1);
            one.stop_grace = Duration::from_secs(1);
            one.probe.failures = 9;
            one.reset = Reset::Http("/".to_owned());
        });
        assert_eq!(treated, process(|_| {}));
    }

    #[test]
    fn a_definition_that_is_in_ledgers_keeps_its_number() {
        assert_eq!(process(|_| {}), 0x68c9_3695_0c95_5385);
    }

    #[test]
    fn what_an_external_provider_is_told_is_another_revision_and_where_it_listens_is_not() {
        let external = |endpoint: &str, size: &str| {
            let mut external = ExternalSpec::new(endpoint);
            let (key, value) = ("size".to_owned(), size.to_owned());
            external.parameters.insert(key, value);
            ProviderConfig::External(external).revision()
        };
        let known = external("http://a:1", "small");
        assert_eq!(known, external("http://b:1", "small"));
        assert_ne!(known, external("http://a:1", "large"));
    }
}
