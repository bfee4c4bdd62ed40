//! POC: progression order changes [15444-1 A.6.6].

use super::{Fields, ProgressionOrder};
use crate::error::ParseError;

/// One progression volume: the packets inside the ranges that have not come yet, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressionChange {
    /// First resolution level.
    pub resolution_start: u8,
    /// One past the last resolution level; exclusive, at most 33.
    pub resolution_end: u8,
    /// First component.
    pub component_start: u16,
    /// One past the last component; exclusive, at most Csiz.
    pub component_end: u16,
    /// One past the last quality layer; exclusive. The first is the next one of each precinct.
    pub layer_end: u16,
    /// Order inside the volume.
    pub order: ProgressionOrder,
}

/// Parses the payload of a POC segment that begins at `offset` of the codestream.
///
/// Ends beyond what exists are cut, as encoders write 255 or 33 for "all".
///
/// # Errors
///
/// - [`ParseError::Truncated`] if the last entry is incomplete.
/// - [`ParseError::Malformed`] for an unknown progression order.
pub fn parse_poc(payload: &[u8], component_count: u16, offset: u64) -> Result<Vec<ProgressionChange>, ParseError> {
    let mut fields = Fields::new(payload, offset, "POC");
    let mut changes = Vec::new();
    while !fields.is_empty() {
        let resolution_start = fields.u8()?;
        let component_start = fields.component(component_count)?;
        let layer_end = fields.u16()?;
        let resolution_end = fields.u8()?.min(33);
        let component_end = match fields.component(component_count)? {
            // One byte cannot say 256, and 16384 does not fit the 14 bits of a component index.
            0 => component_count,
            end => end.min(component_count),
        };
        let order = ProgressionOrder::from_code(fields.u8()?)
            .ok_or_else(|| fields.malformed("POC: unknown progression order"))?;
        changes.push(ProgressionChange {
            resolution_start,
            resolution_end,
            component_start,
            component_end,
            layer_end,
            order,
        });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_6_6_entries_of_both_widths() {
        let short = parse_poc(&[0, 0, 0, 1, 33, 255, 0, 1, 1, 0, 9, 3, 0, 4], 3, 0).unwrap();
        assert_eq!(short.len(), 2);
        assert_eq!((short[0].component_end, short[0].resolution_end), (3, 33));
        assert_eq!((short[1].component_start, short[1].component_end, short[1].layer_end), (1, 3, 9));
        assert_eq!(short[1].order, ProgressionOrder::Cprl);
        let long = parse_poc(&[0, 1, 2, 0, 1, 2, 1, 3, 2], 300, 0).unwrap();
        assert_eq!((long[0].component_start, long[0].component_end), (258, 259));
        assert!(parse_poc(&[0, 0, 0, 1, 33, 255], 3, 0).is_err());
        assert!(parse_poc(&[0, 0, 0, 1, 33, 255, 5], 3, 0).is_err());
    }
}
