//! Damaged bytes that make a decoder panic become an error.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a step of decoding; `None` if it panicked, about which nothing is printed. What the step
/// was working on must not be used afterwards.
pub(crate) fn decode<T>(step: impl FnOnce() -> T) -> Option<T> {
    silence_decoders();
    DECODING.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(step));
    DECODING.set(false);
    result.ok()
}

/// Leaves every other panic to the hook that was there before.
fn silence_decoders() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !DECODING.get() {
                before(info);
            }
        }));
    });
}
