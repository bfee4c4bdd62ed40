//! The limits of one scan.

/// How much of an object a scan takes before it refuses.
///
/// They bound memory and time by constants; the object itself may be of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanLimits {
    /// Elements and items of the whole data set, nested ones included.
    pub max_elements: u64,
    /// Sequences and items open at the same time.
    pub max_depth: usize,
    /// Fragments of the pixel data, and entries of each offset table.
    pub max_fragments: u64,
    /// Bytes of the File Meta Information.
    pub max_meta_bytes: u64,
    /// Bytes of one attribute's value; longer ones are left out.
    pub max_value_bytes: u64,
    /// Bytes of all attribute values together; what comes after is left out.
    pub max_attribute_bytes: usize,
    /// Bytes of all values inside sequences together; a sequence that goes beyond is left out as a whole.
    pub max_sequence_bytes: usize,
    /// Bytes that a deflated data set may inflate to.
    pub max_inflated_bytes: u64,
    /// Inflated bytes for each deflated one, counted once 16 MiB have been inflated.
    pub max_inflate_ratio: u64,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self {
            max_elements: 4_000_000,
            max_depth: 512,
            max_fragments: 500_000,
            max_meta_bytes: 64 * 1024,
            max_value_bytes: 1024,
            max_attribute_bytes: 64 * 1024,
            max_sequence_bytes: 16 * 1024,
            max_inflated_bytes: 1 << 30,
            max_inflate_ratio: 200,
        }
    }
}
