//! Safe wrapper over OpenJPEG: a codestream or JP2 file in memory to samples, and samples to a codestream.
//!
//! Does: decodes whole images, reduced images and regions; encodes Part 1 codestreams for tests and for the
//! sample study; gives back OpenJPEG's messages as values; checks what a header announces before OpenJPEG
//! allocates for it.
//!
//! Never: converts colours (beyond undoing the codestream's own component transform), applies palettes or
//! channel definitions, opens files, prints. This is the only crate of the workspace that calls foreign code.

pub mod decode;
pub mod encode;
pub mod error;
pub mod image;

mod announced;
mod handles;
mod messages;
mod stream;

pub use decode::{DecodeParameters, Decoded, Rect, decode, decode_with_warnings};
pub use encode::{EncodeParameters, Progression, encode, most_levels};
pub use error::Error;
pub use image::{Component, Image};
