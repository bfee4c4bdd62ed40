//! What one document may cost.

/// Bounds on one document; each is checked before what it bounds is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a document.
    pub max_bytes: usize,
    /// Elements inside one another.
    pub max_depth: usize,
    /// Attributes of an element that is looked at.
    pub max_attributes: usize,
    /// Regions and registrations, those that make no sense included.
    pub max_annotations: usize,
    /// Bytes of a name.
    pub max_name: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 4 << 20, max_depth: 64, max_attributes: 64, max_annotations: 10_000, max_name: 255 }
    }
}
