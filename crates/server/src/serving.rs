//! From a JPIP request to the bytes of its response.
//!
//! The protocol core decides which bytes go out and never sees one; here index parts are loaded for it, the parts
//! that it names are located and read, and what was delivered is recorded.

use std::sync::Arc;

use catalog::{Catalog, InstanceRow};

use self::{channels::ChannelTable, frame_table::FrameTables, index_cache::IndexCache, target::Targets};
use crate::{config::ServeSettings, storage::Storage, telemetry::Metrics, worker::Worker};

pub(crate) mod channels;
pub(crate) mod frame_table;
pub(crate) mod index_cache;
mod metadata;
mod model;
pub(crate) mod response;
pub(crate) mod series;
mod sources;
pub(crate) mod target;
pub(crate) mod whole_image;

/// What serving needs and keeps.
pub(crate) struct Serving {
    targets: Targets,
    channels: Arc<ChannelTable>,
    indexes: Arc<IndexCache>,
    frames: FrameTables,
}

impl Serving {
    pub(crate) fn new(
        settings: &ServeSettings,
        catalog: &Catalog,
        storage: &Storage,
        worker: &Worker,
        metrics: &Metrics,
    ) -> Self {
        let node = node_name();
        Self {
            targets: Targets::new(catalog.clone(), storage.clone(), worker.clone(), settings.virtual_precincts),
            channels: Arc::new(ChannelTable::new(settings.max_channels, node, metrics.channels.clone())),
            indexes: Arc::new(IndexCache::new(
                storage.clone(),
                worker.clone(),
                settings.virtual_precincts,
                metrics.index_chunks_read.clone(),
            )),
            frames: FrameTables::new(storage.clone()),
        }
    }

    pub(crate) const fn targets(&self) -> &Targets {
        &self.targets
    }

    pub(crate) const fn channels(&self) -> &Arc<ChannelTable> {
        &self.channels
    }

    pub(crate) const fn indexes(&self) -> &Arc<IndexCache> {
        &self.indexes
    }

    pub(crate) const fn frames(&self) -> &FrameTables {
        &self.frames
    }

    /// Names may mean something else from now on.
    pub(crate) fn forget_targets(&self) {
        self.targets.forget();
    }

    /// An instance has gone out of the catalog: nothing more of it is served, not as part of its series either.
    /// Responses that are on their way end in order.
    pub(crate) fn forget_instance(&self, row: &InstanceRow) {
        self.targets.forget();
        let series = row.series_instance_uid.as_ref().map(|uid| format!("{}{uid}", series::SERIES));
        let names: Vec<_> = series.into_iter().chain([row.sop_instance_uid.clone()]).collect();
        let closed = self.channels.close_those_for(&names);
        tracing::info!(object.key = %row.object_key, channels = closed, "an instance was deleted");
    }
}

/// What leads the name of every channel of this process, so that a load balancer can route on it.
fn node_name() -> String {
    "n1".to_owned()
}
