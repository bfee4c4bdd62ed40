//! HTTP/1.1 and HTTP/2: what every request passes through before and after its handler.
//!
//! `/jpip` goes straight to its handler; everything else through an axum router. A handler that panics costs its
//! own request a 500 and nothing else.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::{Router, body::Body, response::IntoResponse as _};
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tower::ServiceExt as _;

use self::{
    browser::BrowserRules,
    delivery::Peer,
    error::{JpipRefusal, Problem},
    header_case::HeaderCase,
    request_body::RequestBody,
    routes::Routes,
};
use crate::{app::App, config::Network, telemetry::Metrics};

mod admin;
mod browser;
mod catalog_api;
mod connection;
mod deletion;
pub(crate) mod delivery;
mod dicomweb;
mod echo;
pub(crate) mod error;
mod header_case;
mod http2;
mod import_api;
mod intake;
mod jobs_api;
mod jpip;
mod jpip_body;
pub(crate) mod listener;
mod openapi;
mod opening;
mod page;
mod query;
mod request_body;
mod request_head;
mod routes;
mod search_api;
mod upload;
mod whole_image;

/// Longest request line and longest sum of header fields, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// What is said to pages of other sites [fault E26].
const FOREIGN: &str = "pages of other sites may not change anything here";

/// Answers the requests of every connection.
pub(crate) struct Service {
    app: Arc<App>,
    router: Router,
    browser: BrowserRules,
    header_case: HeaderCase,
    allow: Vec<Network>,
    max_connections: usize,
}

impl Service {
    /// # Errors
    ///
    /// If hyper does not tell the case of header names, which would be a change of hyper.
    pub(crate) async fn new(app: Arc<App>) -> anyhow::Result<Self> {
        let settings = app.settings();
        Ok(Self {
            router: router(&app),
            browser: BrowserRules::new(settings.cors_origins.clone(), settings.public_url.as_deref()),
            header_case: HeaderCase::learn().await?,
            allow: settings.http_allow.clone(),
            max_connections: settings.max_connections,
            app,
        })
    }

    pub(crate) const fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Whether a peer of this address may connect at all.
    pub(crate) fn may_connect(&self, address: IpAddr) -> bool {
        Network::allow(&self.allow, address)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.app.metrics()
    }

    /// Answers one request.
    async fn answer(&self, peer: &Arc<Peer>, request: Request<RequestBody>) -> Response<Body> {
        let working = peer.work();
        let is_jpip = below_jpip(request.uri().path()).is_some();
        let origin = request.headers().get(header::ORIGIN).cloned();
        let handled = AssertUnwindSafe(self.dispatch(peer, request)).catch_unwind().await;
        let mut response = handled.unwrap_or_else(|_panic| {
            // The panic hook has logged where; the payload may hold anything.
            self.metrics().handler_panics.increment(1);
            tracing::error!("a request ended in a panic");
            let (status, words) = (StatusCode::INTERNAL_SERVER_ERROR, "the request could not be served");
            if is_jpip {
                return JpipRefusal::new(status, words).into_response();
            }
            Problem::new(status, words).into_response()
        });
        self.browser.apply(origin.as_ref(), &mut response);
        if peer.is_last_request() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.header_case.apply(&mut response);
        drop(working);
        response
    }

    async fn dispatch(&self, peer: &Arc<Peer>, mut request: Request<RequestBody>) -> Response<Body> {
        let jpip = below_jpip(request.uri().path());
        if let Err((status, words)) = self.admit(peer, &request) {
            return match jpip {
                Some(_) => JpipRefusal::new(status, words).into_response(),
                None => Problem::new(status, words).into_response(),
            };
        }
        if let Some(name) = jpip {
            if request.method() == Method::OPTIONS {
                return self.browser.options("GET, HEAD, POST, OPTIONS", request.headers());
            }
            let uploads = !browser::is_safe(request.method()) && upload::is_upload(request.uri());
            if uploads && self.browser.is_foreign(request.headers()) {
                return JpipRefusal::new(StatusCode::FORBIDDEN, FOREIGN).into_response();
            }
            let name = name.to_owned();
            return jpip::answer(&self.app, peer, &name, request).await;
        }
        if request.method() == Method::OPTIONS && !dicomweb::asks_for_capabilities(&request) {
            return self.browser.options("GET, HEAD, POST, DELETE, OPTIONS", request.headers());
        }
        if !browser::is_safe(request.method()) && self.browser.is_foreign(request.headers()) {
            return Problem::new(StatusCode::FORBIDDEN, FOREIGN).into_response();
        }
        request.extensions_mut().clear();
        self.metrics().http_requests.increment(1);
        let routed = self.router.clone().oneshot(request.map(Body::new)).await;
        let mut response = routed.unwrap_or_else(|never| match never {});
        if response.status().is_server_error() {
            self.metrics().http_failures.increment(1);
        }
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }

    /// What is refused whatever it asks for.
    fn admit(&self, peer: &Peer, request: &Request<RequestBody>) -> Result<(), (StatusCode, &'static str)> {
        if peer.is_ambiguous() {
            return Err((StatusCode::BAD_REQUEST, "the length of the request body is announced in two ways"));
        }
        let uri = request.uri();
        let target = uri.path().len() + uri.query().map_or(0, str::len);
        if target > MAX_HEAD {
            return Err((StatusCode::URI_TOO_LONG, "the request line is longer than 16 KiB"));
        }
        let fields: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if fields > MAX_HEAD {
            return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the header fields are longer than 16 KiB"));
        }
        if !self.browser.accepts_host(peer, request.headers()) {
            return Err((StatusCode::FORBIDDEN, "on a loopback address, Host is a loopback name"));
        }
        Ok(())
    }
}

/// What follows `/jpip/` in a path, empty for `/jpip` alone; `None` for every other path. Some clients join a base URL
/// and a path into `//jpip`.
fn below_jpip(path: &str) -> Option<&str> {
    let rest = path.trim_start_matches('/').strip_prefix("jpip")?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Every route that there is.
fn routes() -> Routes {
    let routes = Routes::new()
        .merge(admin::routes())
        .merge(catalog_api::routes())
        .merge(deletion::routes())
        .merge(dicomweb::routes())
        .merge(import_api::routes())
        .merge(jobs_api::routes())
        .merge(jpip::routes())
        .merge(page::routes())
        .merge(search_api::routes());
    openapi::with_document(routes)
}

fn router(app: &Arc<App>) -> Router {
    routes()
        .into_router()
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
        })
        .with_state(Arc::clone(app))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_path_of_the_router_is_described_and_nothing_else_is() {
        let routes = routes();
        let answered_elsewhere = |path: &str| below_jpip(path).is_some();
        let described: BTreeSet<String> = routes.described().iter().map(|route| route.path.clone()).collect();
        // A router tells its paths only to who debugs it.
        let text = format!("{:?}", routes.into_router());
        let paths = text.split("paths: {").nth(1).and_then(|rest| rest.split_once(": \"")).unwrap_or_default();
        assert!(paths.1.starts_with('/'), "the router shows its paths in another form now: {text}");
        let is_path = |text: &&str| text.starts_with('/') && !text.contains("__private__axum");
        let routed: BTreeSet<String> = text.split('"').filter(is_path).map(str::to_owned).collect();
        let of_the_router: BTreeSet<_> = described.iter().filter(|path| !answered_elsewhere(path)).cloned().collect();
        assert_eq!(routed, of_the_router);
        assert!(described.contains("/jpip") && described.contains("/jpip/{name}"));
        assert!(routed.contains("/api/openapi.json") && routed.contains("/dicom-web/studies/{study}/series"));
    }
}
