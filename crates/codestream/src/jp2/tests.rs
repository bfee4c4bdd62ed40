use super::*;

fn boxed(box_type: &[u8; 4], contents: &[u8]) -> Vec<u8> {
    let mut bytes = (contents.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend_from_slice(box_type);
    bytes.extend_from_slice(contents);
    bytes
}

fn file(after_ftyp: &[&[u8]]) -> Vec<u8> {
    let mut bytes = SIGNATURE_BOX.to_vec();
    bytes.extend(boxed(b"ftyp", b"jp2 \0\0\0\0jp2 "));
    bytes.extend(after_ftyp.concat());
    bytes
}

fn parse(bytes: &[u8]) -> Result<Jp2File, ParseError> {
    Jp2File::parse(&bytes.to_vec(), &Limits::default())
}

fn extents(file: &Jp2File) -> Vec<Vec<(u64, u64)>> {
    let pairs = |stream: &FrameExtents| stream.extents().iter().map(|e| (e.offset, e.len)).collect();
    file.codestreams.iter().map(pairs).collect()
}

fn fragment_list(entries: &[(u64, u32, u16)]) -> Vec<u8> {
    let mut list = (entries.len() as u16).to_be_bytes().to_vec();
    for (offset, len, reference) in entries {
        list.extend_from_slice(&offset.to_be_bytes());
        list.extend_from_slice(&len.to_be_bytes());
        list.extend_from_slice(&reference.to_be_bytes());
    }
    boxed(b"ftbl", &boxed(b"flst", &list))
}

#[test]
fn what_a_file_begins_like() {
    assert_eq!(sniff(&[0xFF, 0x4F, 0xFF, 0x51, 0]), Some(FileKind::RawCodestream));
    assert_eq!(sniff(&file(&[])), Some(FileKind::Jp2Family));
    assert_eq!(sniff(&SIGNATURE_BOX[..11]), None);
    assert_eq!(sniff(b""), None);
    assert_eq!(sniff(b"\xff\xd8\xff\xe0"), None);
}

#[test]
fn the_header_box_is_read() {
    let ihdr = boxed(b"ihdr", &[0, 0, 0, 5, 0, 0, 1, 0, 0, 3, 255, 7, 0, 0]);
    let bpcc = boxed(b"bpcc", &[7, 0x8B, 15]);
    let srgb = boxed(b"colr", &[1, 0, 0, 0, 0, 0, 16]);
    let icc = boxed(b"colr", b"\x02\0\0profile");
    let pclr = boxed(b"pclr", &[1, 0, 3, 7, 7, 7]);
    let jp2h = boxed(b"jp2h", &[ihdr, bpcc, srgb, icc, pclr, boxed(b"cmap", &[0; 4])].concat());
    let read = parse(&file(&[&jp2h, &boxed(b"jp2c", b"....")])).unwrap();
    let image = read.header.image.unwrap();
    assert_eq!((image.width, image.height, image.components, image.bits), (256, 5, 3, 255));
    assert_eq!(read.header.bits_per_component, [7, 0x8B, 15]);
    assert_eq!(read.header.palette, Some((256, 3)));
    assert!(read.header.has_component_mapping && !read.header.has_channel_definition);
    let [Colour::Enumerated(16), Colour::Icc { profile }] = read.header.colours[..] else { panic!() };
    assert_eq!(profile.len, 7);
    assert_eq!(read.brand, FileBrand::Jp2);
    assert!(read.damage.is_empty());
}

#[test]
fn codestreams_are_numbered_at_the_top_first_and_then_inside_j2cx() {
    let one = boxed(b"jp2c", b"one");
    let inner = boxed(b"j2cx", &boxed(b"jp2c", b"three"));
    let j2cx = boxed(b"j2cx", &[boxed(b"jp2c", b"zwei"), inner].concat());
    let bytes = file(&[&one, &j2cx, &boxed(b"jp2c", b"laster")]);
    let read = parse(&bytes).unwrap();
    let lens: Vec<_> = read.codestreams.iter().map(FrameExtents::len).collect();
    assert_eq!(lens, [3, 6, 4, 5]);
    let of_boxes: Vec<_> = read.boxes.iter().map(|top| top.codestream).collect();
    assert_eq!(of_boxes, [None, None, Some(0), None, Some(1)]);
}

#[test]
fn a_file_without_ftyp_and_jp2h_is_taken() {
    let bytes = [&SIGNATURE_BOX[..], &boxed(b"jp2c", b"codestream")].concat();
    let read = parse(&bytes).unwrap();
    assert_eq!((read.brand, read.codestreams.len()), (FileBrand::Other, 1));
    assert_eq!(read.header, Jp2Header::default());
}

#[test]
fn a_codestream_box_up_to_the_end_of_the_file_and_one_cut_by_it() {
    let read = parse(&file(&[b"\0\0\0\0jp2cabcdef"])).unwrap();
    assert_eq!(read.codestreams[0].len(), 6);
    assert!(read.damage.is_empty());
    let read = parse(&file(&[b"\0\0\x01\0jp2cabcdef"])).unwrap();
    assert_eq!(read.codestreams[0].len(), 6);
    assert_eq!(read.damage.len(), 1);
}

#[test]
fn garbage_after_the_last_box_is_damage_only() {
    for garbage in [&b"\0\0\0\x05what"[..], b"\n", &[0; 40], b"\0\0\0\x01abcd\0\0\0\0\0\0\0\x01"] {
        let read = parse(&file(&[&boxed(b"jp2c", b"abc"), garbage])).unwrap();
        assert_eq!(read.codestreams[0].len(), 3);
        assert_eq!(read.damage.len(), 1, "{garbage:?}");
    }
}

#[test]
fn no_signature_or_no_codestream_is_refused() {
    assert!(parse(b"").is_err());
    assert!(parse(&boxed(b"jp2c", b"abc")).is_err());
    assert!(parse(&file(&[&boxed(b"xml ", b"<a/>")])).is_err());
}

#[test]
fn m_11_3_fragments_inside_the_file_make_a_codestream() {
    let bytes = file(&[&boxed(b"mdat", b"0123456789"), &fragment_list(&[(44, 3, 0), (40, 2, 0)])]);
    let read = parse(&bytes).unwrap();
    assert_eq!(extents(&read), [[(44, 3), (40, 2)]]);
    assert!(read.refusals.is_empty());
}

#[test]
fn a34_a_fragment_elsewhere_is_refused_but_keeps_its_number() {
    let elsewhere = fragment_list(&[(40, 2, 0), (0, 5, 1)]);
    let table = boxed(b"dtbl", &[&b"\0\x01"[..], &boxed(b"url ", b"\0\0\0\0file:///etc/passwd\0")].concat());
    let read = parse(&file(&[&table, &elsewhere, &boxed(b"jp2c", b"abc")])).unwrap();
    assert_eq!(read.codestreams.len(), 2);
    assert!(read.codestreams[0].is_empty());
    assert_eq!(read.refusals[0].codestream, 0);
    assert!(read.refusals[0].reason.contains("another file"));
    assert_eq!(read.codestreams[1].len(), 3);
}

#[test]
fn fragments_past_the_file_are_cut_and_what_follows_left_out() {
    let bytes = file(&[&fragment_list(&[(0, 5, 0), (50, 5000, 0), (1, 1, 0)])]);
    let read = parse(&bytes).unwrap();
    let len = bytes.len() as u64;
    assert_eq!(extents(&read), [[(0, 5), (50, len - 50)]]);
    assert_eq!(read.damage.len(), 1);
    let read = parse(&file(&[&fragment_list(&[(u64::MAX, 5, 0)])])).unwrap();
    assert_eq!(read.refusals.len(), 1);
}

#[test]
fn a_small_table_does_not_become_a_huge_codestream() {
    let read = parse(&file(&[&fragment_list(&vec![(0, 5000, 0); 500])])).unwrap();
    assert_eq!(read.refusals.len(), 1);
    assert!(read.codestreams[0].is_empty());
}

#[test]
fn a_file_inside_a_frame_is_counted_in_the_object() {
    let bytes = file(&[&boxed(b"jp2c", b"codestream")]);
    let inner = parse(&bytes).unwrap();
    let len = bytes.len() as u64;
    let outer = FrameExtents::new(vec![Extent::new(1000, len - 4), Extent::new(3000, 4)], 4000).unwrap();
    let found = inner.codestreams_within(&outer).unwrap();
    assert_eq!(found[0].extents(), [Extent::new(1000 + len - 10, 6), Extent::new(3000, 4)]);
    let short = FrameExtents::new(vec![Extent::new(0, 10)], 10).unwrap();
    assert!(inner.codestreams_within(&short).is_err());
}

#[test]
fn a32_index_boxes_of_zeros_or_lies_are_recognised() {
    let stream = boxed(b"jp2c", b"abc");
    let zero = file(&[&boxed(b"iptr", &[0; 16]), &stream, &boxed(b"cidx", &[0; 16]), &boxed(b"fidx", &[0; 16])]);
    assert_eq!(parse(&zero).unwrap().foreign_index, ForeignIndex::AllZero);
    let lying =
        file(&[&boxed(b"iptr", &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 8]), &stream, &boxed(b"fidx", b"")]);
    assert!(matches!(parse(&lying).unwrap().foreign_index, ForeignIndex::Unusable(_)));
    assert_eq!(parse(&file(&[&stream])).unwrap().foreign_index, ForeignIndex::None);
}

