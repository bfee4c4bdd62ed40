//! JPIP (ISO/IEC 15444-9) as values: requests in, messages out.
