//! The client half: requests as text, messages out of response bytes, data-bins out of messages, and a
//! decodable codestream out of data-bins.
//!
//! ```
//! use jpip::client::{DataBinStore, MessageReader, StoreLimits};
//! use jpip::data_bin::BinKey;
//!
//! let mut store = DataBinStore::new(StoreLimits::default());
//! let mut reader = MessageReader::new();
//! // An empty metadata-bin 0, complete, then "window done"; bytes may come in any pieces.
//! for mut piece in [&[0x70, 8, 0][..], &[0, 0, 0, 2, 0]] {
//!     while let Some(event) = reader.read(&mut piece)? {
//!         store.apply(&event)?;
//!     }
//! }
//! assert!(store.is_complete(&BinKey::metadata(0)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod message_reader;
mod metadata_box;
mod reassemble;
mod request_builder;
mod store;
mod window;

pub use message_reader::{CutOff, Event, MessageReader};
pub use metadata_box::top_level_box;
pub use reassemble::{ReassembleError, ReassembleOptions, Reassembled, reassemble};
pub use request_builder::RequestBuilder;
pub use store::{DataBin, DataBinStore, StoreError, StoreLimits};
pub use window::{WindowNeeds, window_complete};
