//! Bodies of several parts [RFC 2046 5.1, RFC 2387, PS3.18 8.6.1]: written part by part, read piece by piece.
//!
//! Neither side ever holds a part: the writer gives what stands between parts, the reader hands on the bytes of a part as
//! they come and keeps back no more than a boundary.

mod reader;
mod writer;

pub use reader::{MultipartError, MultipartEvent, MultipartLimits, MultipartReader, PartHeaders};
pub use writer::MultipartWriter;
