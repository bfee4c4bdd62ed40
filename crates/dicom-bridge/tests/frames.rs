//! Frames out of fragments: offset tables of every kind, right and wrong [PS3.5 A.4].
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::cell::Cell;
use std::io;

use codestream::{ByteSource, Extent, FrameSource};
use dicom_bridge::write::{NewAttributes, NewObject, OffsetTable};
use dicom_bridge::{PixelData, ScanLimits, scan};
use proptest::prelude::*;

const LOSSLESS: &str = "1.2.840.10008.1.2.4.90";
const HTJ2K: &str = "1.2.840.10008.1.2.4.201";
const RLE: &str = "1.2.840.10008.1.2.5";

/// Something that begins like a codestream and holds `n` in every byte behind that.
fn codestream(n: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![n; len];
    bytes[..4].copy_from_slice(&[0xff, 0x4f, 0xff, 0x51]);
    bytes
}

fn three() -> Vec<Vec<u8>> {
    vec![codestream(1, 1000), codestream(2, 2001), codestream(3, 30)]
}

fn object(transfer_syntax: &str, number_of_frames: Option<&str>) -> NewObject {
    let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.7", transfer_syntax);
    if let Some(number) = number_of_frames {
        object.attributes().put(0x0028_0008, "IS", number);
    }
    object
}

/// The frames' bytes without pad bytes, and the notes.
fn frames_of(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<String>) {
    let bytes = bytes.to_vec();
    let PixelData::Encapsulated { frames, notes } = scan(&bytes, &ScanLimits::default()).unwrap().pixel_data else {
        panic!("not encapsulated")
    };
    let read = |extents| {
        let source = FrameSource::new(&bytes, extents);
        let mut frame = vec![0; usize::try_from(source.len()).unwrap()];
        source.read_exact_at(0, &mut frame).unwrap();
        if frame.last() == Some(&0) {
            frame.pop();
        }
        frame
    };
    (frames.iter().map(read).collect(), notes)
}

/// Scans `frames` written like this, and expects the same frames and notes that hold `note`, or none.
#[track_caller]
fn check(number: Option<&str>, table: OffsetTable, fragments_per_frame: usize, note: &str) {
    for transfer_syntax in [LOSSLESS, HTJ2K] {
        let object = object(transfer_syntax, number);
        let bytes = object.encapsulate(&three(), table.clone(), fragments_per_frame).unwrap();
        let (frames, notes) = frames_of(&bytes);
        assert_eq!(frames.len(), 3, "{notes:?}");
        assert!(frames == three(), "other bytes: {notes:?}");
        assert_eq!(notes.is_empty(), note.is_empty(), "{notes:?}");
        assert!(notes.iter().any(|line| line.contains(note)) || note.is_empty(), "{notes:?}");
    }
}

#[test]
fn a_4_every_right_offset_table_gives_the_frames() {
    check(Some("3"), OffsetTable::Basic, 1, "");
    check(Some("3"), OffsetTable::Basic, 4, "");
    check(Some("3"), OffsetTable::Empty, 1, "");
    check(Some("3"), OffsetTable::Empty, 4, "");
    check(Some("3"), OffsetTable::Extended, 1, "");
}

#[test]
fn a_wrong_offset_table_is_noticed_and_not_used() {
    let wrong = "Offset Table was not used";
    for fragments in [1, 3] {
        check(Some("3"), OffsetTable::Verbatim(vec![0, 0, 0]), fragments, wrong);
        check(Some("3"), OffsetTable::Verbatim(vec![0, 9, 18]), fragments, wrong);
        check(Some("3"), OffsetTable::Verbatim(vec![0xffff_ffff; 3]), fragments, wrong);
        check(Some("3"), OffsetTable::Verbatim(vec![0]), fragments, wrong);
        check(Some("3"), OffsetTable::ExtendedVerbatim(vec![0, 8, 16], vec![8; 3]), fragments, wrong);
        check(Some("3"), OffsetTable::ExtendedVerbatim(vec![u64::MAX; 3], vec![u64::MAX; 3]), fragments, wrong);
    }
    // Offsets of fragments that begin no frame: the second fragment of the first frame, as it happens.
    check(Some("3"), OffsetTable::Verbatim(vec![0, 342, 684]), 3, wrong);
}

