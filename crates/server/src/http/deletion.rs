//! `DELETE /api/v1/instances/{uid}`: takes an instance out of the catalog. Its bytes go with `precinct fsck --prune`.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State, rejection::PathRejection};
use http::StatusCode;

use super::{
    catalog_api::catalog_problem,
    error::Problem,
    query,
    routes::{Answer, Content, Field, Operation, Routes},
};
use crate::app::App;

pub(super) fn routes() -> Routes {
    Routes::new().delete("/api/v1/instances/{uid}", delete_instance, DELETE)
}

const DELETE: Operation = Operation {
    summary: "Takes an instance out of the catalog; its bytes go with `precinct fsck --prune`",
    query: &[Field::new("confirm", "the SOP Instance UID once more")],
    body: &[],
    answers: &[
        Answer::new(204, "it is gone", Content::Nothing),
        Answer::problem(400, "`confirm` names another instance"),
        Answer::problem(403, "a page of another site asks"),
        Answer::problem(404, "there is no such instance"),
        Answer::problem(428, "`confirm` is missing"),
    ],
};

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
    let mut fields = query::fields(text.as_deref(), DELETE.query)?;
    let Some(confirmed) = fields.remove("confirm") else {
        let words = "say confirm= and the SOP Instance UID once more: what is deleted is not served any more";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, words));
    };
    if confirmed != uid {
        return Err(Problem::bad_request("confirm is not the SOP Instance UID of the path"));
    }
    let row = app.catalog().instance(&uid).await.map_err(catalog_problem)?.ok_or_else(unknown)?;
    let gone = app.catalog().delete_instance(&uid).await.map_err(catalog_problem)?;
    gone.ok_or_else(unknown)?;
    app.serving().forget_instance(&row);
    Ok(StatusCode::NO_CONTENT)
}
