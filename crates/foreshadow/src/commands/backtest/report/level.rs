//! The chart of a pool's level beside its demand over time, with zoom.

use maud::{Markup, PreEscaped, html};
use serde::Serialize;

use super::{
    chart::{Axis, Line, Scale, chart, round_steps},
    followed::{Followed, Moment},
};

/// Points across the chart that is there without a script.
const POINTS: usize = 440;

/// Zooms and moves the chart.
const SCRIPT: &str = include_str!("level.js");

/// What the script draws from.
#[derive(Serialize)]
struct Data {
    start_ms: i64,
    step_ms: u64,
    busiest_day: u32,
    target: Vec<u32>,
    ready: Vec<u32>,
    demand: Vec<u32>,
    waits: Vec<u32>,
}

/// The chart under a heading.
pub(super) fn render(followed: &Followed) -> Result<Markup, serde_json::Error> {
    let data = serde_json::to_string(&data(followed))?;
    Ok(html! {
        h2 { "Level and demand of pool " (followed.pool) }
        p {
            "What " strong { (followed.policy) } " at " (followed.target_hit_rate)
            " wanted and held, beside what was asked for in the lead time (start-up and one tick) \
             before: the largest target and demand and the fewest ready instances in each part of the \
             chart, and below them the requests that waited."
        }
        p.legend {
            span class="key target" { "target" } " "
            span class="key ready" { "ready" } " "
            span class="key demand" { "demand in a lead time" } " "
            span class="key waits" { "waiting requests" }
        }
        p #zoom hidden {}
        figure {
            div #level { (window(followed)) }
            figcaption #shown { "The scored window" }
        }
        script type="application/json" id="level-data" { (PreEscaped(data)) }
        script { (PreEscaped(SCRIPT)) }
    })
}

fn data(followed: &Followed) -> Data {
    let each = |value: fn(&Moment) -> u32| followed.moments.iter().map(value).collect();
    Data {
        start_ms: followed.from.as_millis(),
        step_ms: followed.step.as_millis() as u64,
        busiest_day: followed.busiest_day,
        target: each(|moment| moment.target),
        ready: each(|moment| moment.ready),
        demand: each(|moment| moment.demand),
        waits: each(|moment| moment.waits),
    }
}

/// The whole window, without a script.
fn window(followed: &Followed) -> Markup {
    let span_days = followed.step.as_secs_f64() * followed.moments.len() as f64 / 86_400.0;
    let highest = followed
        .moments
        .iter()
        .map(|moment| moment.target.max(moment.demand))
        .max();
    let high = f64::from(highest.unwrap_or(0).max(1)) * 1.05;
    let axis = |title: String, high: f64| Axis {
        title,
        scale: Scale::Linear,
        low: 0.0,
        high,
        ticks: round_steps(high),
    };
    let x = axis(format!("days since {}", followed.from), span_days);
    let y = axis("instances".to_owned(), high);
    let part = followed.moments.len().div_ceil(POINTS).max(1);
    let line = |value: fn(&Moment) -> u32, class: &str| Line {
        points: (0..)
            .zip(followed.moments.chunks(part))
            .map(|(number, moments)| {
                let middle = (f64::from(number) + 0.5) * part as f64;
                let across = span_days * middle / followed.moments.len() as f64;
                let highest = moments.iter().map(value).max().unwrap_or(0);
                (across, f64::from(highest))
            })
            .collect(),
        class: format!("line {class}"),
        dots: None,
    };
    let lines = [
        line(|moment| moment.demand, "demand"),
        line(|moment| moment.target, "target"),
    ];
    chart("Target and demand over time", &x, &y, &lines)
}
