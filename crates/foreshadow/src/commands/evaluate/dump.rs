//! Every forecast as a row of Parquet.

use std::path::Path;

use foreshadow_forecast::{PLANNING_LEVELS, Panel, Scored};
use foreshadow_history::{DumpColumn, DumpKind, DumpValue, DumpWriter, HistoryError};

/// Writes the forecasts of all models.
pub(super) struct ForecastDump(DumpWriter);

impl ForecastDump {
    pub(super) fn create(path: &Path) -> Result<Self, HistoryError> {
        let mut columns = vec![
            DumpColumn::new("model", DumpKind::Text),
            DumpColumn::new("entity", DumpKind::Text),
            DumpColumn::new("metric", DumpKind::Text),
            DumpColumn::new("origin", DumpKind::Time),
            DumpColumn::new("step", DumpKind::Integer),
        ];
        let quantiles = PLANNING_LEVELS.iter();
        columns.extend(quantiles.map(|level| DumpColumn::new(level.to_string(), DumpKind::Float)));
        columns.push(DumpColumn::new("actual", DumpKind::Float));
        DumpWriter::create(path, &columns).map(Self)
    }

    pub(super) fn write(
        &mut self,
        panel: &Panel,
        model: &str,
        scored: &Scored<'_>,
    ) -> Result<(), HistoryError> {
        let id = &panel.ids()[scored.series];
        let origin = panel.bin_start(scored.origin);
        for (step, &actual) in scored.actual.iter().enumerate() {
            let mut row = vec![
                DumpValue::Text(model),
                DumpValue::Text(id.entity.as_str()),
                DumpValue::Text(&id.metric),
                DumpValue::Time(origin),
                DumpValue::Integer(step as i64),
            ];
            let quantiles = scored.forecast.step(step).iter();
            row.extend(quantiles.map(|&quantile| DumpValue::Float(f64::from(quantile))));
            row.push(if actual.is_finite() {
                DumpValue::Float(f64::from(actual))
            } else {
                DumpValue::Null
            });
            self.0.row(&row)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), HistoryError> {
        self.0.finish()
    }
}
