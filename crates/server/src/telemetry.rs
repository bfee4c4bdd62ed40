//! Logs and counters. Logs go to standard error and never hold a query string or an attribute of a patient.

use std::{sync::OnceLock, time::Duration};

use anyhow::Context as _;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;

/// Starts logging; what is logged is set by `PRECINCT_LOG`, as in `warn,server::http=debug`.
///
/// # Errors
///
/// If `PRECINCT_LOG` cannot be read as a filter.
pub fn start_logging(format: LogFormat, default_filter: &str) -> anyhow::Result<()> {
    let filter = match std::env::var("PRECINCT_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).context("PRECINCT_LOG is not a log filter")?,
        _ => EnvFilter::new(default_filter),
    };
    let builder = fmt::Subscriber::builder().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (tests run several servers in a process) keeps the first subscriber.
    let _kept = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    log_panics();
    Ok(())
}

/// A panic tells where it was. What it says besides is logged only if it is a literal of the program: formatted words
/// may hold a piece of a request or of a data set.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let words = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(words withheld)");
        tracing::error!(panic.location = place, panic.words = words, "a panic");
    }));
}

/// Everything that `/metrics` tells; the handles are looked up once, so that counting costs one atomic operation.
#[derive(Clone)]
pub(crate) struct Metrics {
    prometheus: PrometheusHandle,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) channels: Gauge,
    pub(crate) jpip_requests: Counter,
    pub(crate) jpip_refused: Counter,
    pub(crate) jpip_bytes: Counter,
    pub(crate) jpip_aborted: Counter,
    pub(crate) jpip_seconds: Histogram,
    pub(crate) http_requests: Counter,
    pub(crate) http_failures: Counter,
    pub(crate) associations: Gauge,
    pub(crate) associations_refused: Counter,
    pub(crate) stored: Counter,
    pub(crate) store_refused: Counter,
    pub(crate) imported: Counter,
    pub(crate) import_refused: Counter,
    pub(crate) index_chunks_read: Counter,
    pub(crate) handler_panics: Counter,
    pub(crate) jobs: Gauge,
    pub(crate) jobs_failed: Gauge,
}

impl Metrics {
    /// The metrics of this process.
    pub(crate) fn new() -> Self {
        static SHARED: OnceLock<Metrics> = OnceLock::new();
        SHARED.get_or_init(Self::register).clone()
    }

    fn register() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let prometheus = recorder.handle();
        describe_all(&recorder);
        // Handles are made by this recorder; nothing else in the process records, so none is installed globally.
        metrics::with_local_recorder(&recorder, || Self {
            prometheus,
            connections: gauge!("precinct_connections"),
            connections_refused: counter!("precinct_connections_refused_total"),
            channels: gauge!("precinct_jpip_channels"),
            jpip_requests: counter!("precinct_jpip_requests_total"),
            jpip_refused: counter!("precinct_jpip_refused_total"),
            jpip_bytes: counter!("precinct_jpip_body_bytes_total"),
            jpip_aborted: counter!("precinct_jpip_aborted_total"),
            jpip_seconds: histogram!("precinct_jpip_plan_seconds"),
            http_requests: counter!("precinct_http_requests_total"),
            http_failures: counter!("precinct_http_failures_total"),
            associations: gauge!("precinct_dicom_associations"),
            associations_refused: counter!("precinct_dicom_associations_refused_total"),
            stored: counter!("precinct_dicom_stored_total"),
            store_refused: counter!("precinct_dicom_store_refused_total"),
            imported: counter!("precinct_imported_total"),
            import_refused: counter!("precinct_import_refused_total"),
            index_chunks_read: counter!("precinct_index_chunks_read_total"),
            handler_panics: counter!("precinct_handler_panics_total"),
            jobs: gauge!("precinct_jobs"),
            jobs_failed: gauge!("precinct_jobs_failed"),
        })
    }

    /// The current values in the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        self.prometheus.render()
    }

    /// Keeps histograms bounded; called now and then.
    pub(crate) async fn upkeep(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(10));
        loop {
            tick.tick().await;
            self.prometheus.run_upkeep();
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counts one more in a gauge while it lives, however it ends.
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(open: &Gauge) -> Self {
        open.increment(1.0);
        Self(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn describe_all(recorder: &impl metrics::Recorder) {
    metrics::with_local_recorder(recorder, || {
        describe_gauge!("precinct_connections", "HTTP connections that are open");
        describe_counter!("precinct_connections_refused_total", "connections refused: too many, or not allowed");
        describe_gauge!("precinct_jpip_channels", "JPIP channels that are open");
        describe_counter!("precinct_jpip_requests_total", "JPIP requests");
        describe_counter!("precinct_jpip_refused_total", "JPIP requests answered with an error status");
        describe_counter!("precinct_jpip_body_bytes_total", "bytes of JPIP response bodies handed to sockets");
        describe_counter!("precinct_jpip_aborted_total", "JPIP responses whose connection broke before their end");
        describe_histogram!("precinct_jpip_plan_seconds", "time until the first bytes of a JPIP response are ready");
        describe_counter!("precinct_http_requests_total", "HTTP requests outside /jpip");
        describe_counter!("precinct_http_failures_total", "HTTP requests outside /jpip answered with 5xx");
        describe_gauge!("precinct_dicom_associations", "DICOM associations that are open");
        describe_counter!(
            "precinct_dicom_associations_refused_total",
            "associations rejected: too many, or not allowed"
        );
        describe_counter!("precinct_dicom_stored_total", "C-STORE requests answered with success");
        describe_counter!("precinct_dicom_store_refused_total", "requests of associations answered with a failure");
        describe_counter!("precinct_imported_total", "objects taken by the import route");
        describe_counter!("precinct_import_refused_total", "objects refused by the import route");
        describe_counter!("precinct_index_chunks_read_total", "16 KiB chunks of index files read from storage");
        describe_gauge!("precinct_jobs", "jobs that are queued or running");
        describe_gauge!("precinct_jobs_failed", "jobs that failed and are not tried again by themselves");
        describe_counter!("precinct_handler_panics_total", "requests ended by a panic");
    });
}
