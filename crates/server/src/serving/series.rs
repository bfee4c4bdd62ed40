//! A series as one target: the frames of its instances one after the other, in the order of Instance Number and SOP
//! Instance UID.
//!
//! Nothing of it is stored: it is put together from the instances whenever it is asked for, and its target identifier
//! from theirs. An instance without an image that can be served has no frames in it.

use std::sync::Arc;

use catalog::{Catalog, CatalogError, IndexRow, Page, State, TargetRow};
use futures_util::future::try_join_all;
use http::StatusCode;
use jpip::target::{CodestreamSet, LogicalTarget};

use super::{
    metadata,
    target::{Member, OpenTarget},
};
use crate::{
    http::error::JpipRefusal,
    worker::{
        Worker,
        presentation::{Form, Presentation, series_tid},
    },
};

/// What the name of such a target begins with; the Series Instance UID follows.
pub(crate) const SERIES: &str = "series/";

/// Instances of a series that is served.
const MOST: u32 = 10_000;

/// The instances of one series, in order.
pub(crate) struct Series {
    instances: Vec<TargetRow>,
}

/// What a listing says of a series.
pub(crate) struct Summary {
    pub(crate) media_type: Option<String>,
    pub(crate) size: Option<(u32, u32)>,
    pub(crate) codestreams: Option<u32>,
    pub(crate) tid: Option<String>,
    pub(crate) state: State,
    pub(crate) reason: Option<String>,
}

impl Summary {
    /// What is said of a series that is not served for this reason.
    const fn unservable(reason: String) -> Self {
        Self {
            media_type: None,
            size: None,
            codestreams: None,
            tid: None,
            state: State::Unservable,
            reason: Some(reason),
        }
    }
}

impl Series {
    /// The series of this UID; `None` if no instance of it is stored.
    ///
    /// # Errors
    ///
    /// - 501 if it has too many instances.
    /// - 503 if the catalog does not answer.
    pub(crate) async fn find(catalog: &Catalog, uid: &str) -> Result<Option<Self>, JpipRefusal> {
        let instances = catalog.series_targets(uid, MOST + 1).await;
        let instances = instances.map_err(|error| JpipRefusal::unavailable(&error))?;
        let series = Self::of(instances).map_err(|reason| JpipRefusal::new(StatusCode::NOT_IMPLEMENTED, reason))?;
        Ok((!series.instances.is_empty()).then_some(series))
    }

    /// A page of a listing of series: the Series Instance UID of each, and what is said of it.
    ///
    /// # Errors
    ///
    /// If the cursor was not handed out, or the catalog does not answer.
    pub(crate) async fn list(
        catalog: &Catalog,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<(String, Summary)>, CatalogError> {
        let Page { items, next } = catalog.list_series(limit, MOST, cursor).await?;
        let summary = |instances| Self::of(instances).map_or_else(Summary::unservable, |series| series.summary());
        let items = items.into_iter().map(|row| (row.series_instance_uid, summary(row.instances))).collect();
        Ok(Page { items, next })
    }

    /// The series of these instances, or why it is not served.
    fn of(instances: Vec<TargetRow>) -> Result<Self, String> {
        if instances.len() > MOST as usize {
            return Err(format!("unsupported: a series of more than {MOST} instances"));
        }
        Ok(Self { instances })
    }

    /// The same once its instances are indexed, those that can be.
    ///
    /// # Errors
    ///
    /// - 503 if the store or the catalog does not answer, or an index is not made now.
    pub(crate) async fn indexed(self, worker: &Worker) -> Result<Self, JpipRefusal> {
        let made = self.instances.iter().map(|row| worker.ensure_indexed(row));
        let instances = try_join_all(made).await.map_err(|error| JpipRefusal::unavailable(&error))?;
        if instances.iter().any(|row| row.state == State::Stored) {
            return Err(JpipRefusal::later("the series is being indexed", 1));
        }
        Ok(Self { instances })
    }

    /// The target identifier of what is stored: that of another series, or of this one with other instances, is another.
    pub(crate) fn tid(&self) -> String {
        series_tid(self.served().map(|index| index.tid.as_str()))
    }

    /// The target, under this identifier.
    ///
    /// # Errors
    ///
    /// - 501 if no instance can be served.
    pub(crate) fn open(&self, name: &str, tid: String) -> Result<OpenTarget, JpipRefusal> {
        let mut image = None;
        let mut members = Vec::new();
        let mut frames = 0u32;
        for index in self.served() {
            let read = Presentation::from_json(&index.presentation);
            let presentation = read.map_err(|error| JpipRefusal::internal(&error))?;
            members.push(Member::new(index.key, frames, &presentation));
            if image.is_none() {
                image = presentation.image.filter(|_| presentation.form == Form::Frames);
            }
            let too_many = || JpipRefusal::new(StatusCode::NOT_IMPLEMENTED, "unsupported: too many frames");
            frames = frames.checked_add(index.codestreams).ok_or_else(too_many)?;
        }
        let Some(image) = image else {
            let reason = self.reason().unwrap_or("failed: it cannot be served");
            return Err(JpipRefusal::new(StatusCode::NOT_IMPLEMENTED, reason));
        };
        let logical = LogicalTarget {
            tid,
            codestreams: CodestreamSet::Frames(frames),
            metadata: metadata::for_frames(&image, frames),
        };
        Ok(OpenTarget::new(name.to_owned(), Arc::new(logical), members))
    }

    /// What a listing says of it.
    fn summary(&self) -> Summary {
        let media_type = self.instances.first().map(|row| row.media_type.clone());
        let waits = self.instances.iter().any(|row| row.state == State::Stored);
        let (served, all) = (self.served().count(), self.instances.len());
        let state = match served {
            _ if waits => State::Stored,
            0 => State::Unservable,
            _ => State::Indexed,
        };
        let is_known = state == State::Indexed;
        let reason = self.reason().filter(|_| !waits).map(|reason| {
            if served == 0 {
                reason.to_owned()
            } else {
                format!("{} of {all} instances are not served: {reason}", all - served)
            }
        });
        Summary {
            media_type,
            size: self.served().next().filter(|_| is_known).map(|index| (index.width, index.height)),
            codestreams: is_known
                .then(|| self.served().fold(0, |sum: u32, index| sum.saturating_add(index.codestreams))),
            tid: is_known.then(|| self.tid()),
            state,
            reason,
        }
    }

    fn served(&self) -> impl Iterator<Item = &IndexRow> {
        self.instances.iter().filter_map(|row| row.index.as_ref())
    }

    /// Why the first instance that is not served is not.
    fn reason(&self) -> Option<&str> {
        self.instances.iter().filter(|row| row.index.is_none()).find_map(|row| row.reason.as_deref())
    }
}
