//! Frames out of fragments [PS3.5 A.4]: which fragments make up which frame.
//!
//! Offset tables are hints. One is used only if it points at fragments, in order, and agrees with what
//! stands there; else the frames are found by how their first bytes look.

use codestream::FrameExtents;

use crate::fragments::{Fragment, Fragments};
use crate::transfer_syntax::TransferSyntax;

/// The frames that were found, and what did not agree with them.
#[derive(Debug)]
pub(crate) struct Frames {
    pub(crate) frames: Vec<FrameExtents>,
    pub(crate) notes: Vec<String>,
}

/// What an object says about its frames, true or not.
pub(crate) struct Claims<'a> {
    pub(crate) fragments: &'a Fragments,
    pub(crate) extended_offsets: &'a [u64],
    pub(crate) extended_lengths: &'a [u64],
    /// Number of Frames (0028,0008), `None` if absent or no number above 0.
    pub(crate) number_of_frames: Option<u32>,
    pub(crate) transfer_syntax: &'a TransferSyntax,
    pub(crate) object_len: u64,
}

/// Finds the frames.
///
/// # Errors
///
/// Why no frame can be found, in words.
pub(crate) fn find_frames(claims: &Claims<'_>) -> Result<Frames, String> {
    let fragments = claims.fragments.fragments.as_slice();
    if fragments.is_empty() {
        return Err("the pixel data hold no fragment".to_owned());
    }
    let basic: Vec<u64> = claims.fragments.basic_offsets.iter().map(|&offset| u64::from(offset)).collect();
    let tables = [
        Table { name: "Extended Offset Table", starts: table_starts(claims.extended_offsets, fragments) },
        Table { name: "Basic Offset Table", starts: table_starts(&basic, fragments) },
    ];
    let marks = Marks::of(fragments, claims.transfer_syntax);
    let starts = choose_starts(claims, &tables, &marks)?;

    let mut notes = Vec::new();
    for table in &tables {
        if let Some(table_starts) = &table.starts
            && table_starts.as_ref() != Ok(&starts)
        {
            let why = table_starts.as_ref().err().map_or("it does not name the frames", |why| why);
            notes.push(format!("the {} was not used: {why}", table.name));
        }
    }
    note_extended_lengths(claims, &starts, &mut notes);
    let declared = claims.number_of_frames.unwrap_or(1);
    if starts.len() as u64 != u64::from(declared) {
        notes.push(format!("NumberOfFrames says {declared}, {} were found", starts.len()));
    }
    marks.note_unmarked(&starts, &mut notes);

    let ends = starts.iter().skip(1).copied().chain([fragments.len()]);
    let mut frames = Vec::with_capacity(starts.len());
    for (start, end) in starts.iter().copied().zip(ends) {
        let of_frame = fragments.get(start..end).unwrap_or_default();
        let extents = of_frame.iter().map(|fragment| fragment.extent).collect();
        frames.push(FrameExtents::new(extents, claims.object_len).map_err(|error| error.to_string())?);
    }
    Ok(Frames { frames, notes })
}

struct Table {
    name: &'static str,
    /// `None` if the object has no such table, or it is empty.
    starts: Option<Result<Vec<usize>, &'static str>>,
}

impl Table {
    fn usable(&self) -> Option<&Vec<usize>> {
        self.starts.as_ref()?.as_ref().ok()
    }
}

/// Which fragment each frame begins with, as offsets say.
fn table_starts(offsets: &[u64], fragments: &[Fragment]) -> Option<Result<Vec<usize>, &'static str>> {
    let first = offsets.first()?;
    if *first != 0 {
        return Some(Err("it does not begin with 0"));
    }
    let mut starts: Vec<usize> = Vec::with_capacity(offsets.len().min(fragments.len()));
    for offset in offsets {
        let Ok(at) = fragments.binary_search_by_key(offset, |fragment| fragment.table_offset) else {
            return Some(Err("an offset is not that of a fragment"));
        };
        if starts.last().is_some_and(|last| at <= *last) {
            return Some(Err("its offsets do not ascend"));
        }
        starts.push(at);
    }
    Some(Ok(starts))
}

