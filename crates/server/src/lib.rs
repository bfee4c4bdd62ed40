//! The process: sockets above, stored bytes at the side, the protocol core in between.
//!
//! Does: the `precinct` binary with all its commands; the HTTP service; DICOM associations; ingest, indexing and storage.
//!
//! Never: decodes a pixel to serve one, sends a byte that `FrameExtents::locate` has not seen, records bytes in a
//! cache model before the socket has taken them, or writes an attribute of a patient into a log, an error or a URL.

pub mod app;
pub mod cli;
pub mod config;
pub mod data_dir;
mod dimse;
mod finding;
pub mod fsck;
mod http;
pub mod ingest;
mod listening;
mod outgoing;
mod serving;
pub mod storage;
pub mod telemetry;
mod transport;
pub mod worker;
mod written;
