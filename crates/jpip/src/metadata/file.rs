//! The metadata-bins of a file of the JP2 family: which of its boxes become bins of their own.

use bytes::Bytes;
use codestream::boxes::BoxHeader;
use codestream::jp2::{Jp2File, MetadataTree, TopBox};
use codestream::{Extent, FrameExtents};

use super::placeholder::Placeholder;
use crate::target::{BoxInBin, MetadataBin, MetadataBins, NamedRegion, Part};

/// The bins of a file of the JP2 family that is a stored object by itself, whose boxes were read into `tree`; no byte
/// of it is read here.
#[must_use]
pub fn for_file(file: &Jp2File, tree: &MetadataTree) -> MetadataBins {
    let own = own_bins(tree);
    let mut bins = vec![MetadataBin::default()];
    // For each box of the tree: the bin that its header is in, the bin of its contents, its place among those listed.
    let mut places: Vec<(usize, Option<usize>, Option<usize>)> = Vec::with_capacity(tree.boxes.len());
    let mut boxes = Vec::new();
    let mut tops = file.boxes.iter();
    for (found, &own) in tree.boxes.iter().zip(&own) {
        let header = &found.header;
        let parent = found.parent.and_then(|parent| places.get(parent).copied());
        let top = if found.parent.is_none() { tops.next() } else { None };
        if let Some(instead) = top.and_then(|top| instead_of(file, top)) {
            push_inline(&mut bins, 0, instead);
            places.push((0, None, None));
            continue;
        }
        let holder = parent.map_or(0, |(bin, contents, _)| contents.unwrap_or(bin));
        let mut contents = None;
        if own {
            let id = bins.len() as u64;
            push_inline(&mut bins, holder, Placeholder::contents(header, id).encode());
            contents = Some(bins.len());
            // The contents of a superbox come child by child.
            let has_children = tree.boxes.get(places.len() + 1).is_some_and(|next| next.parent == Some(places.len()));
            let parts = if has_children { Vec::new() } else { vec![Part::Object(header.contents)] };
            bins.push(MetadataBin { id, box_type: Some(header.box_type), parts, box_ends: Vec::new() });
        } else if parent.is_none_or(|(_, contents, _)| contents.is_some()) {
            push_object(&mut bins, holder, header.span);
        }
        let listed = parent.and_then(|(_, _, listed)| listed);
        let subject = found.subject;
        places.push((holder, contents, Some(boxes.len())));
        boxes.push(BoxInBin { box_type: header.box_type, bin: holder, own: contents, parent: listed, subject });
    }
    let image = &file.header.image;
    let labelled = tree.labelled.iter().map(|(name, area)| NamedRegion { name: name.clone(), area: *area });
    let mut metadata = MetadataBins {
        bins,
        boxes,
        subjects: tree.subjects.clone(),
        layers: tree.layers.iter().map(|layer| layer.codestreams.clone()).collect(),
        composition: tree.composition.clone(),
        picture: image.as_ref().map(|image| (image.width, image.height)),
        regions: labelled.collect(),
    };
    put_xml_last(&mut metadata);
    metadata
}

/// Which boxes become bins of their own, bottom up: a box around one becomes one too.
fn own_bins(tree: &MetadataTree) -> Vec<bool> {
    let mut pinned: Vec<bool> = Vec::with_capacity(tree.boxes.len());
    for found in &tree.boxes {
        let by_parent = found.parent.and_then(|parent| pinned.get(parent).copied()).unwrap_or(false);
        pinned.push(by_parent || is_pinned(&found.header.box_type));
    }
    let mut own = vec![false; tree.boxes.len()];
    for (at, found) in tree.boxes.iter().enumerate().rev() {
        let header = &found.header;
        let holds_one = own.get(at).copied().unwrap_or(false);
        let wanted = holds_one || &header.box_type == b"xml " || header.contents.len > MAX_INLINE;
        let is_own = wanted && !pinned.get(at).copied().unwrap_or(true);
        if let Some(slot) = own.get_mut(at) {
            *slot = is_own;
        }
        if is_own && let Some(slot) = found.parent.and_then(|parent| own.get_mut(parent)) {
            *slot = true;
        }
    }
    own
}

