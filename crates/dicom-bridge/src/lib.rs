//! DICOM objects as Precinct sees them.
