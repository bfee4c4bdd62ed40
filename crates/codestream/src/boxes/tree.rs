//! The tree of a file's boxes, for people to read.

use super::{BoxBudget, BoxHeader, BoxReader, BoxType};
use crate::damage::Damage;
use crate::error::ParseError;
use crate::limits::Limits;
use crate::reader::ByteSource;

/// One box of the tree, in file order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeBox {
    /// 0 for the top level.
    pub depth: u16,
    /// Its header and place.
    pub header: BoxHeader,
}

/// All boxes of a file, parents before their children, and what is wrong with them.
///
/// A superbox that cannot be read further keeps the children found so far, and a file with more boxes than
/// the limits allow those up to the limit.
///
/// # Errors
///
/// - [`ParseError::Source`] if reading fails.
pub fn box_tree(source: &dyn ByteSource, limits: &Limits) -> Result<(Vec<TreeBox>, Vec<Damage>), ParseError> {
    let budget = BoxBudget::new(limits);
    let mut tree = Vec::new();
    let mut damage = Vec::new();
    // One open reader a level instead of recursion: depth is the sender's choice.
    let mut open = vec![BoxReader::top_level(source, &budget)];
    while let Some(reader) = open.last_mut() {
        let position = reader.offset();
        let header = match reader.next() {
            None => {
                open.pop();
                continue;
            }
            Some(Ok(header)) => header,
            Some(Err(error @ ParseError::Source(_))) => return Err(error),
            Some(Err(ParseError::LimitExceeded { .. })) => {
                damage.push(Damage::Irregular { what: "more boxes than are listed", offset: position });
                break;
            }
            Some(Err(_)) => {
                damage.push(Damage::Irregular { what: "no box can be read", offset: position });
                continue;
            }
        };
        let depth = u16::try_from(open.len().saturating_sub(1)).unwrap_or(u16::MAX);
        tree.push(TreeBox { depth, header });
        if header.is_cut() {
            damage.push(Damage::Truncated { what: "a box", offset: header.span.end() });
        }
        if is_superbox(header.box_type) {
            match BoxReader::children(source, &budget, header.contents, depth.saturating_add(1)) {
                Ok(children) => open.push(children),
                Err(_) => damage.push(Damage::Irregular { what: "boxes nested too deeply", offset: position }),
            }
        }
    }
    damage.truncate(limits.max_damage);
    Ok((tree, damage))
}

/// Whether boxes of this type hold boxes and nothing else [15444-1 I.2, 15444-2 M.11, 15444-9 I.2].
#[must_use]
pub const fn is_superbox(box_type: BoxType) -> bool {
    matches!(
        &box_type,
        b"jp2h"
            | b"res "
            | b"uinf"
            | b"jpch"
            | b"jplh"
            | b"cgrp"
            | b"ftbl"
            | b"comp"
            | b"drep"
            | b"asoc"
            | b"j2cx"
            | b"cidx"
            | b"fidx"
            | b"tpix"
            | b"thix"
            | b"ppix"
            | b"phix"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_follow_their_parent() {
        let bytes = b"\0\0\0\x18asoc\0\0\0\x08nlst\0\0\0\x08xml \0\0\0\x08uuid".to_vec();
        let (tree, damage) = box_tree(&bytes, &Limits::default()).unwrap();
        let shape: Vec<_> = tree.iter().map(|b| (b.depth, &b.header.box_type[..])).collect();
        assert_eq!(shape, [(0, &b"asoc"[..]), (1, b"nlst"), (1, b"xml "), (0, b"uuid")]);
        assert!(damage.is_empty());
    }

    #[test]
    fn ten_thousand_superboxes_in_each_other_end_at_the_depth_limit() {
        let mut bytes = Vec::new();
        for level in (1..=10_000u32).rev() {
            bytes.extend_from_slice(&(level * 8).to_be_bytes());
            bytes.extend_from_slice(b"asoc");
        }
        let (tree, damage) = box_tree(&bytes, &Limits::default()).unwrap();
        assert_eq!(tree.len(), 17);
        assert_eq!(damage.len(), 1);
    }

    #[test]
    fn a_superbox_that_breaks_off_keeps_what_was_found() {
        let bytes = b"\0\0\0\x18asoc\0\0\0\x08nlst\0\0\0\0xml \0\0\0\x08uuid".to_vec();
        let (tree, damage) = box_tree(&bytes, &Limits::default()).unwrap();
        assert_eq!(tree.len(), 3);
        assert_eq!(damage, [Damage::Irregular { what: "no box can be read", offset: 16 }]);
    }
}
