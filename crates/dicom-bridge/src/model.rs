//! The attributes of an object for others to read: DICOM JSON [PS3.18 F] or the Native DICOM Model in XML [PS3.19 A.1].
//!
//! All text is UTF-8 and Specific Character Set says so, in items too. Bytes and long values are named by a URI, and
//! [`find_bulk_data`] knows what it names. Group lengths are left out, and so is an element that stands there
//! twice: the first counts.

mod base64;
mod bulk_data;
mod described;
mod json;
mod name;
mod walker;
mod xml;
mod xml_of_json;

use std::io;

use codestream::ByteSource;

use crate::element::Encoding;
use crate::elements::Elements;
use crate::error::ObjectError;
use crate::input::ObjectInput;
use crate::limits::ScanLimits;
use crate::object::with_elements;
use walker::Walker;

pub use bulk_data::{BulkData, find_bulk_data};
pub use described::{BulkPart, Described, DescriptionError, Piece};
pub use name::BulkDataPath;
pub use xml_of_json::write_xml_of_json;

/// How attributes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelForm {
    /// One object of DICOM JSON.
    Json,
    /// A whole XML document.
    Xml,
}

/// Writes all attributes of a DICOM file but those of its File Meta Information; pixel data are never loaded.
///
/// Bulk data are named `bulk_base` and a path [`BulkDataPath`].
///
/// # Errors
///
/// - [`ObjectError`] if the file cannot be read to its end; an error of `out` is [`ObjectError::Source`].
pub fn write_model(
    source: &dyn ByteSource,
    limits: &ScanLimits,
    form: ModelForm,
    bulk_base: &str,
    out: &mut dyn io::Write,
) -> Result<(), ObjectError> {
    with_elements(source, limits, |_meta, elements| write_elements(elements, form, bulk_base, out))
}

/// Writes a data set in Explicit VR Little Endian that stands alone.
pub(crate) fn write_data_set(bytes: &[u8], form: ModelForm, out: &mut dyn io::Write) -> Result<(), ObjectError> {
    let (limits, mut input) = (ScanLimits::default(), ObjectInput::new(&bytes, 0));
    write_elements(&mut Elements::new(&mut input, Encoding::ExplicitLittle, &limits), form, "", out)
}

fn write_elements(
    elements: &mut Elements<'_>,
    form: ModelForm,
    bulk_base: &str,
    out: &mut dyn io::Write,
) -> Result<(), ObjectError> {
    match form {
        ModelForm::Json => Walker::new(&mut json::Writer::new(out), bulk_base).walk(elements),
        ModelForm::Xml => Walker::new(&mut xml::Writer::new(out), bulk_base).walk(elements),
    }
}

/// One attribute's value on its way out.
enum Value {
    Empty,
    /// Text; an empty value is an empty string.
    Text(Vec<String>),
    /// Text that spells numbers.
    NumberText(Vec<String>),
    PersonNames(Vec<String>),
    /// Numbers in decimal.
    Numbers(Vec<String>),
    /// Bytes in little-endian order.
    Bytes(Vec<u8>),
    /// Bytes that have a URI of their own.
    BulkData(String),
}

/// Which attribute it is.
struct Attribute<'a> {
    tag: u32,
    vr: &'static str,
    /// Of a private attribute, if it is known.
    private_creator: Option<&'a str>,
}

/// What writes one form.
trait Form {
    fn begin(&mut self) -> io::Result<()>;
    fn value(&mut self, attribute: &Attribute<'_>, value: &Value) -> io::Result<()>;
    fn begin_sequence(&mut self, attribute: &Attribute<'_>) -> io::Result<()>;
    fn begin_item(&mut self) -> io::Result<()>;
    fn end_item(&mut self) -> io::Result<()>;
    fn end_sequence(&mut self) -> io::Result<()>;
    fn end(&mut self) -> io::Result<()>;
}

/// The three groups of a person's name [PS3.5 6.2.1], and what they are called.
fn name_groups(name: &str) -> impl Iterator<Item = (&'static str, &str)> {
    let groups = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(name.split('='));
    groups.filter(|(_, group)| !group.is_empty())
}
