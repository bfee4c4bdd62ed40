//! From a JPIP request to the bytes of its response.
