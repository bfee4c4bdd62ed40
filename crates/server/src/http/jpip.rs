//! `/jpip`: GET, HEAD and POST of JPIP requests [15444-9 C, D, F].
//!
//! Status: 200 served; 202 superseded by a newer request of its channel; 400 malformed; 404 no such target; 405 other
//! methods; 408, 413 bodies too slow or too large; 415 none of the types; 501 a field or feature not done here, or a
//! target that cannot be served; 503 no such channel, too many channels, or the store does not answer. No error closes
//! a channel.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{body::Body, response::IntoResponse as _};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use jpip::{
    EorReason, Limits,
    cache_model::CacheModel,
    message::encode_eor,
    request::{
        KNOWN_FIELDS, abandon::AbandonedChunks, channel::CloseList, error::RequestError, return_type::StreamType,
    },
    session::Refusal,
};
use percent_encoding::percent_decode_str;

use super::{
    delivery::Peer,
    echo::Echo,
    error::JpipRefusal,
    jpip_body::JpipBody,
    request_body::RequestBody,
    routes::{Answer, Content, Field, Operation, Routes},
    upload, whole_image,
};
use crate::{
    app::App,
    serving::{
        channels::{Channel, Number, Session},
        response::{self, Model},
        target::OpenTarget,
        whole_image::WholeImage,
    },
    transport::carrying::{self, Carriage},
};

/// Largest body of a POST, in bytes.
const MAX_BODY: usize = 16 << 20;

/// How long the body of a POST may take.
const BODY_TIME: Duration = Duration::from_secs(60);

/// What is answered here, before the router is asked.
pub(super) fn routes() -> Routes {
    let routes = Routes::new().elsewhere(Method::GET, "/jpip", WINDOW).elsewhere(Method::POST, "/jpip", POSTED);
    routes.elsewhere(Method::GET, "/jpip/{name}", WINDOW).elsewhere(Method::POST, "/jpip/{name}", POSTED)
}

const WINDOW: Operation = Operation {
    summary: "A window of an image, or the whole of it, by JPIP (ISO/IEC 15444-9)",
    query: &FIELDS,
    body: &[],
    answers: ANSWERS,
};

const POSTED: Operation = Operation {
    summary: "The same with the fields in the body; with `upload` in the query the body is an image to be stored",
    query: &FIELDS,
    body: &["application/x-www-form-urlencoded", "image/jp2", "image/jpx", "image/jph", "application/dicom"],
    answers: ANSWERS,
};

const FIELDS: [Field; KNOWN_FIELDS.len()] = {
    let mut fields = [Field::new("", "a request field of ISO/IEC 15444-9, annex C"); KNOWN_FIELDS.len()];
    let mut n = 0;
    while n < fields.len() {
        fields[n].name = KNOWN_FIELDS[n];
        n += 1;
    }
    fields
};

const ANSWERS: &[Answer] = &[
    Answer::new(200, "served, or the image was there already", Content::Media(BODIES)),
    Answer::new(201, "the image was stored", Content::Media(&["application/json"])),
    Answer::new(202, "a newer request of the channel took over", Content::Nothing),
    Answer::new(400, "a field is malformed", PLAIN),
    Answer::new(403, "a page of another site wants to store something", PLAIN),
    Answer::new(404, "no such target", PLAIN),
    Answer::new(408, "a body comes too slowly", PLAIN),
    Answer::new(409, "another object has this SOP Instance UID", PLAIN),
    Answer::new(413, "a body is too large", PLAIN),
    Answer::new(415, "none of the types can be given, or a body is of another type", PLAIN),
    Answer::new(422, "no image that can be kept", PLAIN),
    Answer::new(501, "a field or a target that is not served", PLAIN),
    Answer::new(503, "no such channel, too many, or the store does not answer", PLAIN),
    Answer::new(507, "there is no room", PLAIN),
];

const BODIES: &[&str] = &["image/jpp-stream", "image/jpt-stream", "image/jp2", "image/jph", "image/j2c", "image/jphc"];

const PLAIN: Content = Content::Media(&["text/plain"]);

