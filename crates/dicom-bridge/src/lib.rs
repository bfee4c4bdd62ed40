//! DICOM objects as Precinct sees them: attributes, frames and where their bytes lie.
//!
//! Does: Part 10 files in every transfer syntax [PS3.10 7, PS3.5 7], the walk over the whole data set,
//! the attributes that the catalog keeps, the extents of each encapsulated frame [PS3.5 A.4], both sides of
//! associations [PS3.7, PS3.8], the forms in which a stored object goes out, JPIP Referenced ones among them [PS3.5 A.6],
//! and a writer for objects that the project itself makes.
//!
//! Never: owns a socket, loads pixel data, decodes an image, trusts a length that it has not checked against the end
//! of the object, recurses with the nesting of a data set, changes a received object, follows a Pixel
//! Data Provider URL, or puts an attribute's value into an error.
//!
//! ```
//! use dicom_bridge::{PixelData, ScanLimits, scan, write::{NewObject, OffsetTable}};
//!
//! let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "2.25.1", "1.2.840.10008.1.2.4.90");
//! object.attributes().put(0x0028_0008, "IS", "2");
//! let bytes = object.encapsulate(&[vec![0xff, 0x4f, 0xff, 0x51], vec![0xff, 0x4f, 0xff, 0x51]], OffsetTable::Basic, 1)?;
//!
//! let scanned = scan(&bytes, &ScanLimits::default())?;
//! assert_eq!(scanned.attributes.sop_instance_uid, "2.25.1");
//! assert!(matches!(scanned.pixel_data, PixelData::Encapsulated { frames, .. } if frames.len() == 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attributes;
mod data_set;
pub mod dictionary;
pub mod dimse;
mod element;
mod elements;
mod error;
mod file_meta;
mod fragments;
mod frames;
mod input;
mod limits;
pub mod media_type;
pub mod model;
pub mod multipart;
mod object;
pub mod outgoing;
pub mod referenced;
mod stored_value;
mod text;
mod transfer_syntax;
mod uid;
mod value;
pub mod write;

pub use attributes::{Attribute, Attributes};
pub use error::ObjectError;
pub use file_meta::{claimed_instance, is_part10};
pub use input::inflate;
pub use limits::ScanLimits;
pub use object::{PixelData, ScannedObject, holds_same_data_set, scan};
pub use stored_value::StoredValue;
pub use transfer_syntax::TransferSyntax;
