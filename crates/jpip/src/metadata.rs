//! Metadata-bins: how the boxes of a target are cut up for delivery [15444-9 A.3.6].
//!
//! Bin 0 holds the top-level boxes in file order. A contiguous codestream box becomes a placeholder that
//! leads to incremental codestream data-bins; an XML box always becomes a placeholder with a bin of its own,
//! because OpenJPIP's decoder takes the last metadata message for the XML (clients.md 16); other big boxes
//! likewise, so that bin 0 stays small. Index boxes are left out: they speak of offsets that no client has.

use bytes::{BufMut, Bytes};
use codestream::boxes::BoxHeader;
use codestream::jp2::Jp2File;
use codestream::{Extent, FrameExtents};

use crate::target::{MetadataBin, MetadataBins, Part};

/// What a DICOM image looks like when it is presented as a file of the JP2 family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePresentation {
    /// Width in samples.
    pub width: u32,
    /// Height in samples.
    pub height: u32,
    /// Bits of each component and whether its samples have a sign; one entry a component.
    pub components: Vec<(u8, bool)>,
    /// Colour space of the decoded components.
    pub colour: Colour,
    /// Number of frames.
    pub frames: u32,
    /// Whether the codestreams are HTJ2K.
    pub htj2k: bool,
}

/// The enumerated colour spaces that medical images use [15444-1 I.5.3.3].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// One component of grey.
    Grey,
    /// Red, green, blue; also what a multiple component transform inverts to.
    Srgb,
    /// Luminance and colour differences that no transform of the codestream inverts.
    Sycc,
}

/// The bins of a raw codestream: an empty bin 0, which is sent all the same.
#[must_use]
pub fn raw_codestream() -> MetadataBins {
    MetadataBins { bins: vec![MetadataBin { id: 0, box_type: None, parts: Vec::new() }] }
}

/// The bins of a file of the JP2 family that is a stored object by itself; no byte of it is read.
#[must_use]
pub fn for_file(file: &Jp2File) -> MetadataBins {
    let mut root = Vec::new();
    let mut others = Vec::new();
    for top in &file.boxes {
        let header = &top.header;
        match (&header.box_type, top.codestream) {
            (b"iptr" | b"cidx" | b"fidx", _) => {}
            (_, Some(codestream)) => {
                root.push(Part::Inline(Placeholder::codestreams(header, u64::from(codestream), 1).encode()));
            }
            (b"j2cx", None) => root.push(Part::Inline(multiple_codestreams(file, header).encode())),
            // Media data hold codestream bytes that the fragment tables name; nothing to hand out as metadata.
            (b"mdat" | b"jp2c" | b"ftbl", None) => root.push(Part::Inline(Placeholder::closed(header).encode())),
            (kind, None) if is_own_bin(kind, header.contents) => {
                let id = others.len() as u64 + 1;
                root.push(Part::Inline(Placeholder::contents(header, id).encode()));
                let parts = vec![Part::Object(header.contents)];
                others.push(MetadataBin { id, box_type: Some(header.box_type), parts });
            }
            _ => match root.last_mut() {
                // Neighbours in the file stay one part.
                Some(Part::Object(last)) if last.end() == header.span.offset => {
                    *last = Extent::new(last.offset, last.len.saturating_add(header.span.len));
                }
                _ => root.push(Part::Object(header.span)),
            },
        }
    }
    // Readers that take the last metadata message for the XML find an XML box there.
    others.sort_by_key(|bin| bin.box_type == Some(*b"xml "));
    let mut bins = vec![MetadataBin { id: 0, box_type: None, parts: root }];
    bins.append(&mut others);
    MetadataBins { bins }
}

/// The bins of a DICOM image: signature, file type and header boxes, and one placeholder for all frames.
#[must_use]
pub fn for_frames(image: &ImagePresentation) -> MetadataBins {
    let mut file = Vec::new();
    push_box(&mut file, *b"jP  ", &[0x0D, 0x0A, 0x87, 0x0A]);
    let brand = match (image.frames, image.htj2k) {
        (0 | 1, true) => *b"jph ",
        (0 | 1, false) => *b"jp2 ",
        _ => *b"jpx ",
    };
    let mut file_type = Vec::new();
    file_type.put_slice(&brand);
    file_type.put_u32(0);
    file_type.put_slice(&brand);
    if brand == *b"jpx " {
        file_type.put_slice(if image.htj2k { b"jph " } else { b"jp2 " });
    }
    push_box(&mut file, *b"ftyp", &file_type);
    if brand == *b"jpx " {
        // Reader requirements with the one feature that is always there: a codestream [15444-2 M.11.1].
        push_box(&mut file, *b"rreq", &[1, 0x80, 0x80, 0, 1, 0, 5, 0x80, 0, 0]);
    }
    push_box(&mut file, *b"jp2h", &header_contents(image));
    let original = OriginalHeader::Absent(*b"jp2c");
    let (first, count) = if image.frames > 1 { (1, image.frames) } else { (0, 1) };
    file.extend(Placeholder { original, access: Access::Codestreams { first, count } }.encode());
    MetadataBins { bins: vec![MetadataBin { id: 0, box_type: None, parts: vec![Part::Inline(file.into())] }] }
}

