//! `precinct transcode --coding`: decoded, and encoded anew with other code-blocks.

use std::io::Write;

use anyhow::{Context as _, bail};
use codestream::{
    ByteSource, CodestreamIndex, FrameSource, Layout, Limits, index_codestream,
    markers::Wavelet,
    relayout::{
        Precincts,
        file::{FileForm, Transcoded},
        replace::{only_codestream, replace_codestream},
    },
};
use lossless::{BlockCoder, Parameters, Tiles};
use openjpeg::DecodeParameters;

use super::Coding;

/// Writes `source` with the samples of its only codestream encoded anew; `layout` says what is asked for.
pub(super) fn recode(
    source: &dyn ByteSource,
    coding: Coding,
    layout: Layout,
    form: FileForm,
    out: &mut dyn Write,
) -> anyhow::Result<Transcoded> {
    let limits = Limits::default();
    let extents = only_codestream(source, &limits)?;
    let stored = FrameSource::new(source, &extents);
    let before = index_codestream(&stored, &limits)?;
    if let Some(damage) = before.damage.iter().find(|damage| damage.loses_packets()) {
        bail!("it is damaged: {damage}");
    }
    let parameters = parameters(&before.index, coding, layout);

    let max_samples = parameters.limits.max_samples;
    let allowed = DecodeParameters { max_samples, threads: threads(), ..DecodeParameters::default() };
    let bytes = read(&stored)?;
    let decoded = openjpeg::decode_with_warnings(&bytes, &allowed).context("it cannot be decoded")?;
    drop(bytes);
    for warning in &decoded.warnings {
        eprintln!("decoding: {warning}");
    }
    if is_lossy(&before.index) {
        eprintln!("lossy original: its samples are kept as they decode, what they lost before stays lost");
    }
    let encoded = lossless::encode(&decoded.image, &parameters)?;
    replace_codestream(source, (&encoded.codestream, &encoded.index.header), &limits, form, out)?;

    let tables = encoded.index.tiles.iter().flat_map(|tile| &tile.packets);
    Ok(Transcoded {
        codestreams: 1,
        bytes: (before.index.codestream_len, encoded.index.codestream_len),
        packets: tables.map(codestream::PacketTable::len).sum(),
        damage: before.damage,
    })
}

/// The coding of the original wherever `layout` does not ask for another.
fn parameters(index: &CodestreamIndex, coding: Coding, mut layout: Layout) -> Parameters {
    let (siz, tile) = (index.header.siz(), index.header.coding());
    let first = tile.component(0);
    layout.progression = layout.progression.or(Some(tile.progression));
    if layout.precincts == Precincts::Keep {
        layout.precincts = Precincts::Wanted(first.precincts.iter().rev().copied().collect());
    }
    let grid = Tiles { x0: siz.xtosiz, y0: siz.ytosiz, width: siz.xtsiz, height: siz.ytsiz };
    Parameters {
        coder: match coding {
            Coding::Ht => BlockCoder::Ht,
            Coding::Part1 => BlockCoder::Part1,
        },
        levels: first.levels,
        code_block: (first.xcb, first.ycb),
        tiles: (siz.tile_count() > 1).then_some(grid),
        component_transform: tile.mct,
        layout,
        ..Parameters::default()
    }
}

/// Whether any tile-component went through the irreversible wavelet.
fn is_lossy(index: &CodestreamIndex) -> bool {
    let components = index.header.siz().component_count();
    let mut codings: Vec<_> = index.tiles.iter().map(|tile| &tile.coding).collect();
    codings.dedup_by(|a, b| std::sync::Arc::ptr_eq(a, b));
    let is_irreversible = |number| codings.iter().any(|tile| tile.component(number).wavelet == Wavelet::Irreversible97);
    (0..components).any(is_irreversible)
}

/// The codestream in memory, as OpenJPEG wants it.
fn read(stored: &dyn ByteSource) -> anyhow::Result<Vec<u8>> {
    let len = usize::try_from(stored.len())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).context("the codestream does not fit into memory")?;
    bytes.resize(len, 0);
    stored.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// One thread for each processor.
fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}
