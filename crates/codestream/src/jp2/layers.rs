//! Compositing layers of a JPX file: which codestreams each is made of [15444-2 M.11.7].

use crate::boxes::{BoxBudget, BoxReader, read_contents};
use crate::error::ParseError;
use crate::extent::Extent;
use crate::reader::ByteSource;

/// One compositing layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layer {
    /// The codestreams that it is made of, in the order of the file; some may not exist.
    pub codestreams: Vec<u32>,
}

impl Layer {
    /// The layer that a single codestream makes.
    #[must_use]
    pub fn of_codestream(number: u32) -> Self {
        Self { codestreams: vec![number] }
    }
}

/// Reads a compositing layer header box whose contents are given; without a codestream registration box layer
/// `number` is the codestream of that number [15444-2 M.11.7.7].
pub(super) fn read(
    source: &dyn ByteSource,
    budget: &BoxBudget,
    contents: Extent,
    number: u32,
) -> Result<Layer, ParseError> {
    for child in BoxReader::children(source, budget, contents, 1)? {
        let child = child?;
        if &child.box_type != b"creg" {
            continue;
        }
        // XS, YS, and for each codestream CDN, XR, YR, XO, YO.
        let bytes = read_contents(source, child.contents, MAX_REGISTRATION)?;
        let (entries, _) = bytes.get(4..).unwrap_or_default().as_chunks::<6>();
        let codestreams = entries.iter().map(|&[high, low, ..]| u32::from(u16::from_be_bytes([high, low]))).collect();
        return Ok(Layer { codestreams });
    }
    Ok(Layer::of_codestream(number))
}

/// Bytes of a codestream registration box; a layer of more codestreams is read as one without.
const MAX_REGISTRATION: u64 = 4 + 6 * 1024;
