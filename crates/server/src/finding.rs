//! What C-FIND and QIDO-RS share: keys in their words become keys of the catalog, and its answers become attributes.

pub(crate) mod attributes;
pub(crate) mod keys;
