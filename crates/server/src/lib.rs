//! The Precinct server.