/// The placeholder of a multiple codestream box, whose codestreams are numbered one after the other.
fn multiple_codestreams(file: &Jp2File, header: &BoxHeader) -> Placeholder {
    let lies_inside = |extents: &FrameExtents| {
        let first = extents.extents().first();
        first.is_some_and(|first| header.contents.offset <= first.offset && first.end() <= header.contents.end())
    };
    let first = file.codestreams.iter().position(lies_inside);
    let last = file.codestreams.iter().rposition(lies_inside);
    let Some((first, last)) = first.zip(last) else { return Placeholder::closed(header) };
    Placeholder::codestreams(header, first as u64, u32::try_from(last - first + 1).unwrap_or(u32::MAX))
}

/// A placeholder box [15444-9 A.3.6.3].
struct Placeholder {
    original: OriginalHeader,
    access: Access,
}

enum OriginalHeader {
    /// The header as it stands in the file.
    Verbatim(smallvec::SmallVec<[u8; 16]>),
    /// There is no such file; a header of unstated length.
    Absent([u8; 4]),
}

enum Access {
    /// The contents are in this metadata-bin.
    Bin(u64),
    /// The box stands for codestreams that arrive incrementally.
    Codestreams { first: u64, count: u32 },
    /// The contents are not available.
    None,
}

impl Placeholder {
    fn contents(header: &BoxHeader, bin: u64) -> Self {
        Self { original: OriginalHeader::Verbatim(header.header_bytes()), access: Access::Bin(bin) }
    }

    fn codestreams(header: &BoxHeader, first: u64, count: u32) -> Self {
        Self { original: OriginalHeader::Verbatim(header.header_bytes()), access: Access::Codestreams { first, count } }
    }

    fn closed(header: &BoxHeader) -> Self {
        Self { original: OriginalHeader::Verbatim(header.header_bytes()), access: Access::None }
    }

    fn encode(&self) -> Bytes {
        let mut body = Vec::new();
        let (flags, bin) = match self.access {
            Access::Bin(id) => (1, id),
            Access::Codestreams { count: 1, .. } => (4, 0),
            Access::Codestreams { .. } => (4 | 8, 0),
            Access::None => (0, 0),
        };
        body.put_u32(flags);
        body.put_u64(bin);
        match &self.original {
            OriginalHeader::Verbatim(bytes) => body.put_slice(bytes),
            OriginalHeader::Absent(box_type) => {
                body.put_u32(0);
                body.put_slice(box_type);
            }
        }
        if let Access::Codestreams { first, count } = self.access {
            body.put_u64(0); // EquivID
            body.put_u64(0); // EquivBH
            body.put_u64(first);
            if count > 1 {
                body.put_u32(count);
            }
        }
        let mut out = Vec::new();
        push_box(&mut out, *b"phld", &body);
        out.into()
    }
}

fn is_own_bin(kind: &[u8; 4], contents: Extent) -> bool {
    match kind {
        b"jP  " | b"ftyp" | b"jp2h" | b"rreq" | b"jpch" | b"jplh" | b"comp" => false,
        b"xml " => true,
        _ => contents.len > MAX_INLINE,
    }
}

fn header_contents(image: &ImagePresentation) -> Vec<u8> {
    let bits = |&(bits, signed): &(u8, bool)| bits.saturating_sub(1) & 0x7F | if signed { 0x80 } else { 0 };
    let depths: Vec<u8> = image.components.iter().map(bits).collect();
    let first = depths.first().copied().unwrap_or(7);
    let uniform = depths.iter().all(|&depth| depth == first);
    let mut header = Vec::new();
    header.put_u32(image.height);
    header.put_u32(image.width);
    header.put_u16(u16::try_from(depths.len()).unwrap_or(u16::MAX));
    // Compression type 7; colour space known (0); no intellectual property (0).
    header.put_slice(&[if uniform { first } else { 255 }, 7, 0, 0]);
    let mut contents = Vec::new();
    push_box(&mut contents, *b"ihdr", &header);
    if !uniform {
        push_box(&mut contents, *b"bpcc", &depths);
    }
    let mut colour = vec![1, 0, 0];
    colour.put_u32(match image.colour {
        Colour::Srgb => 16,
        Colour::Grey => 17,
        Colour::Sycc => 18,
    });
    push_box(&mut contents, *b"colr", &colour);
    contents
}

/// Boxes made here are a few bytes long, so the short form of the header always does.
fn push_box(out: &mut Vec<u8>, box_type: [u8; 4], contents: &[u8]) {
    out.put_u32(u32::try_from(contents.len() + 8).unwrap_or(u32::MAX));
    out.put_slice(&box_type);
    out.put_slice(contents);
}

/// Contents of a box that stays in bin 0, in bytes.
const MAX_INLINE: u64 = 4096;

