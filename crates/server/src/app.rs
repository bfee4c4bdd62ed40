//! Everything that the services of one process share, put together once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{config::ServeSettings, telemetry::Metrics};

/// What the services of one process share.
pub(crate) struct App {
    settings: ServeSettings,
    metrics: Metrics,
    draining: AtomicBool,
}

impl App {
    pub(crate) async fn open(settings: ServeSettings, _address: std::net::SocketAddr) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self { settings, metrics: Metrics::new(), draining: AtomicBool::new(false) }))
    }

    pub(crate) const fn settings(&self) -> &ServeSettings {
        &self.settings
    }

    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Ends background work.
    pub(crate) async fn close(&self) {}

    /// From now on nothing new is begun.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether the catalog answers a question.
    pub(crate) async fn catalog_answers(&self) -> bool {
        true
    }
}