#[test]
fn extended_lengths_that_do_not_fit_are_noted() {
    let offsets = vec![0, 1008, 1008 + 2010];
    check(Some("3"), OffsetTable::ExtendedVerbatim(offsets.clone(), vec![1000, 2001, 30]), 1, "");
    check(Some("3"), OffsetTable::ExtendedVerbatim(offsets.clone(), vec![1000, 2001, 3000]), 1, "Lengths");
    check(Some("3"), OffsetTable::ExtendedVerbatim(offsets, vec![1000]), 1, "Lengths");
}

#[test]
fn c9_a_number_of_frames_that_lies_is_noted() {
    for fragments in [1, 3] {
        for number in ["5", "2", "2147483647", "99999999999999", "-1", "0", "1A"] {
            check(Some(number), OffsetTable::Basic, fragments, "NumberOfFrames says");
            check(Some(number), OffsetTable::Empty, fragments, "NumberOfFrames says");
        }
        check(None, OffsetTable::Empty, fragments, "NumberOfFrames says 1, 3 were found");
    }
}

#[test]
fn a_4_all_fragments_of_a_single_frame_object_are_its_frame() {
    for number in [None, Some("1"), Some("1 ")] {
        for table in [OffsetTable::Basic, OffsetTable::Empty] {
            let frame = codestream(7, 999);
            let bytes = object(LOSSLESS, number).encapsulate(std::slice::from_ref(&frame), table, 10).unwrap();
            assert_eq!(frames_of(&bytes), (vec![frame], vec![]));
        }
    }
    let bytes = object(LOSSLESS, Some("1")).encapsulate(&three(), OffsetTable::Empty, 1).unwrap();
    let (frames, notes) = frames_of(&bytes);
    assert_eq!((frames.len(), notes.len()), (1, 1), "{notes:?}");
}

#[test]
fn a_frame_that_is_no_codestream_keeps_its_place() {
    for table in [OffsetTable::Basic, OffsetTable::Empty, OffsetTable::Extended] {
        let mut frames = three();
        frames[1][..4].fill(9);
        let bytes = object(LOSSLESS, Some("3")).encapsulate(&frames, table, 1).unwrap();
        let (found, notes) = frames_of(&bytes);
        assert!(found == frames && notes[0].contains("frame 2"), "{notes:?}");
    }
}

#[test]
fn a_frame_may_be_a_whole_jp2_file() {
    let mut frames = three();
    frames[2] = [b"\0\0\0\x0cjP  \r\n\x87\n".as_slice(), &[1; 99]].concat();
    let bytes = object(LOSSLESS, Some("3")).encapsulate(&frames, OffsetTable::Empty, 2).unwrap();
    assert_eq!(frames_of(&bytes), (frames, vec![]));
}

