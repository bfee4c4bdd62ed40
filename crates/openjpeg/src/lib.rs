//! Safe wrapper over OpenJPEG.
