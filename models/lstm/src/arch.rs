//! The vector instructions that are used: the widest that this machine has.

#[cfg(not(test))]
use pulp::Arch;

/// Found at run time.
#[cfg(not(test))]
pub(crate) fn arch() -> Arch {
    Arch::new()
}

#[cfg(test)]
pub(crate) use tests::arch;

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use pulp::Arch;

    thread_local! {
        /// What a test asks for on its thread.
        static CHOSEN: Cell<Option<Arch>> = const { Cell::new(None) };
    }

    pub(crate) fn arch() -> Arch {
        CHOSEN.get().unwrap_or_default()
    }

    /// Runs a test with each kind of instructions that this machine has, not the widest alone: what
    /// other machines compute is tested too.
    pub(crate) fn on_every_arch(test: impl Fn()) {
        for arch in all() {
            CHOSEN.set(Some(arch));
            test();
        }
        CHOSEN.set(None);
    }

    fn all() -> Vec<Arch> {
        let mut all = vec![Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(pulp::x86::V3::try_new().map(Arch::V3));
            all.extend(pulp::x86::V4::try_new().map(Arch::V4));
        }
        all
    }
}
