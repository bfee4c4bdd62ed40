//! What the index boxes that somebody wrote into a file are worth, in words.

use codestream::{
    CodestreamIndex, FrameExtents, Limits,
    annex_i::check::{Comparison, compare},
    jp2::ForeignIndex,
};

use super::local::{Content, LocalFile};

/// How the index boxes of the file compare with the index of one of its codestreams; `None` if there are none.
pub(super) fn verdict(
    file: &LocalFile,
    content: &Content,
    extents: &FrameExtents,
    index: &CodestreamIndex,
) -> Option<String> {
    let Content::Jp2(jp2) = content else { return None };
    let name = |table: [u8; 4]| String::from_utf8_lossy(&table).into_owned();
    Some(match jp2.foreign_index {
        ForeignIndex::None => return None,
        ForeignIndex::AllZero => "are all zero, as OpenJPEG 2 writes them".to_owned(),
        ForeignIndex::Unusable(why) => format!("cannot be used: {why}"),
        ForeignIndex::Sound => match compare(file, jp2, extents, index, &Limits::default()) {
            Ok(Comparison::Agrees) => "agree with the codestream in every entry".to_owned(),
            Ok(Comparison::Absent) => "say nothing of this codestream".to_owned(),
            Ok(Comparison::Disagrees { table, component, tile, entry }) => {
                format!("are wrong: {}, component {component}, tile {tile}, entry {entry}", name(table))
            }
            Ok(Comparison::Unreadable(table)) => {
                format!("cannot be used: {} is missing or has an impossible shape", name(table))
            }
            Err(error) => format!("cannot be read: {error}"),
        },
    })
}
