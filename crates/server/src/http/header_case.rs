//! Header names on the wire in exactly the case that deployed clients look for.
//!
//! OpenJPIP's Java viewer and both JHelioviewer generations look response headers up in case-sensitive maps:
//! `JPIP-cnew` must be spelled so. hyper writes names in lower or title case and has no public way to name the
//! case of a new header, but it keeps the case that a *request* had in its extensions, and writes a response by
//! whatever case its extensions name. So one request that spells all names as wanted is served in memory at
//! start-up, and its extensions are put into every response.

use std::convert::Infallible;

use http::{Extensions, Request, Response};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;

/// The names that a response may carry and that title case would spell otherwise.
pub(crate) const NAMES: &[&str] = &[
    "JPIP-tid",
    "JPIP-qid",
    "JPIP-fsiz",
    "JPIP-roff",
    "JPIP-rsiz",
    "JPIP-layers",
    "JPIP-cnew",
    "JPIP-comps",
    "JPIP-stream",
    "JPIP-context",
    "JPIP-roi",
    "JPIP-srate",
    "JPIP-metareq",
    "JPIP-len",
    "JPIP-quality",
    "JPIP-type",
    "JPIP-mset",
    "JPIP-cap",
    "JPIP-pref",
    "JPIP-align",
    "JPIP-subtarget",
    "JPIP-handled",
    "ETag",
];

/// How many of [`NAMES`], from the first on, most replies to windows get by with.
const USUAL: usize = 6;

/// The response extensions that make hyper spell the known names exactly; every other name is title case.
#[derive(Debug, Clone)]
pub(crate) struct HeaderCase {
    /// Copied into nearly every JPIP response, so it holds no more than these need.
    usual: Extensions,
    all: Extensions,
}

impl HeaderCase {
    /// Serves requests in memory whose header names have the wanted case, and keeps their extensions.
    ///
    /// # Errors
    ///
    /// If hyper does not tell the case of header names, which would be a change of hyper.
    pub(crate) async fn learn() -> anyhow::Result<Self> {
        let usual = NAMES.get(..USUAL).unwrap_or_default();
        Ok(Self { usual: extensions_of(usual).await?, all: extensions_of(NAMES).await? })
    }

    /// Makes hyper spell the header names of `response` exactly.
    pub(crate) fn apply<B>(&self, response: &mut Response<B>) {
        let special = |name: &str| name.starts_with("jpip-") || name == "etag";
        let usual = |name: &str| NAMES.iter().take(USUAL).any(|usual| usual.eq_ignore_ascii_case(name));
        let mut wanted = None;
        for name in response.headers().keys().map(http::HeaderName::as_str).filter(|name| special(name)) {
            wanted = Some(&self.usual);
            if !usual(name) {
                wanted = Some(&self.all);
                break;
            }
        }
        if let Some(wanted) = wanted {
            response.extensions_mut().extend(wanted.clone());
        }
    }
}

/// The extensions of a request with these header names.
async fn extensions_of(names: &[&str]) -> anyhow::Result<Extensions> {
    let mut request = String::from("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for name in names {
        request.push_str(name);
        request.push_str(": 0\r\n");
    }
    request.push_str("\r\n");
    let (mut client, server) = tokio::io::duplex(16 * 1024);
    client.write_all(request.as_bytes()).await?;
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let service = service_fn(move |request: Request<Incoming>| {
        let sent = send.try_send(request.extensions().clone());
        async move {
            drop(sent);
            Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
        }
    });
    let connection = http1::Builder::new().preserve_header_case(true).serve_connection(TokioIo::new(server), service);
    connection.await?;
    drop(client);
    Ok(receive.try_recv()?)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// The head of a response with these headers, as it goes over the wire.
    async fn head(names: &'static [&'static str]) -> String {
        let case = HeaderCase::learn().await.unwrap();
        let (mut client, server) = tokio::io::duplex(16 * 1024);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let service = service_fn(move |_request: Request<Incoming>| {
            let mut response = Response::new(Empty::<bytes::Bytes>::new());
            for name in names {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                response.headers_mut().append(name, HeaderValue::from_static("1"));
            }
            case.apply(&mut response);
            async move { Ok::<_, Infallible>(response) }
        });
        let mut builder = http1::Builder::new();
        builder.preserve_header_case(true).title_case_headers(true);
        builder.serve_connection(TokioIo::new(server), service).await.unwrap();
        let mut head = String::new();
        client.read_to_string(&mut head).await.unwrap();
        head
    }

    #[tokio::test]
    async fn known_names_go_out_exactly_and_others_in_title_case() {
        for names in [&["JPIP-tid", "JPIP-fsiz", "Content-Type"][..], NAMES, &["Retry-After", "Cache-Control"]] {
            let head = head(names).await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            for name in names {
                assert!(head.contains(&format!("\r\n{name}: 1\r\n")), "{name} in {head}");
            }
            assert!(head.contains("\r\nContent-Length: 0\r\n"), "{head}");
        }
    }
}
