//! The captured body of a JPIP response, message by message [15444-9 A.2, D.3].

use std::{collections::BTreeMap, io::Write};

use anyhow::{Context as _, anyhow, bail};
use codestream::ByteSource;
use jpip::message::{EorReason, Head, MAX_MESSAGE_HEADER, MessageDecoder, MessageHeader};
use jpip::{DataBinClass, data_bin::CodestreamId};

/// Prints each message of a JPP-stream or JPT-stream with its position in the capture, and what each class sums up to.
///
/// No body is read, so a capture of any size costs no memory.
///
/// # Errors
///
/// Bytes that are no message, with their position; a capture without a single message is called none at all.
pub(super) fn show(capture: &dyn ByteSource, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut totals = Totals::default();
    let end = messages(capture, &mut totals, out);
    // What was read before the fault is shown, whatever comes of it.
    let end = match end {
        Err(error) if totals.is_empty() => return Err(error.context(NOT_KNOWN)),
        Ok(end) if totals.is_empty() && end.is_none() => bail!(NOT_KNOWN),
        Err(error) => {
            out.flush()?;
            return Err(error);
        }
        Ok(end) => end,
    };
    let total = capture.len();
    if end.is_none() {
        writeln!(out, "{total:>10}  the bytes end without an end of response")?;
    }
    writeln!(out, "{:>10}  totals", end.unwrap_or(total))?;
    for (class, of_class) in &totals.0 {
        let Total { messages, bytes, completed } = of_class;
        let name = class_name(*class);
        let class = class.number();
        writeln!(
            out,
            "{class:>10}  {name}: {messages} messages, {bytes} bytes of bodies, {completed} data-bins completed"
        )?;
    }
    out.flush()?;
    match end.map(|end| (end, total.saturating_sub(end))) {
        Some((end, more)) if more > 0 => bail!("{more} bytes follow the end of the response at byte {end}"),
        _ => Ok(()),
    }
}

/// Prints the messages; the position behind the end of response, if there is one.
fn messages(capture: &dyn ByteSource, totals: &mut Totals, out: &mut dyn Write) -> anyhow::Result<Option<u64>> {
    let mut decoder = MessageDecoder::new();
    let mut at = 0;
    let mut buffer = [0; MAX_MESSAGE_HEADER];
    while at < capture.len() {
        let n = capture.read_at(at, &mut buffer)?;
        let bytes = buffer.get(..n).unwrap_or_default();
        let (head, used) = decoder
            .decode(bytes)
            .with_context(|| format!("at byte {at}"))?
            .with_context(|| format!("at byte {at}: the bytes end inside a message header"))?;
        let body = at + used as u64;
        let (len, there) = (head.body_len(), capture.len().saturating_sub(body));
        write!(out, "{at:>10}  ")?;
        match head {
            Head::Message(header) => {
                totals.add(&header);
                writeln!(out, "{}", message_line(&header))?;
            }
            Head::Reserved { class, len } => writeln!(out, "reserved class {class}: length {len}")?,
            Head::EndOfResponse { reason, .. } => {
                // The code as it was sent: every open one reads as the same reason.
                let code = bytes.get(1).copied().unwrap_or_else(|| reason.code());
                writeln!(out, "end of response: {code}, {}", reason_in_words(code))?;
            }
        }
        if len > there {
            return Err(anyhow!("at byte {at}: a body of {len} bytes, of which {there} are there"));
        }
        at = body + len;
        if matches!(head, Head::EndOfResponse { .. }) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn message_line(header: &MessageHeader) -> String {
    let MessageHeader { class, codestream: CodestreamId(codestream), id, offset, len, complete, aux } = *header;
    let codestream = match class {
        DataBinClass::Metadata => String::new(),
        _ => format!(", codestream {codestream}"),
    };
    let complete = if complete { ", complete" } else { "" };
    let aux = if class.has_aux() { format!(", aux {aux}") } else { String::new() };
    format!("{} {id}{codestream}: offset {offset}, length {len}{complete}{aux}", class_name(class))
}

/// The name of a class as the standard's table of message classes has it [15444-9 A.2.2].
const fn class_name(class: DataBinClass) -> &'static str {
    match class {
        DataBinClass::Precinct => "precinct data-bin",
        DataBinClass::ExtendedPrecinct => "extended precinct data-bin",
        DataBinClass::TileHeader => "tile header data-bin",
        DataBinClass::Tile => "tile data-bin",
        DataBinClass::ExtendedTile => "extended tile data-bin",
        DataBinClass::MainHeader => "main header data-bin",
        DataBinClass::Metadata => "metadata-bin",
    }
}

/// The reason with this code, and what it means [15444-9 D.3].
const fn reason_in_words(code: u8) -> &'static str {
    match EorReason::from_code(code) {
        EorReason::ImageDone => "image done: all of the target has been sent",
        EorReason::WindowDone => "window done: all that the view-window needs has been sent",
        EorReason::WindowChange => "window change: a newer request took over",
        EorReason::ByteLimit => "byte limit: the length that was asked for is reached",
        EorReason::QualityLimit => "quality limit: the quality that was asked for is reached",
        EorReason::SessionLimit => "session limit: the session can serve no more requests",
        EorReason::ResponseLimit => "response limit: the same request brings more",
        EorReason::NonSpecified if code == EorReason::NonSpecified.code() => "non-specified: any other reason",
        EorReason::NonSpecified => "reserved: the standard gives this code no meaning",
    }
}

/// What the messages of each class sum up to.
#[derive(Debug, Default)]
struct Totals(BTreeMap<DataBinClass, Total>);

#[derive(Debug, Default)]
struct Total {
    messages: u64,
    bytes: u64,
    completed: u64,
}

impl Totals {
    fn add(&mut self, header: &MessageHeader) {
        let total = self.0.entry(header.class).or_default();
        total.messages += 1;
        total.bytes = total.bytes.saturating_add(header.len);
        total.completed += u64::from(header.complete);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const NOT_KNOWN: &str = "neither DICOM nor JPEG 2000 nor the body of a JPIP response";
