//! A server with ten thousand pools, on a laptop.

use std::fmt::Write;

use crate::{Desk, picture};

const POOLS: usize = 10_000;
/// The most that an answer may weigh that is asked for every two seconds.
const MOST_BYTES: u64 = 150_000;
const MOST_PACKED_BYTES: u64 = 15_000;
/// What scripts may hold more after so many polls than before them.
const POLLS: usize = 30;
const MOST_GROWTH_BYTES: f64 = 1e6;

/// Pools without an instance, but for one that cannot keep its promise.
fn config() -> String {
    let mut text = "tick = \"1s\"\n".to_owned();
    let mut pool = |name: &str, command: &str, min: u32| {
        write!(
            text,
            "\n[[pool]]\nname = \"{name}\"\nprovider = \"process\"\ncommand = [\"sh\", \"-c\", \"{command}\"]\n\
             ready = {{ stdout = \"ready\" }}\nmin = {min}\nmax = 4\n"
        )
        .expect("text can be written");
    };
    for number in 0..POOLS - 1 {
        pool(
            &format!("pool-{number:05}"),
            "echo ready; exec sleep 600",
            0,
        );
    }
    pool("sad", "exit 1", 1);
    text
}

#[test]
fn ten_thousand_pools_are_a_small_answer_and_a_page_that_is_drawn() {
    let Some(mut desk) = Desk::open(&config()) else {
        return;
    };
    let weight = |key: &str| {
        format!(
            "Math.max(...performance.getEntriesByType('resource').filter((one) => one.name.includes('/overview')).map((one) => one.{key}))"
        )
    };
    desk.browser.until_shown(&format!("60 of {POOLS}"));
    desk.browser.until_shown("starts fail");
    desk.browser
        .until("document.querySelector('.cards h3').textContent === 'sad'");
    picture(&mut desk.browser, "many-pools");
    desk.browser.type_into("#search-pools", "pool-0777");
    desk.browser.until_shown("10 of 10 that match");
    let names = "[...document.querySelectorAll('.cards h3')].every((one) => one.textContent.startsWith('pool-0777'))";
    assert_eq!(desk.browser.value(names), true);
    assert_eq!(
        desk.browser.value("document.activeElement.id"),
        "search-pools"
    );

    let plain = desk.browser.value(&weight("decodedBodySize"));
    let packed = desk.browser.value(&weight("encodedBodySize"));
    eprintln!("an overview of {POOLS} pools: {plain} bytes, {packed} packed");
    assert!(
        plain
            .as_u64()
            .is_some_and(|bytes| (1..MOST_BYTES).contains(&bytes)),
        "{plain}"
    );
    assert!(
        packed
            .as_u64()
            .is_some_and(|bytes| (1..MOST_PACKED_BYTES).contains(&bytes)),
        "{packed}"
    );

    let polls = |count: usize| {
        format!("(async () => {{ for (let i = 0; i < {count}; i++) await refresh(); }})()")
    };
    desk.browser.value(&polls(3));
    let before = desk.browser.heap();
    desk.browser.value(&polls(POLLS));
    let grown = desk.browser.heap() - before;
    assert!(
        grown < MOST_GROWTH_BYTES,
        "{grown} bytes more after {POLLS} polls"
    );
    desk.close();
}
