//! The evaluation protocol reproduces the known scores of the naive models on a public trace.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::{env, path::Path, time::Duration};

use foreshadow_forecast::{
    Accuracy, Evaluation, EvaluationError, Forecaster, Naive, Panel, Protocol, SeasonalNaive,
};
use foreshadow_history::{DEFAULT_MAX_VALUES, HistoryPaths, PanelLimits, PanelOptions, load_panel};

const GRID: &str = "usage_bitbrains_rnd_2013-07_5min_grid.parquet";

fn panel() -> Option<Panel> {
    let Ok(folder) = env::var("FORESHADOW_TRACES") else {
        eprintln!("skipped: FORESHADOW_TRACES does not name the folder of the traces");
        return None;
    };
    let paths = HistoryPaths::expand(&[Path::new(&folder).join(GRID)]).unwrap();
    let options = PanelOptions {
        metrics: Some(vec!["cpu_usage_mhz".to_owned(), "cpu_usage_pct".to_owned()]),
        interval: Duration::from_mins(5),
        until: None,
        limits: PanelLimits::Refuse {
            max_values: DEFAULT_MAX_VALUES,
        },
    };
    Some(load_panel(&paths, &options).unwrap())
}

fn accuracy(panel: &Panel, model: &mut dyn Forecaster, horizon: usize, windows: usize) -> Accuracy {
    let protocol = Protocol {
        horizon,
        windows,
        season: 288,
    };
    let evaluation = Evaluation::new(panel, protocol).unwrap();
    let sums = evaluation.score::<EvaluationError>(model, |_| Ok(()));
    sums.unwrap().accuracy()
}

#[test]
fn the_naive_models_score_what_is_known_of_them() {
    let Some(panel) = panel() else { return };
    assert_eq!((panel.ids().len(), panel.bins()), (1_000, 7_200));
    for (horizon, windows, naive, seasonal) in [
        (48, 18, (0.9468, 0.3976), (0.9734, 1.0319)),
        (480, 2, (1.3022, 0.9150), (1.0414, 0.8334)),
    ] {
        let scored = accuracy(&panel, &mut Naive, horizon, windows);
        assert_scores(&scored, naive);
        let scored = accuracy(&panel, &mut SeasonalNaive::new(288), horizon, windows);
        assert_scores(&scored, seasonal);
    }
}

fn assert_scores(accuracy: &Accuracy, (mase, crps): (f64, f64)) {
    let four_digits = |value: f64| (value * 1e4).round() / 1e4;
    assert_eq!(four_digits(accuracy.mase), mase, "{accuracy:?}");
    assert_eq!(four_digits(accuracy.crps), crps, "{accuracy:?}");
}
