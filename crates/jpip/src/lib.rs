//! JPIP (ISO/IEC 15444-9) as values: requests in, messages out; the server half and the client half.
//!
//! Does: reads requests, maps view-windows onto codestreams, keeps cache models and the tables of channels,
//! decides which bytes of which data-bin go out next and what their message headers are; on the other side
//! builds requests, reads messages and puts decodable codestreams together.
//!
//! Never: opens a socket or a file, reads a clock or a random source, holds or copies image bytes on the
//! serving side (a message body is a [`codestream::Span`] or an [`codestream::Extent`]), hears of SOP
//! Instances, or records bytes in a cache model before they were delivered.
#![cfg_attr(
    test,
    expect(
        clippy::cast_possible_truncation,
        reason = "tests cast numbers that they have made; the build without tests checks the rest"
    )
)]

pub mod cache_model;
pub mod chunk;
pub mod client;
pub mod data_bin;
pub mod dialect;
pub mod http_tcp;
pub mod limits;
pub mod message;
pub mod metadata;
pub mod request;
pub mod request_order;
pub mod response;
pub mod selection;
pub mod session;
pub mod target;
pub mod udp;
pub mod vbas;
pub mod view_window;

pub use cache_model::CacheModel;
pub use data_bin::{BinKey, CodestreamId, DataBinClass};
pub use limits::Limits;
pub use message::EorReason;
pub use request::Request;
pub use request::error::RequestError;
pub use response::{Batch, Piece, PlanError, ResponsePlan};
pub use target::{BoxInBin, CodestreamSet, LogicalTarget, MetadataBin, MetadataBins, NamedRegion, Part};
