//! Axes, lines and points as SVG.

use maud::{Markup, html};

/// The width of a chart in its own units.
pub(super) const WIDTH: f64 = 880.0;
/// The height of a chart in its own units.
pub(super) const HEIGHT: f64 = 360.0;

const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// How values become positions along one axis.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// Even steps for even differences.
    Linear,
    /// Even steps for even factors.
    Logarithmic,
    /// Even steps for even factors of what is missing to one: 0.9, 0.99, 0.999.
    Nines,
}

impl Scale {
    fn warp(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(1e-9).ln(),
            Self::Nines => -(1.0 - value).max(1e-4).ln(),
        }
    }
}

/// One axis: its scale, its ends and the values to label.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) scale: Scale,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Where a value lies, 0 at the low end and 1 at the high end.
    fn share(&self, value: f64) -> f64 {
        let (low, high) = (self.scale.warp(self.low), self.scale.warp(self.high));
        let span = if high > low { high - low } else { 1.0 };
        ((self.scale.warp(value) - low) / span).clamp(0.0, 1.0)
    }
}

/// A line or an area through points in the axes' values.
pub(super) struct Line {
    pub(super) points: Vec<(f64, f64)>,
    /// The class that colours it.
    pub(super) class: String,
    /// Marks each point with a dot, and says this of it.
    pub(super) dots: Option<fn((f64, f64)) -> String>,
}

/// A chart with both axes and its lines.
pub(super) fn chart(label: &str, x: &Axis, y: &Axis, lines: &[Line]) -> Markup {
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
            (grid(x, y))
            @for line in lines { (draw(x, y, line)) }
        }
    }
}

fn at_x(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)
}

fn at_y(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)
}

fn grid(x: &Axis, y: &Axis) -> Markup {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    html! {
        g.grid {
            @for (value, label) in &x.ticks {
                @let at = at_x(x, *value);
                line x1=(at) x2=(at) y1=(TOP) y2=(bottom) {}
                text x=(at) y=(bottom + 18.0) text-anchor="middle" { (label) }
            }
            @for (value, label) in &y.ticks {
                @let at = at_y(y, *value);
                line x1=(LEFT) x2=(right) y1=(at) y2=(at) {}
                text x=(LEFT - 8.0) y=(at + 4.0) text-anchor="end" { (label) }
            }
            text.title x=(f64::midpoint(LEFT, right)) y=(HEIGHT - 6.0) text-anchor="middle" { (x.title) }
            text.title text-anchor="middle"
                transform={ "translate(14 " (f64::midpoint(TOP, bottom)) ") rotate(-90)" } { (y.title) }
        }
    }
}

fn draw(x: &Axis, y: &Axis, line: &Line) -> Markup {
    let path: Vec<String> = line
        .points
        .iter()
        .map(|&(across, up)| format!("{:.1},{:.1}", at_x(x, across), at_y(y, up)))
        .collect();
    html! {
        g class=(line.class) {
            @if path.len() > 1 { polyline points=(path.join(" ")) {} }
            @if let Some(say) = line.dots {
                @for &point in &line.points {
                    circle cx=(format!("{:.1}", at_x(x, point.0)))
                        cy=(format!("{:.1}", at_y(y, point.1))) r="4" {
                        title { (say(point)) }
                    }
                }
            }
        }
    }
}

/// Round values from `low` to `high` for a logarithmic axis: 1, 2 and 5 of each power of ten.
pub(super) fn round_factors(low: f64, high: f64) -> Vec<(f64, String)> {
    let first = low.max(1e-6).log10().floor() as i32;
    let last = high.max(1e-6).log10().ceil() as i32;
    (first..=last)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|factor| factor * 10_f64.powi(power)))
        .filter(|value| (low..=high).contains(value))
        .map(|value| (value, short(value)))
        .collect()
}

/// About five round values from 0 to `high`.
pub(super) fn round_steps(high: f64) -> Vec<(f64, String)> {
    let rough = (high / 5.0).max(1e-9);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= rough)
        .unwrap_or(rough);
    (0..=10)
        .map(|count| f64::from(count) * step)
        .filter(|&value| value <= high)
        .map(|value| (value, short(value)))
        .collect()
}

/// A number without needless decimals.
pub(super) fn short(value: f64) -> String {
    if value >= 10.0 || value == value.round() {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_nine_is_as_far_as_the_last() {
        let axis = Axis {
            title: String::new(),
            scale: Scale::Nines,
            low: 0.0,
            high: 0.999,
            ticks: Vec::new(),
        };
        let (one, two) = (axis.share(0.9), axis.share(0.99));
        assert!((two - 2.0 * one).abs() < 1e-9);
        assert_eq!(axis.share(1.0), 1.0);
    }

    #[test]
    fn labels_are_round() {
        let labels = |ticks: Vec<(f64, String)>| -> Vec<String> {
            ticks.into_iter().map(|tick| tick.1).collect()
        };
        assert_eq!(labels(round_steps(23.0)), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(round_factors(3.0, 60.0)), ["5", "10", "20", "50"]);
    }
}