#[test]
fn a32_a_file_index_that_points_at_itself_ends() {
    let start = file(&[]).len() as u64;
    let numbers = |a: u64, b: u64| [a.to_be_bytes(), b.to_be_bytes()].concat();
    let at = start + 24;
    let header = [&16u32.to_be_bytes()[..], b"fidx"].concat();
    let proxy = [&at.to_be_bytes()[..], &header, &[1], &at.to_be_bytes(), &header].concat();
    for inside in [boxed(b"fidx", b""), boxed(b"prxy", &proxy)] {
        let fidx = boxed(b"fidx", &inside);
        let iptr = boxed(b"iptr", &numbers(at, fidx.len() as u64));
        let read = parse(&file(&[&iptr, &fidx, &boxed(b"jp2c", b"abc")])).unwrap();
        assert!(matches!(read.foreign_index, ForeignIndex::Unusable(_)));
    }
}

#[test]
fn every_prefix_and_every_flip_is_survived() {
    let jp2h = boxed(b"jp2h", &boxed(b"ihdr", &[0, 0, 0, 5, 0, 0, 1, 0, 0, 3, 255, 7, 0, 0]));
    let whole = file(&[
        &jp2h,
        &boxed(b"iptr", &[1; 16]),
        &boxed(b"jp2c", b"abc"),
        &fragment_list(&[(40, 2, 0)]),
        &boxed(b"j2cx", &boxed(b"jp2c", b"d")),
        &boxed(b"cidx", &boxed(b"cptr", &[0; 20])),
        &boxed(b"fidx", &boxed(b"prxy", &[0; 33])),
    ]);
    for end in 0..whole.len() {
        let _ = parse(&whole[..end]);
    }
    for at in 0..whole.len() {
        for flip in [1u8, 0x80, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            if let Ok(read) = parse(&bytes) {
                let inside = |e: &Extent| e.end() <= bytes.len() as u64;
                assert!(read.codestreams.iter().all(|stream| stream.extents().iter().all(inside)));
            }
        }
    }
}

#[test]
fn the_number_of_fragments_is_limited() {
    let bytes = file(&[&fragment_list(&[(0, 1, 0); 20]), &boxed(b"jp2c", b"abc")]);
    let limits = Limits { max_fragments: 19, ..Limits::default() };
    let read = Jp2File::parse(&bytes, &limits).unwrap();
    assert_eq!(read.refusals.len(), 1);
    assert_eq!(parse(&bytes).unwrap().refusals.len(), 0);
}
