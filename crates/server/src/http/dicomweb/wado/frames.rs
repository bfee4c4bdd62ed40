//! Frames [PS3.18 10.4.1.1.6]: codestreams as they lie, native ones cut out by their size.

use std::{ops::Range, sync::Arc};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::Response,
};
use codestream::Extent;
use dicom_bridge::{TransferSyntax, outgoing::EXPLICIT_LITTLE};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    instances::{Places, find_one, instance_url, read},
    range::{Wanted, wanted},
};
use crate::{
    app::App,
    http::{
        dicomweb::{
            accept::{Accepted, Offer, Transfer},
            body::{self, Bytestream, Part},
        },
        error::Problem,
    },
    serving::frame_table::{FramePlace, FrameTable, NoFrames},
    storage::StoredFile,
};

/// Frames of one request.
const MAX_FRAMES: usize = 10_000;

pub(super) const OCTET_STREAM: &str = "application/octet-stream";

/// `GET …/instances/{instance}/frames/{list}`: the frames in a body of several parts, or a single one, of which a range
/// may be asked for.
pub(super) async fn retrieve(
    State(app): State<Arc<App>>,
    places: Places,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let places = read(places)?;
    let numbers = frame_numbers(places.get("frames").map_or("", String::as_str))?;
    let row = find_one(&app, &places).await?;
    let (file, table) = open(&app, row.object_key).await?;
    let frames: Option<Vec<_>> = numbers.iter().map(|&number| Some((number, table.frame(number)?))).collect();
    let frames =
        frames.ok_or_else(|| Problem::not_found(format!("the object holds the frames 1 to {}", table.count())))?;
    let accepted = Accepted::of(&headers, query.as_deref());
    let chosen = accepted.choose(|offer| {
        let media_type = frame_type(&table.transfer_syntax, offer)?;
        (offer.is_multipart || frames.len() == 1).then_some((offer.is_multipart, media_type))
    });
    let (is_multipart, media_type) = chosen.ok_or_else(|| not_acceptable(&table.transfer_syntax))?;
    let content_type = format!("{media_type}; transfer-syntax={}", sent_syntax(&table.transfer_syntax));
    if let ([(number, FramePlace::Extents(extents))], false) = (frames.as_slice(), is_multipart) {
        let tag = format!("\"{}-{number}\"", row.object_key);
        return single(&headers, &content_type, &tag, &file, extents);
    }
    if let ([(_, place)], false) = (frames.as_slice(), is_multipart) {
        return body::response(&content_type, Body::from_stream(bytes_of(&file, &table, place.clone())));
    }
    let location = instance_url(&app, &row);
    let parts = frames.into_iter().map(move |(number, place)| {
        let (content_type, location) = (content_type.clone(), format!("{location}/frames/{number}"));
        Ok(Part { content_type, location, bytes: bytes_of(&file, &table, place) })
    });
    body::multipart(&media_type, stream::iter(parts).boxed())
}

/// All frames of an object in one body.
pub(super) async fn retrieve_all(
    app: &Arc<App>,
    row: &catalog::InstanceRow,
    accepted: &Accepted,
) -> Result<Response, Problem> {
    let (file, table) = open(app, row.object_key).await?;
    let chosen = accepted.choose(|offer| frame_type(&table.transfer_syntax, offer).filter(|_| offer.is_multipart));
    let media_type = chosen.ok_or_else(|| not_acceptable(&table.transfer_syntax))?;
    let content_type = format!("{media_type}; transfer-syntax={}", sent_syntax(&table.transfer_syntax));
    let location = instance_url(app, row);
    let parts = (1..=table.count()).filter_map(move |number| {
        let (content_type, location) = (content_type.clone(), format!("{location}/frames/{number}"));
        Some(Ok(Part { content_type, location, bytes: bytes_of(&file, &table, table.frame(number)?) }))
    });
    body::multipart(&media_type, stream::iter(parts).boxed())
}

async fn open(app: &App, key: catalog::ObjectKey) -> Result<(Arc<StoredFile>, Arc<FrameTable>), Problem> {
    app.serving().frames().open(key).await.map_err(|why| match why {
        NoFrames::Object(reason) => Problem::not_found(format!("the object has no frames: {reason}")),
        NoFrames::Store(error) => Problem::unavailable(&error),
    })
}

