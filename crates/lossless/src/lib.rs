//! Samples to a lossless codestream, Part 1 or HT, in the layout that is wanted.
//!
//! Does: encodes by the reversible 5/3 wavelet, in one quality layer; lays the packets out anew (`codestream`'s
//! re-layout: precincts, progression, tile-parts, PLT, TLM, SOP, EPH); decodes the result and compares every sample
//! before it gives it away.
//!
//! Never: loses a sample, returns a codestream that OpenJPEG does not decode to the very image that was given, does
//! I/O, or trusts an encoder: openjph-core, which makes the HT code-blocks, is young, and a panic of it is an error
//! here like any other.

mod component_transform;
mod encode;
mod error;
mod ht;
mod part1;

pub use encode::{BlockCoder, Encoded, Limits, Parameters, Tiles, encode};
pub use error::Error;

#[cfg(test)]
mod tests;