/// Answers one JPIP request; `name` is the path below `/jpip/`, as it was sent.
pub(super) async fn answer(
    app: &Arc<App>,
    peer: &Arc<Peer>,
    name: &str,
    request: Request<RequestBody>,
) -> Response<Body> {
    app.metrics().jpip_requests.increment(1);
    let begun = Instant::now();
    let mut echo = Echo::default();
    let mut response = match respond(app, peer, name, request, &mut echo).await {
        Ok(response) => {
            app.metrics().jpip_seconds.record(begun.elapsed().as_secs_f64());
            response
        }
        Err(refusal) => {
            app.metrics().jpip_refused.increment(1);
            tracing::debug!(status = refusal.status.as_u16(), reason = refusal.reason, "JPIP request refused");
            refusal.into_response()
        }
    };
    echo.answer(response.headers_mut());
    response
}

async fn respond(
    app: &Arc<App>,
    peer: &Arc<Peer>,
    name: &str,
    request: Request<RequestBody>,
    echo: &mut Echo,
) -> Result<Response<Body>, JpipRefusal> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default().as_bytes();
    echo.read(query);
    if head.method == Method::POST && upload::is_upload(&head.uri) {
        return upload::answer(app, name, &head, body).await;
    }
    let body = match head.method {
        Method::GET | Method::HEAD => None,
        Method::POST => Some(read_body(&head.headers, body).await?),
        _ => return Err(JpipRefusal::new(StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD and POST are taken here")),
    };
    echo.read(body.as_deref().unwrap_or_default());
    let mut request = jpip::Request::parse(query, body.as_deref()).map_err(JpipRefusal::of_request)?;
    if request.upload.is_some() {
        let words = "upload: stands in the query of a POST, whose body is the image";
        return Err(JpipRefusal::new(StatusCode::BAD_REQUEST, words));
    }
    let granted = app.transports().choose(&request.cnew).cloned();
    let new_channel = |target: &Arc<OpenTarget>, request: &jpip::Request| {
        let Some(transport) = &granted else { return Ok::<_, JpipRefusal>(None) };
        let line = app.transports().new_line(transport);
        Ok(Some(Channel::new(Arc::clone(target), stream_of(request)?, line)))
    };
    let mut how = How { is_head: head.method == Method::HEAD, query_len: query.len(), number: None };
    let channels = app.serving().channels();
    let Some(cid) = request.cid.clone() else {
        if request.only_closes() {
            return close(app, &request);
        }
        let name = target_name(&request, name)?;
        let target = app.serving().targets().find_or_known_as(&name, request.tid.as_deref()).await?;
        if let Some(whole) = WholeImage::find(&request, &target, app.serving().indexes()).await? {
            return whole_image::answer(app, &request, whole, how.is_head);
        }
        let Some(channel) = new_channel(&target, &request)? else {
            return serve(app, peer, &request, &target, None, None, how).await;
        };
        let session = Session::new();
        how.number = Some(channel.number(request.qid));
        take_datagram_fields(&mut request, &channel, peer, &how)?;
        return serve(app, peer, &request, &target, Some((&session, &channel)), Some(None), how).await;
    };
    let (session, channel) = channels.find(&cid).ok_or_else(JpipRefusal::no_such_channel)?;
    how.number = Some(channel.number(request.qid));
    request.keep_to(channel.stream());
    if request.only_closes() {
        return close(app, &request);
    }
    take_datagram_fields(&mut request, &channel, peer, &how)?;
    let grants = granted.is_some();
    let target = match &request.target {
        Some(name) if !channel.target().is_called(name) => {
            let target = app.serving().targets().find(name).await?;
            if !grants && target.logical().tid != channel.target().logical().tid {
                return Err(JpipRefusal::new(StatusCode::BAD_REQUEST, "target: the channel is for another target"));
            }
            target
        }
        _ => Arc::clone(channel.target()),
    };
    // Whole images are not cut into messages, which is what goes over other transports.
    if channel.line().is_none()
        && let Some(whole) = WholeImage::find(&request, &target, app.serving().indexes()).await?
    {
        return whole_image::answer(app, &request, whole, how.is_head);
    }
    if let Some(new) = new_channel(&target, &request)? {
        how.number = Some(new.number(request.qid));
        return serve(app, peer, &request, &target, Some((&session, &new)), Some(Some(&cid)), how).await;
    }
    serve(app, peer, &request, &target, Some((&session, &channel)), None, how).await
}

/// What of a request is not in its fields.
struct How {
    is_head: bool,
    query_len: usize,
    /// Its place in the order of its channel.
    number: Option<Number>,
}

/// Does what the fields of the http-udp transport ask, and takes them out of the request; on other channels they stay,
/// and are refused as not served [15444-9 K].
fn take_datagram_fields(
    request: &mut jpip::Request,
    channel: &Channel,
    peer: &Peer,
    how: &How,
) -> Result<(), JpipRefusal> {
    let Some(line) = channel.line().and_then(|line| line.udp()) else { return Ok(()) };
    for item in std::mem::take(&mut request.abandon) {
        let malformed = RequestError::Malformed { field: "abandon", what: "not a list of chunks" };
        let chunks = AbandonedChunks::parse(&item).ok_or_else(|| JpipRefusal::of_request(malformed))?;
        line.abandon(chunks.qid, chunks.numbers);
    }
    if let Some(address) = request.sendto.take() {
        // Only to the host that asks, and as an address: no name is looked up for a peer.
        let address = address.parse::<SocketAddr>().ok().filter(|address| address.ip() == peer.address().ip());
        let elsewhere = || JpipRefusal::of_request(RequestError::Unsupported { field: "sendto" });
        line.invite(address.ok_or_else(elsewhere)?, how.query_len);
    }
    // No request of a session is planned before the chunks of those before it are settled.
    request.barrier = None;
    Ok(())
}

/// Serves a window. `on` is the session and channel of the response; `grant` says that the channel is new, and in
/// the session of which other channel.
async fn serve(
    app: &Arc<App>,
    peer: &Arc<Peer>,
    request: &jpip::Request,
    target: &Arc<OpenTarget>,
    on: Option<(&Session, &Channel)>,
    grant: Option<Option<&str>>,
    mut how: How,
) -> Result<Response<Body>, JpipRefusal> {
    let limits = Limits::default();
    let line = on.and_then(|(_, channel)| channel.line());
    let mut place = None;
    let model = match on {
        Some((session, channel)) => {
            let tid = target.logical().tid_for(stream_of(request)?);
            if let Some(number) = &how.number {
                number.wait().await;
            }
            let place = place.insert(channel.arrive(request.wait));
            let turn = Number::queue(how.number.take(), session.turn(channel, &tid)).await;
            let overtaken = place.is_overtaken();
            let Some(mut turn) = turn else {
                let busy = JpipRefusal::later("the channel is busy with another response", 1);
                return if overtaken { superseded(app, request) } else { Err(busy) };
            };
            // What a client says that it holds is true whether it gets an answer or not.
            turn.model.apply(request, target.logical());
            if overtaken {
                return superseded(app, request);
            }
            if line.is_none() {
                place.deliver_to(peer);
            }
            Model::Session(turn)
        }
        None => Model::Request(Box::new(CacheModel::for_stateless(request, target.logical(), &limits))),
    };
    let metrics = app.metrics();
    let indexes = app.serving().indexes();
    let mut planned = response::Response::plan(request, target, model, place, indexes, &metrics.jpip_aborted).await?;
    let at_hand = match line {
        Some(_) => planned.read_first().await?,
        None => planned.read_ahead(if on.is_some() { response::AT_ONCE } else { 0 }).await?,
    };
    let mut fields = planned.headers();
    let content_type = HeaderValue::from_static(planned.content_type());
    let len = match on {
        // The length is told before the first byte, so the rest of a long response is planned once for that alone.
        None => Some(at_hand + planned.count_rest().await?),
        // What was read ahead may end a little beyond that limit.
        Some(_) => (planned.is_whole() && at_hand <= response::AT_ONCE).then_some(at_hand),
    };
    let channels = app.serving().channels();
    let mut granted = None;
    if let (Some(of), Some((session, channel))) = (grant, on) {
        let cid = channels.open(of, session, channel).map_err(channel_refusal)?;
        let transport = app.transports().describe(line.map(|line| &**line), peer.local().ip());
        fields.push(("JPIP-cnew", format!("cid={cid},path={},{transport}", app.jpip_path())));
        granted = Some(cid);
    }
    // It may have been deleted since it was found, and its channels closed before this one was there.
    let gone = match &granted {
        Some(_) => app.serving().targets().find(target.name()).await.err(),
        None => None,
    };
    // A channel whose response is still on its way is closed after that.
    let by = request.cid.as_deref();
    let close = |list: &CloseList| {
        if line.is_some() { channels.may_close(list, by) } else { channels.close(list, by).map(drop) }
    };
    let closed = request.cclose.as_ref().map_or(Ok(()), |list| close(list).map_err(channel_refusal));
    if let Err(refusal) = gone.map_or(closed, Err) {
        // Nobody will hear of the new channel, so it must not stay open.
        if let Some(cid) = granted {
            let _closed = channels.close(&CloseList::Channels(vec![cid]), None);
        }
        return Err(refusal);
    }
    if let Some(line) = line {
        let cid = granted.or_else(|| request.cid.clone()).unwrap_or_default();
        let (line, cclose) = (Arc::clone(line), request.cclose.clone());
        let carriage = Carriage { response: Box::new(planned), line, cid, qid: request.qid, cclose };
        if !how.is_head && !carrying::start(app, carriage) {
            return Err(JpipRefusal::later("too many responses of the channel wait for their client", 1));
        }
        return Ok(head_of(Body::empty(), fields, content_type, "no-store"));
    }
    let first = planned.take_ahead();
    let peer = Arc::clone(peer);
    let body = if first.last {
        JpipBody::whole(first.pieces, Box::new(planned.into_ticket()), len, peer, metrics)
    } else {
        JpipBody::streamed(first.pieces, Box::new(planned), len, peer, metrics)
    };
    let caching = if on.is_some() { "no-store" } else { "no-cache" };
    Ok(head_of(Body::new(body), fields, content_type, caching))
}

/// A response with these header fields.
pub(super) fn head_of(
    body: Body,
    fields: Vec<(&'static str, String)>,
    content_type: HeaderValue,
    caching: &'static str,
) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::try_from(value);
        // What the core makes is printable; a value that is not would be left out rather than spoil the response.
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

/// Says that a newer request of the channel came before anything of this one was sent [15444-9 D.1].
fn superseded(app: &App, request: &jpip::Request) -> Result<Response<Body>, JpipRefusal> {
    if let Some(list) = &request.cclose {
        app.serving().channels().close(list, request.cid.as_deref()).map_err(channel_refusal)?;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Closes channels and says no more.
fn close(app: &App, request: &jpip::Request) -> Result<Response<Body>, JpipRefusal> {
    if let Some(list) = &request.cclose {
        app.serving().channels().close(list, request.cid.as_deref()).map_err(channel_refusal)?;
    }
    let mut body = Vec::new();
    encode_eor(EorReason::WindowDone, &mut body);
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    let stream = stream_of(request).unwrap_or_default();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(stream.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The stream that answers the request.
fn stream_of(request: &jpip::Request) -> Result<StreamType, JpipRefusal> {
    request.stream_type().map_err(JpipRefusal::of_request)
}

/// The name of the target: the field, or else the path; empty if neither names one.
pub(super) fn target_name(request: &jpip::Request, path: &str) -> Result<String, JpipRefusal> {
    if let Some(name) = &request.target {
        return Ok(name.clone());
    }
    let name = percent_decode_str(path).decode_utf8();
    name.map(std::borrow::Cow::into_owned).map_err(|_error| JpipRefusal::new(StatusCode::NOT_FOUND, "no such target"))
}

/// Why a channel was not found, opened or closed.
pub(super) fn channel_refusal(refusal: Refusal) -> JpipRefusal {
    match refusal {
        Refusal::NoSuchChannel => JpipRefusal::no_such_channel(),
        other => JpipRefusal::later(other.to_string(), 10),
    }
}

async fn read_body(headers: &http::HeaderMap, body: RequestBody) -> Result<Bytes, JpipRefusal> {
    let too_large = || JpipRefusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 16 MiB");
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|len| len > MAX_BODY) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await;
    match read {
        Err(_late) => Err(JpipRefusal::new(StatusCode::REQUEST_TIMEOUT, "the body comes too slowly")),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_broken)) => Err(JpipRefusal::new(StatusCode::BAD_REQUEST, "the body ended too early")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}
