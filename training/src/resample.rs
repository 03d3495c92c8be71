//! Coarser panels from finer ones.

use foreshadow_forecast::Panel;
use foreshadow_history::REQUESTS_METRIC;

/// Bins `multiple` times as wide: the mean of usage, the sum of request counts; NaN where no bin has
/// a value. A rest of bins at the end is left out.
pub fn coarser(panel: &Panel, multiple: usize) -> Panel {
    let multiple = multiple.max(1);
    let bins = panel.bins() / multiple;
    let mut values = Vec::with_capacity(bins * panel.ids().len());
    for (series, id) in panel.ids().iter().enumerate() {
        let counts = id.metric == REQUESTS_METRIC;
        let whole = &panel.series(series)[..bins * multiple];
        values.extend(whole.chunks_exact(multiple).map(|part| merge(part, counts)));
    }
    let interval = panel.interval() * u32::try_from(multiple).unwrap_or(u32::MAX);
    Panel::new(panel.start(), interval, panel.ids().to_vec(), bins, values)
}

fn merge(part: &[f32], counts: bool) -> f32 {
    let (sum, known) = part
        .iter()
        .filter(|value| value.is_finite())
        .fold((0.0, 0.0), |(sum, known), value| (sum + value, known + 1.0));
    match known {
        0.0 => f32::NAN,
        _ if counts => sum,
        known => sum / known,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_forecast::SeriesId;
    use foreshadow_types::{EntityId, Timestamp};

    use super::*;

    #[test]
    fn usage_is_averaged_and_requests_are_summed() {
        let id = |metric: &str| SeriesId::of_entity(EntityId::new("a").unwrap(), metric.to_owned());
        let values = vec![
            1.0,
            f32::NAN,
            f32::NAN,
            f32::NAN,
            9.0,
            1.0,
            2.0,
            3.0,
            4.0,
            9.0,
        ];
        let ids = vec![id("cpu_usage_pct"), id(REQUESTS_METRIC)];
        let panel = Panel::new(
            Timestamp::from_millis(0),
            Duration::from_mins(1),
            ids,
            5,
            values,
        );
        let coarse = coarser(&panel, 2);
        assert_eq!(coarse.bins(), 2);
        assert_eq!(coarse.series(0)[0], 1.0);
        assert!(coarse.series(0)[1].is_nan());
        assert_eq!(coarse.series(1), [3.0, 7.0]);
    }
}
