//! `/`: what is stored, its state and its JPIP URLs, as one plain page without a script.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    response::{Html, IntoResponse, Response},
};
use catalog::{TargetKind, TargetRow};
use http::{HeaderValue, header};

use super::{
    catalog_api::{CURSOR, catalog_problem},
    error::Problem,
    query,
    routes::{Answer, Content, Operation, Routes},
};
use crate::app::App;

/// Targets on one page.
const ROWS: u32 = 100;

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'none'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

pub(super) fn routes() -> Routes {
    Routes::new().get("/", page, PAGE).get("/page.css", style, STYLE)
}

const PAGE: Operation = Operation {
    summary: "What is stored, as a page",
    query: &[CURSOR],
    body: &[],
    answers: &[
        Answer::new(200, "the page", Content::Media(&["text/html"])),
        Answer::problem(400, "anything else in the query"),
    ],
};

const STYLE: Operation = Operation {
    summary: "The style of the page",
    query: &[],
    body: &[],
    answers: &[Answer::new(200, "the style", Content::Media(&["text/css"]))],
};

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page.css"))
}

/// `GET /?cursor=`: 200 the page; 400 for anything else in the query.
async fn page(State(app): State<Arc<App>>, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    let mut fields = query::fields(text.as_deref(), PAGE.query)?;
    let cursor = fields.remove("cursor");
    let page = app.catalog().list_targets(None, ROWS, cursor.as_deref()).await.map_err(catalog_problem)?;
    let counts = app.catalog().counts().await.map_err(catalog_problem)?;
    let mut rows = String::new();
    for row in &page.items {
        push_row(&mut rows, row, &app.jpip_url(&row.target));
    }
    let example = page.items.iter().find(|row| row.index.is_some()).map_or_else(
        || "precinct import --to BASE FILE…".replace("BASE", app.base_url()),
        |row| format!("precinct fetch '{}&fsiz=512,512' -o thumbnail.png", app.jpip_url(&row.target)),
    );
    let table = if rows.is_empty() {
        "<p class=\"empty\">Nothing is stored here yet.</p>".to_owned()
    } else {
        format!(
            "<div class=\"scroll\"><table><thead><tr><th>Target</th><th>Kind</th><th>Size</th><th>Frames</th>\
             <th>State</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    };
    let next = page.next.map(|next| format!("<p><a href=\"?cursor={}\">More</a></p>", escape(&next)));
    let html = include_str!("page.html")
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{instances}}", &counts.instances.to_string())
        .replace("{{files}}", &counts.files.to_string())
        .replace("{{jobs}}", &counts.jobs.to_string())
        .replace("{{next}}", &next.unwrap_or_default())
        .replace("{{example}}", &escape(&example))
        .replace("{{table}}", &table);
    let mut response = Html(html).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

fn push_row(out: &mut String, row: &TargetRow, url: &str) {
    let kind = match row.kind {
        TargetKind::Instance => "DICOM instance",
        TargetKind::File => "file",
        TargetKind::Series => "series",
    };
    let (size, frames) = row.index.as_ref().map_or_else(
        || ("–".to_owned(), "–".to_owned()),
        |index| (format!("{} × {}", index.width, index.height), index.codestreams.to_string()),
    );
    let state = row.state.as_str();
    let reason = row.reason.as_deref().map(|reason| format!("<div class=\"reason\">{}</div>", escape(reason)));
    // Writing to a String cannot fail.
    let _written = write!(
        out,
        "<tr><td><div class=\"name\">{}</div><code class=\"url\">{}</code></td><td>{kind}</td><td>{size}</td>\
         <td>{frames}</td><td><span class=\"state {state}\">{state}</span>{}</td></tr>",
        escape(&row.target),
        escape(url),
        reason.unwrap_or_default(),
    );
}

/// Text as it may stand in HTML, in elements and in quoted attributes. Braces too, so that no name is taken for a
/// place of the template.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '{' => out.push_str("&#123;"),
            '}' => out.push_str("&#125;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escape("<b>\"'&{{table}}"), "&lt;b&gt;&quot;&#39;&amp;&#123;&#123;table&#125;&#125;");
    }
}
