//! `DELETE /api/v1/instances/{uid}`: takes an instance out of the catalog. Its bytes go with `precinct fsck --prune`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    routing::delete,
};
use http::StatusCode;

use super::{catalog_api::catalog_problem, error::Problem, query};
use crate::app::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/instances/{uid}", delete(delete_instance))
}

/// `DELETE /api/v1/instances/{uid}?confirm={uid}`: 204 it is gone; 404 there is none; 428 `confirm` is missing; 400 it
/// names another instance.
async fn delete_instance(
    State(app): State<Arc<App>>,
    uid: Result<Path<String>, PathRejection>,
    RawQuery(text): RawQuery,
) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found("no such instance is stored");
    // Refused is what is not UTF-8: nothing has such a name.
    let Path(uid) = uid.map_err(|_refused| unknown())?;
    let mut fields = query::fields(text.as_deref(), &["confirm"])?;
    let Some(confirmed) = fields.remove("confirm") else {
        let words = "say confirm= and the SOP Instance UID once more: what is deleted is not served any more";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, words));
    };
    if confirmed != uid {
        return Err(Problem::bad_request("confirm is not the SOP Instance UID of the path"));
    }
    let gone = app.catalog().delete_instance(&uid).await.map_err(catalog_problem)?;
    app.serving().forget_object(gone.ok_or_else(unknown)?);
    Ok(StatusCode::NO_CONTENT)
}
