//! A codestream in words and in JSON, for `index` and `inspect`.

use std::{
    fmt::{self, Write as _},
    io,
};

use codestream::{
    CodestreamIndex, FrameExtents, Indexed, IndexedTile, MainHeader, MarkerSegment,
    markers::{ProgressionOrder, Wavelet, code},
};
use serde_json::{Value, json};

/// The name of a marker as the standard prints it.
pub(super) fn marker_name(marker: u16) -> &'static str {
    match marker {
        code::SOC => "SOC",
        code::CAP => "CAP",
        code::SIZ => "SIZ",
        code::COD => "COD",
        code::COC => "COC",
        code::TLM => "TLM",
        code::PRF => "PRF",
        code::PLM => "PLM",
        code::PLT => "PLT",
        code::CPF => "CPF",
        code::QCD => "QCD",
        code::QCC => "QCC",
        code::RGN => "RGN",
        code::POC => "POC",
        code::PPM => "PPM",
        code::PPT => "PPT",
        code::CRG => "CRG",
        code::COM => "COM",
        _ => "unknown marker",
    }
}

const fn progression_name(order: ProgressionOrder) -> &'static str {
    match order {
        ProgressionOrder::Lrcp => "LRCP",
        ProgressionOrder::Rlcp => "RLCP",
        ProgressionOrder::Rpcl => "RPCL",
        ProgressionOrder::Pcrl => "PCRL",
        ProgressionOrder::Cprl => "CPRL",
    }
}

/// What a main header says, a line a subject.
pub(super) struct HeaderLines<'a>(pub(super) &'a MainHeader);

impl fmt::Display for HeaderLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let siz = self.0.siz();
        let coding = self.0.coding();
        let (width, height) = siz.reduced_size(0);
        writeln!(f, "  image      {width} × {height}, {} components", siz.component_count())?;
        for (number, component) in siz.components.iter().enumerate().take(4) {
            let sign = if component.signed { "signed" } else { "unsigned" };
            let (dx, dy) = (component.xrsiz, component.yrsiz);
            writeln!(f, "             component {number}: {} bits {sign}, sampled 1:{dx} 1:{dy}", component.precision)?;
        }
        writeln!(f, "  tiles      {} × {} of {} × {}", siz.tiles_across(), siz.tiles_down(), siz.xtsiz, siz.ytsiz)?;
        let first = coding.component(0);
        let wavelet = match first.wavelet {
            Wavelet::Reversible53 => "5/3 (reversible)",
            Wavelet::Irreversible97 => "9/7 (irreversible)",
        };
        let kind = if self.0.is_htj2k() { "HTJ2K" } else { "Part 1" };
        writeln!(f, "  coding     {kind}, {wavelet}, {} decomposition levels", first.levels)?;
        let (sop, eph) = (if coding.sop { ", SOP" } else { "" }, if coding.eph { ", EPH" } else { "" });
        writeln!(
            f,
            "  packets    {}, {} quality layers{sop}{eph}",
            progression_name(coding.progression),
            coding.layers
        )?;
        let mut sizes = String::new();
        for level in 0..=first.levels {
            let (ppx, ppy) = first.precinct_exponents(level);
            let _written = match (ppx, ppy) {
                (15, 15) => write!(sizes, " whole"),
                _ => write!(sizes, " {}×{}", 1u32 << ppx, 1u32 << ppy),
            };
        }
        writeln!(
            f,
            "  precincts {sizes} (lowest resolution first); code-blocks {}×{}",
            1u32 << first.xcb,
            1u32 << first.ycb
        )
    }
}

/// Packets of a codestream: how many there are, how many hold something, and their bytes.
pub(super) fn packet_totals(index: &CodestreamIndex) -> (u64, u64, u64) {
    let mut totals = (0, 0, 0);
    for table in index.tiles.iter().flat_map(|tile| tile.packets.iter().chain(tile.packed_headers.iter().flatten())) {
        for span in table.iter().flatten() {
            totals.2 += span.len;
        }
    }
    for table in index.tiles.iter().flat_map(|tile| &tile.packets) {
        totals.0 += table.len();
        totals.1 += table.iter().flatten().count() as u64;
    }
    totals
}