/// Fragments that look like the beginning of a frame.
struct Marks {
    /// `None` if the coding has no mark to look for.
    marked: Option<Vec<bool>>,
    /// The marked fragments and the first one, which begins a frame in any case.
    starts: Vec<usize>,
}

impl Marks {
    fn of(fragments: &[Fragment], transfer_syntax: &TransferSyntax) -> Self {
        let marked: Option<Vec<bool>> =
            fragments.iter().map(|fragment| transfer_syntax.begins_frame(&fragment.head)).collect();
        let flags = marked.iter().flatten().enumerate();
        let starts = flags.filter(|(at, marked)| **marked || *at == 0).map(|(at, _)| at).collect();
        Self { marked, starts }
    }

    /// Whether `starts` are marked, all of them and no other fragment; true if there is nothing to look for.
    fn agree_with(&self, starts: &[usize]) -> bool {
        self.cover(starts) && (self.marked.is_none() || self.starts.len() == starts.len())
    }

    /// Whether all of `starts` are marked; true if there is nothing to look for.
    fn cover(&self, starts: &[usize]) -> bool {
        let Some(marked) = &self.marked else { return true };
        starts.iter().all(|start| marked.get(*start) == Some(&true))
    }

    fn note_unmarked(&self, starts: &[usize], notes: &mut Vec<String>) {
        let Some(marked) = &self.marked else { return };
        let mut unmarked = starts.iter().enumerate().filter(|(_, start)| marked.get(**start) == Some(&false));
        if let Some((first, _)) = unmarked.next() {
            let count = 1 + unmarked.count();
            notes.push(format!("{count} frames do not begin as they should, the first of them is frame {}", first + 1));
        }
        let inside = self.starts.iter().filter(|at| starts.binary_search(at).is_err()).count();
        if inside > 0 {
            notes.push(format!("{inside} fragments inside a frame look like the beginning of one"));
        }
    }
}

/// The fragments that frames begin with, the first fragment among them.
fn choose_starts(claims: &Claims<'_>, tables: &[Table], marks: &Marks) -> Result<Vec<usize>, String> {
    let count = claims.fragments.fragments.len();
    let Some(declared) = claims.number_of_frames.and_then(|frames| usize::try_from(frames).ok()) else {
        // A single frame by definition, unless the bytes say otherwise beyond doubt.
        return Ok(if marks.starts.len() > 1 { marks.starts.clone() } else { vec![0] });
    };
    if declared == 1 {
        return Ok(vec![0]);
    }
    let tables = || tables.iter().filter_map(Table::usable);
    if let Some(starts) = tables().find(|starts| starts.len() == declared && marks.agree_with(starts)) {
        return Ok(starts.clone());
    }
    if marks.marked.is_some() && marks.starts.len() == declared {
        return Ok(marks.starts.clone());
    }
    if count == declared {
        return Ok((0..count).collect());
    }
    if let Some(starts) = tables().find(|starts| starts.len() == declared) {
        return Ok(starts.clone());
    }
    // From here on the declared number is wrong, or bytes are missing.
    if let Some(starts) = tables().find(|starts| marks.agree_with(starts)) {
        return Ok(starts.clone());
    }
    if marks.marked.iter().flatten().any(|marked| *marked) {
        return Ok(marks.starts.clone());
    }
    if let Some(starts) = tables().next() {
        return Ok(starts.clone());
    }
    Err(format!("{count} fragments cannot be told apart into {declared} frames"))
}

/// Lengths of the Extended Offset Table leave out the pad byte, nothing else [PS3.3 C.7.6.3.1.8].
fn note_extended_lengths(claims: &Claims<'_>, starts: &[usize], notes: &mut Vec<String>) {
    if claims.extended_offsets.is_empty() && claims.extended_lengths.is_empty() {
        return;
    }
    let fragment_lens = starts.iter().filter_map(|start| claims.fragments.fragments.get(*start));
    let fit = |(fragment, len): (&Fragment, &u64)| {
        fragment.extent.len == *len || fragment.extent.len.checked_sub(1) == Some(*len)
    };
    if claims.extended_lengths.len() != starts.len() || !fragment_lens.zip(claims.extended_lengths).all(fit) {
        notes.push("the Extended Offset Table Lengths are not those of the fragments".to_owned());
    }
}
