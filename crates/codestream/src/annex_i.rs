//! Index boxes of ISO/IEC 15444-9 Annex I: the stored index of an object, and indexes inside JP2 files.
//!
//! The stored index of one object is a file of boxes:
//!
//! ```text
//! iptr                      where fidx lies
//! [flst] cidx               one for each codestream; flst before it when the frame has several extents
//!   cptr                    where the codestream lies in the stored object (DR 1), or its flst (CONT 1, DR 0)
//!   manf                    headers of the boxes that follow
//!   uuid                    ours, see `private`: all that opening needs, so that it reads nothing else
//!   mhix                    marker segments of the main header
//!   tpix { faix }           tile-parts: row = tile, entry = tile-part
//!   [thix { manf mhix… }]   marker segments of the tile-part headers; only if there are any
//!   ppix { manf faix… }     packets: one faix a component, row = tile, entry = s × layers + layer
//!   [phix { manf faix… }]   packed packet headers, same geometry; only with PPM or PPT
//! fidx { prxy… }            one a codestream, all of one size, so that number n is found by arithmetic
//! ```
//!
//! There is no `dtbl`: data reference 1 is by definition the object that the index belongs to. A codestream
//! that could not be indexed keeps its number: its `cidx` holds a `cptr` and nothing else.
//!
//! `faix` tables are version 0 while the codestream is below 4 GiB and version 1 above; those of tile-parts
//! are 2 and 3 when a tile has several (the auxiliary number is that of class-5 messages). Tables are dense,
//! a zero entry is absent, and they end with the last tile that has a tile-part.
//!
//! Form of `phix`: OFF and LEN of the packet header where PPM or PPT holds it. The two highest bits of
//! LEN are ours: the highest says that the packet in place begins with an SOP marker segment, which is delivered before
//! the header; the next that the header goes on in a further marker segment, listed in our `uuid` box.

use std::io;

use thiserror::Error;

use crate::error::{Family, ParseError};
use crate::parts::NotLoaded;

pub mod check;
mod embed;
mod layout;
mod private;
mod read;
mod tables;
mod write;

pub(crate) use embed::jp2_head;
pub use embed::{Embedded, embed};
pub use read::{FileIndex, IndexedCodestream, Place, Places, TileView};
pub(crate) use tables::box_header;
pub use write::IndexWriter;

pub use crate::index::PacketParts;

/// Why index boxes could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Writing failed.
    #[error("writing the index failed: {0}")]
    Write(#[from] io::Error),
    /// The codestream could not be read where the index says that something lies.
    #[error("the codestream cannot be read: {0}")]
    Codestream(#[from] ParseError),
    /// Dense tables would be out of all proportion to what is in the codestream.
    #[error("{what}: {found} is more than the limit of {limit}")]
    LimitExceeded {
        /// What is counted.
        what: &'static str,
        /// How many there would be.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The file cannot be rewritten with an index inside.
    #[error("{what} is not supported")]
    Unsupported {
        /// The feature.
        what: &'static str,
    },
    /// The codestream index contradicts itself.
    #[error("the codestream index is inconsistent: {what}")]
    Inconsistent {
        /// What does not fit.
        what: &'static str,
    },
}

impl IndexError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Write(_) => Family::Unavailable,
            Self::Codestream(error) => error.family(),
            Self::LimitExceeded { .. } => Family::LimitExceeded,
            Self::Unsupported { .. } => Family::Unsupported,
            Self::Inconsistent { .. } => Family::Malformed,
        }
    }
}

/// Why an index file gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// More of the index file must be loaded; then the same call goes on.
    #[error(transparent)]
    NotLoaded(NotLoaded),
    /// The index file is not what we write; the object must be indexed again.
    #[error("the index is unusable: {0}")]
    Unusable(&'static str),
}

impl From<NotLoaded> for OpenError {
    fn from(missing: NotLoaded) -> Self {
        // Nothing to load means that the bytes would lie past the end of the file.
        if missing.ranges.is_empty() { Self::Unusable("it points past its own end") } else { Self::NotLoaded(missing) }
    }
}

#[cfg(test)]
mod tests;