/// What stands in bin 0 for a top-level box that is no metadata: a placeholder, nothing for an index box.
fn instead_of(file: &Jp2File, top: &TopBox) -> Option<Bytes> {
    let header = &top.header;
    Some(match (&header.box_type, top.codestream) {
        (b"iptr" | b"cidx" | b"fidx", _) => Bytes::new(),
        (_, Some(codestream)) => Placeholder::codestreams(header, u64::from(codestream), 1).encode(),
        (b"j2cx", None) => multiple_codestreams(file, header).encode(),
        // Media data hold codestream bytes that the fragment tables name; nothing to hand out as metadata.
        (b"mdat" | b"jp2c" | b"ftbl", None) => Placeholder::closed(header).encode(),
        _ => return None,
    })
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

fn push_inline(bins: &mut [MetadataBin], bin: usize, bytes: Bytes) {
    if let Some(bin) = bins.get_mut(bin).filter(|_| !bytes.is_empty()) {
        note_end(bin, bytes.len() as u64);
        bin.parts.push(Part::Inline(bytes));
    }
}

/// A box of this length is about to be added.
fn note_end(bin: &mut MetadataBin, len: u64) {
    let begin = bin.box_ends.last().copied().unwrap_or(0);
    bin.box_ends.push(begin.saturating_add(len));
}

fn push_object(bins: &mut [MetadataBin], bin: usize, span: Extent) {
    let Some(bin) = bins.get_mut(bin) else { return };
    note_end(bin, span.len);
    match bin.parts.last_mut() {
        // Neighbours in the file stay one part.
        Some(Part::Object(last)) if last.end() == span.offset => {
            *last = Extent::new(last.offset, last.len.saturating_add(span.len));
        }
        _ => bin.parts.push(Part::Object(span)),
    }
}

/// Readers that take the last metadata message for the XML find an XML box there.
fn put_xml_last(metadata: &mut MetadataBins) {
    let mut order: Vec<usize> = (0..metadata.bins.len()).collect();
    let is_xml = |&at: &usize| metadata.bins.get(at).is_some_and(|bin| bin.box_type == Some(*b"xml "));
    order.sort_by_key(is_xml);
    let mut moved_to = vec![0; order.len()];
    for (to, &from) in order.iter().enumerate() {
        if let Some(slot) = moved_to.get_mut(from) {
            *slot = to;
        }
    }
    let moved = |at: usize| moved_to.get(at).copied().unwrap_or(0);
    metadata.bins.sort_by_key(|bin| bin.box_type == Some(*b"xml "));
    for found in &mut metadata.boxes {
        found.bin = moved(found.bin);
        found.own = found.own.map(moved);
    }
}

/// Whether clients expect a box of this type, and all that is inside, as it stands.
const fn is_pinned(kind: &[u8; 4]) -> bool {
    matches!(kind, b"jP  " | b"ftyp" | b"jp2h" | b"rreq" | b"jpch" | b"jplh" | b"comp")
}

/// Contents of a box that stays in the bin around it, in bytes.
const MAX_INLINE: u64 = 4096;

#[cfg(test)]
mod tests {
    use codestream::Limits;
    use codestream::testkit::files::{boxed, jp2_file};

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bins_of(file: &[u8]) -> MetadataBins {
        let parsed = Jp2File::parse(&file, &Limits::default()).unwrap();
        let tree = MetadataTree::read(&file, &parsed, &Limits::default()).unwrap();
        for_file(&parsed, &tree)
    }

    fn parts_of(file: &[u8], bin: &MetadataBin) -> Vec<String> {
        let part = |part: &Part| match part {
            Part::Inline(bytes) => hex(bytes),
            Part::Object(extent) => hex(&file[extent.offset as usize..extent.end() as usize]),
            Part::Span(_) => panic!(),
        };
        bin.parts.iter().map(part).collect()
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
        let bins = bins_of(&file).bins;
        let described: Vec<_> = bins.iter().map(|bin| (bin.id, bin.box_type, bin.len())).collect();
        assert_eq!(described[1..], [(2, Some(*b"uuid"), 5000), (1, Some(*b"xml "), 25), (3, Some(*b"xml "), 25)]);
        let bin_0 = parts_of(&file, &bins[0]);
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
    fn a_3_6_an_association_box_around_a_bin_is_one_itself() {
        let xml = boxed(*b"xml ", b"<?xml version=\"1.0\"?><a/>");
        let list = boxed(*b"nlst", &[1, 0, 0, 0]);
        let inner = boxed(*b"asoc", &[boxed(*b"lbl ", b"name"), xml.clone(), boxed(*b"uuid", &[1; 20])].concat());
        let small = boxed(*b"asoc", &[boxed(*b"lbl ", b"name"), boxed(*b"uuid", &[2; 20])].concat());
        let outer = boxed(*b"asoc", &[list.clone(), inner, small.clone()].concat());
        let header = boxed(*b"jpch", &boxed(*b"asoc", &xml));
        let file = [jp2_file(b"one"), outer, xml, header.clone(), small.clone()].concat();
        let metadata = bins_of(&file);
        let ids: Vec<_> = metadata.bins.iter().map(|bin| (bin.id, bin.box_type)).collect();
        let kinds = [(1, *b"asoc"), (2, *b"asoc"), (3, *b"xml "), (4, *b"xml ")].map(|(id, kind)| (id, Some(kind)));
        assert_eq!(ids[1..], kinds);
        let bin_0 = parts_of(&file, &metadata.bins[0]);
        assert!(bin_0[2].starts_with("0000001c70686c64000000010000000000000001") && bin_0[2].ends_with("61736f63"));
        assert!(bin_0[3].starts_with("0000001c70686c64000000010000000000000004"), "bins are numbered in file order");
        assert_eq!(bin_0[4], hex(&[header, small.clone()].concat()));
        let first = parts_of(&file, &metadata.bins[1]);
        assert_eq!((&first[0], &first[2]), (&hex(&list), &hex(&small)));
        assert!(first[1].starts_with("0000001c70686c64000000010000000000000002"));
        let second = parts_of(&file, &metadata.bins[2]);
        assert_eq!((&second[0], &second[2]), (&hex(&boxed(*b"lbl ", b"name")), &hex(&boxed(*b"uuid", &[1; 20]))));
        let listed: Vec<_> = metadata.boxes.iter().map(|b| (b.box_type, b.bin, b.own, b.parent)).collect();
        assert_eq!(
            listed[3..8],
            [
                (*b"asoc", 0, Some(1), None),
                (*b"nlst", 1, None, Some(3)),
                (*b"asoc", 1, Some(2), Some(3)),
                (*b"lbl ", 2, None, Some(5)),
                (*b"xml ", 2, Some(3), Some(5)),
            ]
        );
        assert_eq!(metadata.picture, Some((0, 0)));
    }
}
