//! Any thread: a Prometheus recorder of the logger's own, and the text page that shows it.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// The text format's version 0.0.4, <https://prometheus.io/docs/instrumenting/exposition_formats/>.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// 100 µs to 10 s: a file's write to a pipeline's timeout.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const EVENTS_BUCKETS: [f64; 9] = [1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

/// A recorder that only one logger registers on.
pub(crate) struct Exporter {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Exporter {
    pub(crate) fn new() -> Self {
        // Histograms without buckets are rendered as summaries, which cannot be aggregated.
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_events".into()), &EVENTS_BUCKETS))
            .expect("buckets are refused only if there are none");
        let recorder = builder.build_recorder();
        Exporter { handle: recorder.handle(), recorder }
    }

    pub(crate) fn recorder(&self) -> &PrometheusRecorder {
        &self.recorder
    }

    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Sorts the samples of the histograms into their buckets. Without it, each sample is kept until the next page is
    /// rendered, which may never happen.
    pub(crate) fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}
