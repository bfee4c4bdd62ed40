//! The floor of the load bench: a minimal axum server that returns the same bytes as Precinct from memory.
//!
//! The first time a request is seen it is forwarded to `--origin` and its body is kept; from then on it is
//! answered from a map. A session's answers depend on what went before, so its key is a hash of all its
//! queries so far: the seeded traces of the load client repeat exactly.
//!
//! `static_floor 127.0.0.1:9000 http://127.0.0.1:8080`

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().context("usage: static_floor LISTEN ORIGIN")?;
    let origin = args.next().context("usage: static_floor LISTEN ORIGIN")?;
    let floor = Arc::new(Floor { origin, client: reqwest::Client::new(), ..Floor::default() });
    let listener = tokio::net::TcpListener::bind(&listen).await?;
    eprintln!("static floor on {}", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback(answer).with_state(floor)).await?;
    Ok(())
}

#[derive(Default)]
struct Floor {
    origin: String,
    client: reqwest::Client,
    bodies: RwLock<HashMap<u64, Bytes>>,
    sessions: RwLock<HashMap<String, Session>>,
    opened: AtomicU64,
}

#[derive(Default, Clone)]
struct Session {
    history: u64,
    origin_cid: Option<String>,
}

async fn answer(State(floor): State<Arc<Floor>>, uri: Uri, RawQuery(query): RawQuery) -> Response {
    floor
        .answer(uri.path(), &query.unwrap_or_default())
        .await
        .unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

impl Floor {
    async fn answer(&self, path: &str, query: &str) -> Result<Response> {
        let cid = query.split('&').find_map(|field| field.strip_prefix("cid="));
        let rest: Vec<&str> = query.split('&').filter(|field| !field.starts_with("cid=")).collect();
        let session = cid.map(|cid| read(&self.sessions).get(cid).cloned().unwrap_or_default());
        let mut hasher = DefaultHasher::new();
        (path, session.as_ref().map(|s| s.history), &rest).hash(&mut hasher);
        let key = hasher.finish();

        let opens = rest.iter().any(|field| field.starts_with("cnew="));
        let mut session = session.unwrap_or_default();
        let known = read(&self.bodies).get(&key).cloned();
        let body = match known {
            Some(body) => body,
            None => self.fetch(path, &rest, key, &mut session).await?,
        };
        session.history = key;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "image/jpp-stream".parse()?);
        if opens {
            let cid = format!("floor{}", self.opened.fetch_add(1, Ordering::Relaxed));
            headers.insert("jpip-cnew", format!("cid={cid},path=jpip,transport=http").parse()?);
            write(&self.sessions).insert(cid, session);
        } else if let Some(cid) = cid {
            write(&self.sessions).insert(cid.to_owned(), session);
        }
        Ok((headers, body).into_response())
    }

    async fn fetch(&self, path: &str, rest: &[&str], key: u64, session: &mut Session) -> Result<Bytes> {
        let mut url = format!("{}{path}?{}", self.origin, rest.join("&"));
        if let Some(cid) = &session.origin_cid {
            url.push_str("&cid=");
            url.push_str(cid);
        }
        let answer = self.client.get(url).send().await?.error_for_status()?;
        if let Some(cnew) = answer.headers().get("jpip-cnew") {
            let cid = cnew.to_str()?.split(',').find_map(|part| part.strip_prefix("cid="));
            session.origin_cid = cid.map(str::to_owned);
        }
        let body = answer.bytes().await?;
        write(&self.bodies).insert(key, body.clone());
        Ok(body)
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}
