//! `tpmodel` and `tpneed`: cache descriptors in terms of tile-parts [15444-9 C.8.1.4].

use std::sync::Arc;

use super::error::RequestError;
use super::range::UintRange;
use super::scan::Scanner;

/// One item of `tpmodel` or `tpneed`: tile-parts from `first` to `last`, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TilePartDescriptor {
    /// The codestreams meant; empty means those of the request. Items under one qualifier share it.
    pub codestreams: Arc<[UintRange]>,
    /// Whether the client says that it does *not* have these.
    pub subtractive: bool,
    /// Tile and tile-part number of the first.
    pub first: (u64, u64),
    /// Tile and tile-part number of the last.
    pub last: (u64, u64),
}

impl TilePartDescriptor {
    pub(crate) fn parse_list(field: &'static str, value: &[u8], limit: usize) -> Result<Vec<Self>, RequestError> {
        let bad = || RequestError::malformed(field, "not a list of tile-parts");
        let mut scanner = Scanner::new(value);
        let mut codestreams: Arc<[UintRange]> = Arc::default();
        let mut found = Vec::new();
        loop {
            while scanner.eat(b',') {}
            if scanner.is_empty() {
                return Ok(found);
            }
            if scanner.eat(b'[') {
                let ranges = scanner.until(b']').ok_or_else(bad)?.split(|byte| b";,".contains(byte));
                let mut read = Vec::new();
                for range in ranges {
                    let mut range = Scanner::new(range);
                    read.push(UintRange::scan(&mut range).filter(|_| range.is_empty()).ok_or_else(bad)?);
                    if read.len() > limit {
                        return Err(RequestError::LimitExceeded { field, limit });
                    }
                }
                codestreams = read.into();
                continue;
            }
            if found.len() >= limit {
                return Err(RequestError::LimitExceeded { field, limit });
            }
            let subtractive = scanner.eat(b'-');
            let first = tile_part(&mut scanner).ok_or_else(bad)?;
            let last = if scanner.eat(b'-') { tile_part(&mut scanner).ok_or_else(bad)? } else { first };
            if !scanner.is_empty() && scanner.peek() != Some(b',') {
                return Err(bad());
            }
            found.push(Self { codestreams: Arc::clone(&codestreams), subtractive, first, last });
        }
    }
}

fn tile_part(scanner: &mut Scanner<'_>) -> Option<(u64, u64)> {
    let tile = scanner.uint()?;
    if !scanner.eat(b'.') {
        return None;
    }
    Some((tile, scanner.uint()?))
}