/// The numbers of a list that is divided by commas.
fn frame_numbers(list: &str) -> Result<Vec<u64>, Problem> {
    let number = |text: &str| {
        let is_number = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let numbers: Option<Vec<u64>> = list.split(',').take(MAX_FRAMES + 1).map(number).collect();
    let numbers = numbers.filter(|numbers| numbers.len() <= MAX_FRAMES);
    numbers.ok_or_else(|| {
        Problem::bad_request(format!("frames are named by up to {MAX_FRAMES} numbers from 1, divided by commas"))
    })
}

/// The media type of frames of this transfer syntax to who makes this offer, as the client calls it.
fn frame_type(stored: &TransferSyntax, offer: &Offer) -> Option<String> {
    let own = stored.frame_media_type();
    let is_native = own == OCTET_STREAM;
    let takes = match &offer.transfer {
        Transfer::Usual | Transfer::Any => true,
        Transfer::Named(uid) if is_native => uid == sent_syntax(stored),
        Transfer::Named(uid) => uid == stored.uid(),
    };
    if !takes {
        return None;
    }
    if offer.media_type.covers(own) {
        return Some(own.to_owned());
    }
    let called = offer.media_type.essence();
    let is_alias = ALIASES.iter().any(|(alias, meant)| *alias == called && *meant == own);
    // Bytes are bytes: viewers take compressed frames under this name, and look at the transfer syntax.
    (is_alias || called == OCTET_STREAM).then(|| called.to_owned())
}

/// What older clients call them.
const ALIASES: [(&str, &str); 5] = [
    ("image/x-dicom-rle", "image/dicom-rle"),
    ("image/x-jls", "image/jls"),
    ("image/jph", "image/jphc"),
    ("image/dicom+jp2", "image/jp2"),
    ("image/dicom+jpx", "image/jpx"),
];

/// The transfer syntax that frames are sent in: native ones are little endian, whatever they were.
fn sent_syntax(stored: &TransferSyntax) -> &str {
    if stored.is_native() { EXPLICIT_LITTLE } else { stored.uid() }
}

fn not_acceptable(stored: &TransferSyntax) -> Problem {
    let (own, syntax) = (stored.frame_media_type(), sent_syntax(stored));
    let words = format!("the frames are {own}; transfer-syntax={syntax}, which is not accepted");
    Problem::new(StatusCode::NOT_ACCEPTABLE, words)
}

fn bytes_of(file: &Arc<StoredFile>, table: &Arc<FrameTable>, place: FramePlace) -> Bytestream {
    match place {
        FramePlace::Extents(extents) => Arc::clone(file).stream(ranges(&extents, &(0..u64::MAX))),
        FramePlace::Converted(bits) => {
            let (file, table) = (Arc::clone(file), Arc::clone(table));
            body::written(move |out| table.convert(&file, &bits, out))
        }
    }
}

/// A body of bytes that lie in the object, or the range of it that is asked for.
pub(super) fn single(
    headers: &HeaderMap,
    content_type: &str,
    tag: &str,
    file: &Arc<StoredFile>,
    extents: &[Extent],
) -> Result<Response, Problem> {
    let len = extents.iter().map(|extent| extent.len).sum();
    let (status, range) = match wanted(headers, len, tag) {
        Wanted::All => (StatusCode::OK, 0..len),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
    };
    let bytes = Arc::clone(file).stream(ranges(extents, &range));
    let mut response = body::response(content_type, Body::from_stream(bytes))?;
    *response.status_mut() = status;
    let header = |text: String| HeaderValue::try_from(text).map_err(|error| Problem::internal(&error));
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    fields.insert(header::ETAG, header(tag.to_owned())?);
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let text = format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1));
            fields.insert(header::CONTENT_RANGE, header(text)?);
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            fields.insert(header::CONTENT_RANGE, header(format!("bytes */{len}"))?);
        }
        _ => {}
    }
    Ok(response)
}

/// A part of what lies in these extents, counted as if they were one.
pub(super) fn ranges(extents: &[Extent], part: &Range<u64>) -> Vec<Range<u64>> {
    let mut before = 0u64;
    let mut found = Vec::with_capacity(extents.len());
    for extent in extents {
        let end = before.saturating_add(extent.len);
        let (from, to) = (part.start.max(before), part.end.min(end));
        if from < to {
            let start = extent.offset.saturating_add(from - before);
            found.push(start..start.saturating_add(to - from));
        }
        before = end;
    }
    found
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is found")]
mod tests {
    use super::*;

    #[test]
    fn lists_of_frames_are_numbers_from_1() {
        assert_eq!(frame_numbers("1").unwrap(), [1]);
        assert_eq!(frame_numbers("3,1,3").unwrap(), [3, 1, 3]);
        let many = "1,".repeat(MAX_FRAMES) + "1";
        for list in ["", "0", "01", "-1", "+1", "1,", ",1", "1;2", "a", "99999999999999999999", many.as_str()] {
            assert!(frame_numbers(list).is_err(), "{list}");
        }
        assert!(frame_numbers(&many[2..]).is_ok());
    }

    #[test]
    fn a_part_of_several_extents_is_the_pieces_of_it() {
        let extents = [Extent::new(100, 10), Extent::new(200, 10)];
        assert_eq!(ranges(&extents, &(0..20)), [100..110, 200..210]);
        assert_eq!(ranges(&extents, &(5..12)), [105..110, 200..202]);
        assert_eq!(ranges(&extents, &(10..20)), [200..210]);
        assert_eq!(ranges(&extents, &(3..3)), []);
        assert_eq!(ranges(&extents, &(0..u64::MAX)), [100..110, 200..210]);
    }
}
