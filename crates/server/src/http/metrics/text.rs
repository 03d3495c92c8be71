//! The text exposition format.

use std::fmt::Write;

use foreshadow_engine::{LATENCY_BOUNDS_S, LatencySnapshot};

/// Labels of one sample.
type Labels<'a> = Vec<(&'static str, &'a str)>;

/// A page that is being written. Writing to a `String` cannot fail, so results are dropped.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, [(Vec::new(), value as f64)]);
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help, [(Vec::new(), value)]);
    }

    pub(crate) fn family<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.head(name, kind, help);
        for (labels, value) in samples {
            let _ = writeln!(self.0, "{name}{} {value}", braced(&labels));
        }
    }

    pub(crate) fn histogram(&mut self, name: &str, help: &str, times: &LatencySnapshot) {
        self.head(name, "histogram", help);
        let mut below = 0;
        for (bound, count) in LATENCY_BOUNDS_S.iter().zip(times.buckets) {
            below += count;
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {}", times.count);
        let _ = writeln!(self.0, "{name}_sum {}", times.sum_s);
        let _ = writeln!(self.0, "{name}_count {}", times.count);
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
}

fn braced(labels: &[(&'static str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut text = Exposition::default();
        text.family(
            "a_total",
            "counter",
            "Help.",
            [(vec![("pool", "x\"y\\")], 2.0)],
        );
        text.gauge("b_seconds", "Help.", 0.5);
        assert_eq!(
            text.finish(),
            "# HELP a_total Help.\n# TYPE a_total counter\na_total{pool=\"x\\\"y\\\\\"} 2\n\
             # HELP b_seconds Help.\n# TYPE b_seconds gauge\nb_seconds 0.5\n"
        );
    }

    #[test]
    fn buckets_of_a_histogram_add_up() {
        let mut times = LatencySnapshot {
            count: 3,
            sum_s: 1.5,
            ..LatencySnapshot::default()
        };
        times.buckets[0] = 1;
        times.buckets[1] = 2;
        let mut text = Exposition::default();
        text.histogram("t_seconds", "Help.", &times);
        let page = text.finish();
        assert!(
            page.contains("t_seconds_bucket{le=\"0.0001\"} 3\n"),
            "{page}"
        );
        assert!(
            page.contains("t_seconds_bucket{le=\"+Inf\"} 3\nt_seconds_sum 1.5\nt_seconds_count 3")
        );
    }
}
