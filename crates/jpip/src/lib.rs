//! JPIP (ISO/IEC 15444-9) as values: requests in, messages out.

pub mod data_bin;
pub mod message;
pub mod vbas;