#[cfg(test)]
mod tests {
    use codestream::testkit::files::{boxed, jp2_file};

    use super::*;

    fn header(box_type: [u8; 4], declared_len: u64, header_len: u8) -> BoxHeader {
        let span = Extent::new(100, declared_len);
        let contents = Extent::new(100 + u64::from(header_len), declared_len - u64::from(header_len));
        BoxHeader { box_type, header_len, span, contents, declared_len }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_3_6_3_placeholders_are_those_of_the_vectors() {
        let xml = Placeholder::contents(&header(*b"xml ", 508, 8), 1).encode();
        assert_eq!(hex(&xml), "0000001c70686c64000000010000000000000001000001fc786d6c20");
        let stream = Placeholder::codestreams(&header(*b"jp2c", 0x1234, 8), 0, 1).encode();
        assert_eq!(
            hex(&stream),
            "0000003470686c64000000040000000000000000000012346a703263000000000000000000000000000000000000000000000000"
        );
    }

    #[test]
    fn a_raw_codestream_has_an_empty_bin_0() {
        let metadata = raw_codestream();
        assert_eq!(metadata.bins.len(), 1);
        assert!(metadata.bin(0).unwrap().is_empty());
    }

    #[test]
    fn a_3_6_the_boxes_of_a_file_keep_their_order() {
        let xml = boxed(*b"xml ", b"<?xml version=\"1.0\"?><a/>");
        let boxes = [
            boxed(*b"iptr", &[0; 16]),
            boxed(*b"uuid", &[7; 20]),
            xml.clone(),
            boxed(*b"uuid", &[8; 5000]),
            boxed(*b"j2cx", &[boxed(*b"jp2c", b"two"), boxed(*b"jp2c", &[9; 5000])].concat()),
            boxed(*b"j2cx", b""),
            boxed(*b"cidx", &[0; 9]),
            xml,
        ];
        let file = [jp2_file(b"one"), boxes.concat()].concat();
        let bins = for_file(&Jp2File::parse(&file, &codestream::Limits::default()).unwrap()).bins;
        let described: Vec<_> = bins.iter().map(|bin| (bin.id, bin.box_type, bin.len())).collect();
        assert_eq!(described[1..], [(2, Some(*b"uuid"), 5000), (1, Some(*b"xml "), 25), (3, Some(*b"xml "), 25)]);
        let bin_0: Vec<String> = bins[0]
            .parts
            .iter()
            .map(|part| match part {
                Part::Inline(bytes) => hex(bytes),
                Part::Object(extent) => hex(&file[extent.offset as usize..extent.end() as usize]),
                Part::Span(_) => panic!(),
            })
            .collect();
        assert_eq!(bin_0.len(), 8, "{bin_0:?}");
        assert!(
            bin_0[0].starts_with("0000000c6a502020") && bin_0[0].contains("6a703268"),
            "jP, ftyp, jp2h as they stand"
        );
        assert!(bin_0[1].starts_with("0000003470686c6400000004") && bin_0[1].ends_with("0000000000000000"));
        assert_eq!(bin_0[2], hex(&boxed(*b"uuid", &[7; 20])));
        assert_eq!(bin_0[3], "0000001c70686c6400000001000000000000000100000021786d6c20");
        assert!(bin_0[4].starts_with("0000001c70686c64000000010000000000000002"));
        assert!(bin_0[5].starts_with("0000003870686c640000000c0000000000000000000013a36a326378"), "{}", bin_0[5]);
        assert!(bin_0[5].ends_with("000000000000000100000002"), "two codestreams from number 1 on");
        assert_eq!(bin_0[6], "0000001c70686c64000000000000000000000000000000086a326378");
        assert!(bin_0[7].starts_with("0000001c70686c64000000010000000000000003"));
    }

    #[test]
    fn frames_share_one_placeholder() {
        let mut image = ImagePresentation {
            width: 512,
            height: 256,
            components: vec![(12, false)],
            colour: Colour::Grey,
            frames: 1,
            htj2k: false,
        };
        let Part::Inline(single) = &for_frames(&image).bins[0].parts[0].clone() else { panic!() };
        let text = hex(single);
        assert!(text.starts_with("0000000c6a5020200d0a870a"));
        assert!(text.contains("69686472000001000000020000010b070000"), "256 rows of 512 samples of 12 bits");
        assert!(text.contains("70686c64000000040000000000000000000000006a703263"), "a placeholder for codestreams");
        assert!(text.ends_with("0000000000000000"), "CSID 0");
        image.frames = 3;
        image.components = vec![(8, false), (8, true), (8, false)];
        image.colour = Colour::Srgb;
        let Part::Inline(many) = &for_frames(&image).bins[0].parts[0].clone() else { panic!() };
        let text = hex(many);
        assert!(text.ends_with("000000000000000100000003"), "CSID 1, NCS 3: {text}");
        assert!(text.contains("6a707820") && text.contains("62706363078707"));
    }
}
