//! `precinct inspect`.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufWriter, Seek as _, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use codestream::{FrameSource, Limits, boxes::tree::box_tree, index_codestream};
use dicom_bridge::{PixelData, ScannedObject};

use super::{
    describe::{self, HeaderLines},
    local::{Content, LocalFile},
};

mod capture;

/// Show what a file holds: boxes, marker segments, tiles, packets, frames, or the messages of a JPIP response
///
/// Takes a DICOM object, a JP2, JPX or JPH file, a bare codestream, or the captured body of a JPIP response (a
/// JPP-stream or a JPT-stream); also an http:// URL whose body is one of these. No attribute of a patient is shown.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    precinct inspect slide.jp2\n  \
    precinct inspect 'http://127.0.0.1:8080/jpip/slide.jp2?fsiz=256,256'\n  \
    curl -s 'http://127.0.0.1:8080/jpip?fsiz=256,256' > answer.jpp && precinct inspect answer.jpp")]
pub(super) struct Inspect {
    /// File or URL
    #[arg(value_name = "FILE|URL")]
    what: String,
    /// List every tile, not the first few
    #[arg(long)]
    all: bool,
}

/// Tiles that are listed without `--all`.
const FEW: usize = 8;

/// Shows one file; exit status 1 if it cannot be read.
pub(super) async fn run(args: Inspect) -> anyhow::Result<ExitCode> {
    let file = if args.what.starts_with("http://") || args.what.starts_with("https://") {
        download(&args.what).await?
    } else {
        File::open(Path::new(&args.what)).with_context(|| format!("{} cannot be opened", args.what))?
    };
    let shown = tokio::task::spawn_blocking(move || show(LocalFile::of(file)?, args.all)).await?;
    shown.with_context(|| format!("{} cannot be shown", args.what))?;
    Ok(ExitCode::SUCCESS)
}

/// The body behind a URL, in a temporary file that is gone with its last handle.
async fn download(url: &str) -> anyhow::Result<File> {
    let mut response = reqwest::get(url).await.context("the URL cannot be fetched")?;
    let status = response.status();
    if !status.is_success() {
        let words = response.text().await.unwrap_or_default();
        bail!("the server answered {status}: {}", words.trim());
    }
    let mut file = tempfile::tempfile()?;
    while let Some(chunk) = response.chunk().await? {
        file.write_all(&chunk)?;
    }
    file.rewind()?;
    Ok(file)
}

fn show(file: LocalFile, all: bool) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let content = file.content()?;
    match &content {
        Content::Unknown => {
            capture::show(&file, &mut out)?;
            return Ok(out.flush()?);
        }
        Content::Dicom(object) => show_object(object, &mut out)?,
        Content::Jp2(jp2) => {
            writeln!(out, "JP2 family file, brand {:?}, {} codestreams", jp2.brand, jp2.codestreams.len())?;
            let (tree, damage) = box_tree(&file, &Limits::default())?;
            for node in &tree {
                let header = node.header;
                let name: String =
                    header.box_type.iter().flat_map(|&b| std::ascii::escape_default(b)).map(char::from).collect();
                let indent = usize::from(node.depth) * 2 + 2;
                writeln!(out, "{:indent$}{name}  {} bytes at {}", "", header.span.len, header.span.offset)?;
            }
            for finding in damage.iter().chain(&jp2.damage).map(ToString::to_string).collect::<BTreeSet<_>>() {
                writeln!(out, "  damage: {finding}")?;
            }
            for refusal in &jp2.refusals {
                writeln!(out, "  codestream {} cannot be served: {}", refusal.codestream, refusal.reason)?;
            }
        }
        Content::RawCodestream => writeln!(out, "codestream without a file around it")?,
    }
    if let Content::Dicom(object) = &content
        && !(matches!(object.pixel_data, PixelData::Encapsulated { .. })
            && (object.transfer_syntax.is_jpeg2000() || object.transfer_syntax.is_htj2k()))
    {
        return Ok(out.flush()?);
    }
    for (number, extents) in file.codestreams(&content)?.iter().enumerate() {
        let pieces: Vec<String> =
            extents.extents().iter().take(4).map(|extent| format!("{}+{}", extent.offset, extent.len)).collect();
        let more = if extents.extents().len() > 4 { " …" } else { "" };
        writeln!(out, "codestream {number}: {} bytes at {}{more}", extents.len(), pieces.join(" "))?;
        match index_codestream(&FrameSource::new(&file, extents), &Limits::default()) {
            Err(error) => writeln!(out, "  cannot be indexed: {error}")?,
            Ok(indexed) => {
                write!(out, "{}", HeaderLines(&indexed.index.header))?;
                for segment in &indexed.index.main_segments {
                    let name = describe::marker_name(segment.marker);
                    writeln!(
                        out,
                        "  {name} {:04X}  {} bytes at {}",
                        segment.marker, segment.span.len, segment.span.offset
                    )?;
                }
                show_tiles(&indexed.index, all, &mut out)?;
                for damage in &indexed.damage {
                    writeln!(out, "  damage: {damage}")?;
                }
            }
        }
    }
    Ok(out.flush()?)
}

fn show_object(object: &ScannedObject, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "DICOM object, {} ({})", object.transfer_syntax.name(), object.transfer_syntax.uid())?;
    match &object.pixel_data {
        PixelData::None => writeln!(out, "  no pixel data")?,
        PixelData::Native(_) => writeln!(out, "  pixel data not encapsulated")?,
        PixelData::Unusable(reason) => writeln!(out, "  pixel data unusable: {reason}")?,
        PixelData::Encapsulated { frames, notes } => {
            writeln!(out, "  {} frames, {} announced", frames.len(), object.attributes.number_of_frames)?;
            for note in notes {
                writeln!(out, "  note: {note}")?;
            }
        }
    }
    Ok(())
}

fn show_tiles(index: &codestream::CodestreamIndex, all: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let shown = if all { index.tiles.len() } else { FEW };
    for tile in index.tiles.iter().take(shown) {
        let present: usize = tile.packets.iter().map(|table| table.iter().flatten().count()).sum();
        let segments: Vec<&str> = tile.header_segments.iter().map(|s| describe::marker_name(s.marker)).collect();
        let parts = tile.tile_parts.len();
        writeln!(out, "  tile {}: {parts} tile-parts, {present} packets {}", tile.tile.0, segments.join(" "))?;
    }
    if index.tiles.len() > shown {
        writeln!(out, "  … and {} tiles more (--all)", index.tiles.len() - shown)?;
    }
    let (packets, present, bytes) = describe::packet_totals(index);
    writeln!(out, "  {packets} packets, {present} present, {bytes} bytes")?;
    Ok(())
}
