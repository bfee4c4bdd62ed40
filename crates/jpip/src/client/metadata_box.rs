//! Boxes put together again from metadata-bins: where a placeholder stands, the box that it leads to [15444-9 A.3.6].

use codestream::boxes::{BoxBudget, BoxReader, BoxType, read_contents};
use codestream::{Extent, Limits, ParseError};

use super::store::DataBinStore;
use crate::data_bin::BinKey;
use crate::metadata::push_box;

/// Contents of the first box of this type at the top level of the target's file, at most `max_len` bytes; `None` if there
/// is none, or not all of it has arrived.
///
/// Of a box for which there is an equivalent one, that is taken if it is here, as is meant for clients that do not
/// prefer the original [15444-9 A.3.6.3, C.10.2].
///
/// # Errors
///
/// - [`ParseError`] if boxes before it, or in it, break the standard or the limits.
pub fn top_level_box(
    store: &DataBinStore,
    box_type: BoxType,
    max_len: u64,
    limits: &Limits,
) -> Result<Option<Vec<u8>>, ParseError> {
    let Some(bin) = store.bin(&BinKey::metadata(0)) else { return Ok(None) };
    let boxes = bin.prefix().into_owned();
    let reading = Reading { store, budget: BoxBudget::new(limits), max_len };
    for found in BoxReader::top_level(&boxes, &reading.budget) {
        let found = found?;
        if found.box_type == PLACEHOLDER {
            let fields = Extent::new(found.contents.offset, found.contents.len.min(MAX_PLACEHOLDER));
            let fields = read_contents(&boxes, fields, MAX_PLACEHOLDER)?;
            if let Some(instead) = reading.instead_of(&fields).filter(|instead| instead.box_type == box_type) {
                return reading.contents(box_type, instead.contents, 0);
            }
        } else if found.box_type == box_type {
            let contents = if found.is_cut() { None } else { Some(read_contents(&boxes, found.contents, max_len)?) };
            return contents.map_or(Ok(None), |contents| reading.contents(box_type, contents, 0));
        }
    }
    Ok(None)
}

/// A box that a placeholder leads to.
struct Instead {
    box_type: BoxType,
    contents: Vec<u8>,
}

struct Reading<'a> {
    store: &'a DataBinStore,
    /// Over all bins, so that placeholders that lead to one another come to an end.
    budget: BoxBudget,
    max_len: u64,
}

impl Reading<'_> {
    /// Contents of a box without placeholders; `None` if what one of them stands for is not here.
    fn contents(&self, box_type: BoxType, contents: Vec<u8>, depth: u16) -> Result<Option<Vec<u8>>, ParseError> {
        if !SUPERBOXES.contains(&box_type) {
            return Ok(Some(contents));
        }
        let mut whole = Vec::new();
        // Nothing that a header needs lies deeper.
        if depth > MAX_DEPTH {
            return Ok(None);
        }
        for found in BoxReader::top_level(&contents, &self.budget) {
            let found = found?;
            if found.is_cut() {
                return Ok(None);
            }
            let mut child =
                Instead { box_type: found.box_type, contents: read_contents(&contents, found.contents, self.max_len)? };
            if child.box_type == PLACEHOLDER {
                let Some(instead) = self.instead_of(&child.contents) else { return Ok(None) };
                child = instead;
            }
            let Some(inside) = self.contents(child.box_type, child.contents, depth + 1)? else { return Ok(None) };
            push_box(&mut whole, child.box_type, &inside);
            if whole.len() as u64 > self.max_len {
                return Ok(None);
            }
        }
        Ok(Some(whole))
    }

    /// The box to read for a placeholder with these contents: the equivalent one, or else the original.
    fn instead_of(&self, fields: &[u8]) -> Option<Instead> {
        let (flags, rest) = fields.split_first_chunk().map(|(flags, rest)| (u32::from_be_bytes(*flags), rest))?;
        let (original, rest) = leads_to(rest)?;
        let equivalent = leads_to(rest).map(|(place, _)| place);
        let chosen = [equivalent.filter(|_| flags & EQUIVALENT != 0), Some(original).filter(|_| flags & ORIGINAL != 0)];
        chosen.into_iter().flatten().find_map(|(id, box_type)| {
            let bin = self.store.bin(&BinKey::metadata(id)).filter(|bin| bin.is_complete())?;
            let contents = bin.prefix();
            (contents.len() as u64 <= self.max_len).then(|| Instead { box_type, contents: contents.into_owned() })
        })
    }
}

