//! Metadata-bins: how the boxes of a target are cut up for delivery [15444-9 A.3.6].
//!
//! Bin 0 holds the top-level boxes in file order. A contiguous codestream box becomes a placeholder that
//! leads to incremental codestream data-bins; an XML box always becomes a placeholder with a bin of its own,
//! because OpenJPIP's decoder takes the last metadata message for the XML (clients.md 16); other big boxes
//! likewise, so that bin 0 stays small. An association box becomes one when something inside it does: its length would
//! be wrong otherwise. Index boxes are left out: they speak of offsets that no client has.

mod file;
mod placeholder;

use bytes::BufMut;

pub use self::file::for_file;
use self::placeholder::{Access, OriginalHeader, Placeholder};
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
    MetadataBins::of(vec![MetadataBin::default()])
}

/// The bins of a DICOM image: signature, file type and header boxes, and one placeholder for all frames.
#[must_use]
pub fn for_frames(image: &ImagePresentation) -> MetadataBins {
    let (mut file, mut box_ends) = file_head(image);
    let original = OriginalHeader::Absent(*b"jp2c");
    let (first, count) = if image.frames > 1 { (1, image.frames) } else { (0, 1) };
    file.extend(Placeholder { original, access: Access::Codestreams { first, count } }.encode());
    box_ends.push(file.len() as u64);
    MetadataBins::of(vec![MetadataBin { id: 0, box_type: None, parts: vec![Part::Inline(file.into())], box_ends }])
}

/// What stands before a codestream of `len` bytes in a JP2 or JPH file of this image: the boxes that metadata-bin 0 of
/// one frame holds, and the header of the codestream box [15444-1 I.5.4, 15444-15 D].
#[must_use]
pub fn before_codestream(image: &ImagePresentation, len: u64) -> Vec<u8> {
    let (mut file, _) = file_head(&ImagePresentation { frames: 1, ..image.clone() });
    match u32::try_from(len.saturating_add(8)) {
        Ok(short) => {
            file.put_u32(short);
            file.put_slice(b"jp2c");
        }
        // Longer than LBox can tell: XLBox does [15444-1 I.4].
        Err(_) => {
            file.put_u32(1);
            file.put_slice(b"jp2c");
            file.put_u64(len.saturating_add(16));
        }
    }
    file
}

/// The boxes of a file up to its codestreams, and where each ends.
fn file_head(image: &ImagePresentation) -> (Vec<u8>, Vec<u64>) {
    let (mut file, mut ends) = (Vec::new(), Vec::new());
    let mut push = |box_type, contents: &[u8]| {
        push_box(&mut file, box_type, contents);
        ends.push(file.len() as u64);
    };
    push(*b"jP  ", &[0x0D, 0x0A, 0x87, 0x0A]);
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
    push(*b"ftyp", &file_type);
    if brand == *b"jpx " {
        // Reader requirements with the one feature that is always there: a codestream [15444-2 M.11.1].
        push(*b"rreq", &[1, 0x80, 0x80, 0, 1, 0, 5, 0x80, 0, 0]);
    }
    push(*b"jp2h", &header_contents(image));
    (file, ends)
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

/// Boxes made here are short of 4 GiB, so the short form of the header always does.
pub(crate) fn push_box(out: &mut Vec<u8>, box_type: [u8; 4], contents: &[u8]) {
    out.put_u32(u32::try_from(contents.len() + 8).unwrap_or(u32::MAX));
    out.put_slice(&box_type);
    out.put_slice(contents);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_raw_codestream_has_an_empty_bin_0() {
        let metadata = raw_codestream();
        assert_eq!(metadata.bins.len(), 1);
        assert!(metadata.bin(0).unwrap().is_empty());
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
        // A file of its own begins with the same boxes.
        for (len, header) in [(5, "0000000d6a703263"), (1 << 32, "000000016a7032630000000100000010")] {
            let before = before_codestream(&image, len);
            let boxes = before.strip_suffix(
                &*(0..header.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&header[at..at + 2], 16).unwrap())
                    .collect::<Vec<_>>(),
            );
            assert!(single.starts_with(boxes.unwrap()), "the boxes of metadata-bin 0");
        }
        image.frames = 3;
        image.components = vec![(8, false), (8, true), (8, false)];
        image.colour = Colour::Srgb;
        let Part::Inline(many) = &for_frames(&image).bins[0].parts[0].clone() else { panic!() };
        let text = hex(many);
        assert!(text.ends_with("000000000000000100000003"), "CSID 1, NCS 3: {text}");
        assert!(text.contains("6a707820") && text.contains("62706363078707"));
    }
}
