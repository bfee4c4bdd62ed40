//! The instances that a path names.

use std::{collections::HashMap, sync::Arc};

use axum::extract::{Path, rejection::PathRejection};
use catalog::{InstanceFilter, InstanceRow, Page};
use futures_util::stream::{self, BoxStream, StreamExt as _};

use crate::{
    app::App,
    http::{catalog_api::catalog_problem, dicomweb::BASE, error::Problem},
};

/// The parameters of a path by their names.
pub(super) type Places = Result<Path<HashMap<String, String>>, PathRejection>;

/// The instances of a study, of a series, or one of them, in order of arrival.
pub(super) struct Instances {
    app: Arc<App>,
    filter: InstanceFilter,
    /// The first of them; never without any.
    pub(super) first: Vec<InstanceRow>,
    next: Option<String>,
}

/// Rows that are asked for at a time.
const PAGE: u32 = 1000;

impl Instances {
    /// # Errors
    ///
    /// 404 if there is none.
    pub(super) async fn find(app: &Arc<App>, places: &HashMap<String, String>) -> Result<Self, Problem> {
        let place = |name: &str| places.get(name).cloned();
        let filter = InstanceFilter {
            study_instance_uid: place("study"),
            series_instance_uid: place("series"),
            sop_instance_uid: place("instance"),
            ..InstanceFilter::default()
        };
        let Page { items, next } = app.catalog().list_instances(&filter, PAGE, None).await.map_err(catalog_problem)?;
        if items.is_empty() {
            return Err(Problem::not_found("no such instance is stored"));
        }
        Ok(Self { app: Arc::clone(app), filter, first: items, next })
    }

    /// The one instance that there is.
    pub(super) fn only(&self) -> Option<&InstanceRow> {
        match self.first.as_slice() {
            [only] if self.next.is_none() => Some(only),
            _ => None,
        }
    }

    /// All of them, page by page as they are wanted.
    pub(super) fn stream(self) -> BoxStream<'static, Result<InstanceRow, Problem>> {
        let Self { app, filter, first, next } = self;
        let further = stream::unfold(next, move |next| {
            let (app, filter) = (Arc::clone(&app), filter.clone());
            async move {
                let cursor = next?;
                match app.catalog().list_instances(&filter, PAGE, Some(&cursor)).await {
                    Ok(Page { items, next }) => Some((items.into_iter().map(Ok).collect::<Vec<_>>(), next)),
                    Err(error) => Some((vec![Err(catalog_problem(error))], None)),
                }
            }
        });
        stream::iter(first.into_iter().map(Ok)).chain(further.flat_map(stream::iter)).boxed()
    }
}

/// The one instance that a path names.
///
/// # Errors
///
/// 404 if there is none.
pub(super) async fn find_one(app: &Arc<App>, places: &HashMap<String, String>) -> Result<InstanceRow, Problem> {
    let found = Instances::find(app, places).await?;
    found.only().cloned().ok_or_else(|| Problem::internal(&"two instances of one UID"))
}

/// The parameters of the path.
///
/// # Errors
///
/// 404 for what is not UTF-8: nothing has such a name.
pub(super) fn read(places: Places) -> Result<HashMap<String, String>, Problem> {
    places.map(|Path(places)| places).map_err(|_refused| Problem::not_found("no such instance is stored"))
}

/// The URL of an instance.
pub(in crate::http::dicomweb) fn instance_url(app: &App, row: &InstanceRow) -> String {
    let (base, uid) = (app.base_url(), &row.sop_instance_uid);
    let study = row.study_instance_uid.as_deref().unwrap_or_default();
    let series = row.series_instance_uid.as_deref().unwrap_or_default();
    format!("{base}{BASE}/studies/{study}/series/{series}/instances/{uid}")
}