/// A metadata-bin and the header of the box whose contents it holds, and what follows them; a header with `XLBox` has 16
/// bytes.
fn leads_to(fields: &[u8]) -> Option<((u64, BoxType), &[u8])> {
    let (id, rest) = fields.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (box_type, rest) = rest.split_first_chunk()?;
    let rest = if u32::from_be_bytes(*length) == 1 { rest.get(8..)? } else { rest };
    Some(((u64::from_be_bytes(*id), *box_type), rest))
}

const PLACEHOLDER: BoxType = *b"phld";

/// Flags of a placeholder: which bins it leads to.
const ORIGINAL: u32 = 1;
const EQUIVALENT: u32 = 2;

/// Boxes that may stand in a header and hold boxes, placeholders among them.
const SUPERBOXES: [BoxType; 5] = [*b"jp2h", *b"jpch", *b"jplh", *b"cgrp", *b"res "];

/// Levels of superboxes that are looked into.
const MAX_DEPTH: u16 = 8;

/// Bytes of a placeholder that are read; all fields that there are take less.
const MAX_PLACEHOLDER: u64 = 4096;

#[cfg(test)]
mod tests {
    use codestream::testkit::files::boxed;

    use super::*;
    use crate::client::StoreLimits;

    /// A placeholder with these flags, of an original and an equivalent box in these bins.
    fn placeholder(flags: u32, (original, of_type): (u64, BoxType), equivalent: Option<(u64, BoxType)>) -> Vec<u8> {
        let mut fields = flags.to_be_bytes().to_vec();
        // The original with XLBox, the equivalent without.
        fields.extend(original.to_be_bytes());
        fields.extend(1u32.to_be_bytes());
        fields.extend(of_type);
        fields.extend(77u64.to_be_bytes());
        if let Some((id, box_type)) = equivalent {
            fields.extend(id.to_be_bytes());
            fields.extend(9u32.to_be_bytes());
            fields.extend(box_type);
        }
        boxed(PLACEHOLDER, &fields)
    }

    fn found(bins: &[(u64, Vec<u8>)]) -> Option<Vec<u8>> {
        let mut store = DataBinStore::new(StoreLimits::default());
        for (id, bytes) in bins {
            store.insert(BinKey::metadata(*id), 0, bytes, true).unwrap();
        }
        top_level_box(&store, *b"jp2h", 1000, &Limits::default()).unwrap()
    }

    #[test]
    fn a_3_6_3_the_equivalent_box_is_read_where_there_is_one() {
        let (colr, simple) = (boxed(*b"colr", b"profile"), boxed(*b"colr", b"simple"));
        let ihdr = boxed(*b"ihdr", b"size");
        let both = placeholder(3, (1, *b"colr"), Some((2, *b"colr")));
        let header = |child: &[u8]| boxed(*b"jp2h", &[&ihdr, child].concat());
        let (one, two) = ((1, b"profile".to_vec()), (2, b"simple".to_vec()));
        assert_eq!(found(&[(0, header(&colr))]), Some([&ihdr[..], &colr].concat()), "no placeholder at all");
        let all = [(0, header(&both)), one.clone(), two.clone()];
        assert_eq!(found(&all), Some([&ihdr[..], &simple].concat()));
        assert_eq!(found(&all[..2]), Some([&ihdr[..], &colr].concat()), "it has not come; the original has");
        assert_eq!(found(&all[..1]), None, "neither has");
        let original = [(0, header(&placeholder(1, (1, *b"colr"), Some((2, *b"colr"))))), one, two];
        assert_eq!(found(&original), Some([&ihdr[..], &colr].concat()), "the flag of the other is not set");
    }

    #[test]
    fn a_3_6_3_a_placeholder_at_the_top_level_stands_for_the_type_that_is_read() {
        let bins = [(7, boxed(*b"ihdr", b"size")), (8, b"anything".to_vec())];
        let of = |top: Vec<u8>| found(&[&[(0, top)][..], &bins].concat());
        let size = Some(bins[0].1.clone());
        assert_eq!(of(placeholder(1, (7, *b"jp2h"), None)), size);
        assert_eq!(of(placeholder(2, (0, *b"new!"), Some((7, *b"jp2h")))), size, "only an old form is known here");
        assert_eq!(of([placeholder(1, (8, *b"xml "), None), placeholder(1, (7, *b"jp2h"), None)].concat()), size);
        assert_eq!(of(placeholder(4, (7, *b"jp2h"), None)), None);
        for cut in 0..24 {
            assert_eq!(of(boxed(PLACEHOLDER, &placeholder(1, (7, *b"jp2h"), None)[8..8 + cut])), None, "{cut}");
        }
    }

    #[test]
    fn placeholders_that_lead_to_each_other_come_to_an_end() {
        let again = placeholder(1, (1, *b"jp2h"), None);
        assert_eq!(found(&[(0, again.clone()), (1, again.repeat(20))]), None);
    }
}