/// What the layout means for whoever asks for a window of the image.
pub(super) fn explanation(index: &CodestreamIndex) -> Vec<String> {
    let mut lines = Vec::new();
    let header = &index.header;
    let (siz, coding) = (header.siz(), header.coding());
    let first = coding.component(0);
    let (width, height) = siz.reduced_size(0);
    let levels = header.max_decomposition_levels();
    let (small_w, small_h) = siz.reduced_size(levels);
    lines.push(format!(
        "{} resolutions can be asked for, from {small_w} × {small_h} to {width} × {height}.",
        levels + 1
    ));
    let (ppx, ppy) = first.precinct_exponents(first.levels);
    let precinct = (1u64 << ppx, 1u64 << ppy);
    let tile = (u64::from(siz.xtsiz), u64::from(siz.ytsiz));
    let cell = (precinct.0.min(tile.0), precinct.1.min(tile.1));
    if cell.0 >= u64::from(width) && cell.1 >= u64::from(height) {
        lines.push("One tile and one precinct per resolution: a region costs as much as the whole image.".into());
    } else {
        lines.push(format!("A region costs what the {} × {} cells that it touches hold.", cell.0, cell.1));
    }
    lines.push(match coding.layers {
        1 => "One quality layer: quality cannot be traded for bytes.".into(),
        layers => format!("{layers} quality layers: each adds quality to what the ones before have brought."),
    });
    let has = |marker| {
        let mut tile_segments = index.tiles.iter().flat_map(|tile| &tile.header_segments);
        index.main_segments.iter().chain(&mut tile_segments).any(|segment| segment.marker == marker)
    };
    let lengths: Vec<&str> =
        [code::TLM, code::PLT, code::PLM].into_iter().filter(|&marker| has(marker)).map(marker_name).collect();
    lines.push(if lengths.is_empty() {
        "No packet lengths are stored; all come from the packet headers.".into()
    } else {
        format!("Lengths are stored ({}); they were checked against the packet headers.", lengths.join(", "))
    });
    if has(code::PPM) || has(code::PPT) {
        lines.push("Packet headers are packed in marker segments; each is delivered in front of its packet.".into());
    }
    lines
}

/// Writes one codestream's index as a JSON object, tile by tile, so that no copy of it is built.
pub(super) fn write_json(
    out: &mut dyn io::Write,
    extents: &FrameExtents,
    Indexed { index, damage }: &Indexed,
    foreign_index: Option<&str>,
) -> io::Result<()> {
    let siz = index.header.siz();
    let coding = index.header.coding();
    let (width, height) = siz.reduced_size(0);
    let head = json!({
        "extents": extents.extents().iter().map(|e| json!([e.offset, e.len])).collect::<Vec<_>>(),
        "length": index.codestream_len,
        "width": width,
        "height": height,
        "components": siz.component_count(),
        "tiles_across": siz.tiles_across(),
        "tiles_down": siz.tiles_down(),
        "progression": progression_name(coding.progression),
        "layers": coding.layers,
        "levels": index.header.max_decomposition_levels(),
        "htj2k": index.header.is_htj2k(),
        "foreign_index": foreign_index,
        "main_header": index.main_header_len,
        "main_segments": segments(&index.main_segments),
        "damage": damage.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let text = head.to_string();
    write!(out, "{},\"tiles\":[", text.strip_suffix('}').unwrap_or(&text))?;
    for (number, tile) in index.tiles.iter().enumerate() {
        out.write_all(if number == 0 { b"\n" } else { b",\n" })?;
        write_tile(out, tile)?;
    }
    out.write_all(b"]}")
}

fn write_tile(out: &mut dyn io::Write, tile: &IndexedTile) -> io::Result<()> {
    let parts: Vec<Value> = tile.tile_parts.iter().map(|part| json!([part.span.offset, part.span.len])).collect();
    write!(
        out,
        "{{\"tile\":{},\"tile_parts\":{},\"segments\":{},\"packets\":[",
        tile.tile.0,
        Value::from(parts),
        segments(&tile.header_segments)
    )?;
    for (component, table) in tile.packets.iter().enumerate() {
        out.write_all(if component == 0 { b"[" } else { b",[" })?;
        for (entry, _) in table.iter().enumerate() {
            if entry > 0 {
                out.write_all(b",")?;
            }
            let layers = u64::from(tile.coding.layers.max(1));
            let entry = entry as u64;
            let layer = u16::try_from(entry % layers).unwrap_or(u16::MAX);
            let component = u16::try_from(component).unwrap_or(u16::MAX);
            let parts = tile.packet(component, entry / layers, layer);
            out.write_all(b"[")?;
            for (number, part) in parts.iter().enumerate() {
                write!(out, "{}{},{}", if number == 0 { "" } else { "," }, part.offset, part.len)?;
            }
            out.write_all(b"]")?;
        }
        out.write_all(b"]")?;
    }
    out.write_all(b"]}")
}

fn segments(segments: &[MarkerSegment]) -> Value {
    segments.iter().map(|s| json!([marker_name(s.marker), s.span.offset, s.span.len])).collect()
}
