//! Header names on the wire in exactly the case that deployed clients look for.
//!
//! OpenJPIP's Java viewer and both JHelioviewer generations look response headers up in case-sensitive maps:
//! `JPIP-cnew` must be spelled so. hyper writes names in lower or title case and has no public way to name the
//! case of a new header, but it keeps the case that a *request* had in its extensions, and writes a response by
//! whatever case its extensions name. So one request that spells all names as wanted is served in memory at
//! start-up, and its extensions are put into every response.

use std::{convert::Infallible, sync::OnceLock};

use http::{Extensions, Request, Response};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

/// The names that a response may carry and that title case would spell otherwise, or that matter most.
pub(crate) const NAMES: &[&str] = &[
    "JPIP-cnew",
    "JPIP-tid",
    "JPIP-qid",
    "JPIP-fsiz",
    "JPIP-roff",
    "JPIP-rsiz",
    "JPIP-layers",
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
    "WWW-Authenticate",
];

/// The response extensions that make hyper spell the known names exactly; every other name is title case.
#[derive(Debug, Clone)]
pub(crate) struct HeaderCase(Extensions);

impl HeaderCase {
    /// Serves one request in memory whose header names have the wanted case, and keeps its extensions.
    pub(crate) async fn learn() -> anyhow::Result<Self> {
        static LEARNT: OnceLock<HeaderCase> = OnceLock::new();
        if let Some(learnt) = LEARNT.get() {
            return Ok(learnt.clone());
        }
        let mut request = String::from("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for name in NAMES {
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
        let connection =
            http1::Builder::new().preserve_header_case(true).serve_connection(TokioIo::new(server), service);
        connection.await?;
        let learnt = Self(receive.try_recv()?);
        drop(client);
        Ok(LEARNT.get_or_init(|| learnt).clone())
    }

    /// Makes hyper spell the header names of `response` exactly.
    pub(crate) fn apply<B>(&self, response: &mut Response<B>) {
        if response.extensions().is_empty() {
            *response.extensions_mut() = self.0.clone();
        } else {
            response.extensions_mut().extend(self.0.clone());
        }
    }
}