#[test]
fn codings_without_a_mark_need_a_table_or_one_fragment_each() {
    let frames = vec![vec![1; 10], vec![2; 12]];
    for (table, fragments, readable) in
        [(OffsetTable::Basic, 2, true), (OffsetTable::Empty, 1, true), (OffsetTable::Empty, 2, false)]
    {
        let bytes = object(RLE, Some("2")).encapsulate(&frames, table, fragments).unwrap();
        match scan(&bytes, &ScanLimits::default()).unwrap().pixel_data {
            PixelData::Encapsulated { .. } => assert!(readable && frames_of(&bytes).0 == frames),
            PixelData::Unusable(reason) => assert!(!readable && reason.contains("cannot be told apart")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn c10_pixel_data_without_fragments_are_unusable() {
    let bytes = object(LOSSLESS, Some("3")).encapsulate(&[], OffsetTable::Empty, 1).unwrap();
    let pixel_data = scan(&bytes, &ScanLimits::default()).unwrap().pixel_data;
    assert!(matches!(pixel_data, PixelData::Unusable(reason) if reason.contains("no fragment")));
}

#[test]
fn pixel_data_inside_a_sequence_do_not_count() {
    let mut icon = NewAttributes::new();
    icon.put(0x0028_0010, "US", "64").put(0x7fe0_0010, "OW", "1\\2\\3");
    let mut with_icon = object(LOSSLESS, Some("3"));
    with_icon.attributes().put_sequence(0x0088_0200, vec![icon]).put(0x0028_0010, "US", "480");
    let bytes = with_icon.encapsulate(&three(), OffsetTable::Basic, 1).unwrap();
    assert!(frames_of(&bytes).0 == three());
    assert_eq!(scan(&bytes, &ScanLimits::default()).unwrap().attributes.rows, Some(480));

    let bytes = with_icon.to_bytes().unwrap();
    assert!(matches!(scan(&bytes, &ScanLimits::default()).unwrap().pixel_data, PixelData::None));
}

#[test]
fn what_the_transfer_syntax_forbids_is_unusable() {
    let mut native = object(LOSSLESS, None);
    native.attributes().put(0x7fe0_0010, "OW", "1\\2\\3");
    let bytes = native.to_bytes().unwrap();
    let pixel_data = scan(&bytes, &ScanLimits::default()).unwrap().pixel_data;
    assert!(matches!(pixel_data, PixelData::Unusable(reason) if reason.contains("not encapsulated")));

    let explicit = "1.2.840.10008.1.2.1";
    let mut native = object(explicit, None);
    native.attributes().put(0x7fe0_0010, "OW", "1\\2\\3");
    let bytes = native.to_bytes().unwrap();
    assert!(matches!(scan(&bytes, &ScanLimits::default()).unwrap().pixel_data, PixelData::Native(_)));
    let bytes = object(explicit, None).encapsulate(&three(), OffsetTable::Basic, 1).unwrap();
    let pixel_data = scan(&bytes, &ScanLimits::default()).unwrap().pixel_data;
    assert!(matches!(pixel_data, PixelData::Unusable(reason) if reason.contains("against the transfer syntax")));
}

/// An object whose every fragment is blown up to 100 MB, which are not there: it counts what is read.
struct Huge {
    /// Offset in the huge object and bytes, of what is there.
    pieces: Vec<(u64, Vec<u8>)>,
    len: u64,
    bytes_read: Cell<u64>,
}

impl ByteSource for Huge {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.len.saturating_sub(offset)).unwrap().min(buf.len());
        for (at, byte) in (offset..).zip(&mut buf[..wanted]) {
            let piece = self.pieces.partition_point(|(start, _)| *start <= at).checked_sub(1).map(|n| &self.pieces[n]);
            *byte = piece.and_then(|(start, bytes)| bytes.get(usize::try_from(at - start).unwrap())).map_or(0, |b| *b);
        }
        self.bytes_read.set(self.bytes_read.get() + wanted as u64);
        Ok(wanted)
    }
}

#[test]
fn an_object_of_many_gigabytes_costs_its_headers() {
    const FRAME: u64 = 100_000_000;
    let bytes = object(LOSSLESS, Some("200")).encapsulate(&[], OffsetTable::Empty, 1).unwrap();
    let (head, sequence_end) = bytes.split_at(bytes.len() - 8);
    let mut huge = Huge { pieces: vec![(0, head.to_vec())], len: head.len() as u64, bytes_read: Cell::new(0) };
    for _ in 0..200 {
        let len = u32::try_from(FRAME).unwrap().to_le_bytes();
        huge.pieces.push((huge.len, [&[0xfe, 0xff, 0x00, 0xe0], len.as_slice(), &codestream(0, 8)].concat()));
        huge.len += 8 + FRAME;
    }
    huge.pieces.push((huge.len, sequence_end.to_vec()));
    huge.len += 8;
    let PixelData::Encapsulated { frames, notes } = scan(&huge, &ScanLimits::default()).unwrap().pixel_data else {
        panic!("not encapsulated")
    };
    assert_eq!((frames.len(), notes), (200, vec![]));
    assert_eq!(frames[199].extents(), [Extent::new(huge.len - 8 - FRAME, FRAME)]);
    assert!(huge.bytes_read.get() < 65_536, "{} bytes of {} read", huge.bytes_read.get(), huge.len);
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in(
        lens in prop::collection::vec(40usize..400, 1..12),
        fragments in 1usize..5,
        table in 0..3,
    ) {
        let frames: Vec<Vec<u8>> = lens.iter().zip(1..).map(|(len, n)| codestream(n, *len)).collect();
        let (table, fragments) = match table {
            0 => (OffsetTable::Empty, fragments),
            1 => (OffsetTable::Basic, fragments),
            _ => (OffsetTable::Extended, 1),
        };
        let number = frames.len().to_string();
        let bytes = object(HTJ2K, Some(&number)).encapsulate(&frames, table, fragments).unwrap();
        let (found, notes) = frames_of(&bytes);
        prop_assert!(found == frames && notes.is_empty(), "{:?}", notes);
    }
}
