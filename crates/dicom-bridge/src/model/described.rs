//! Objects that are described in DICOM JSON, with their bulk data apart [PS3.18 8.6, F]: what a file of them is made of.

use dicom_core::VR;
use serde_json::{Map, Value};
use thiserror::Error;

use super::base64;
use crate::element::has_short_length;
use crate::outgoing::EXPLICIT_LITTLE;
use crate::transfer_syntax::TransferSyntax;
use crate::uid::parse_uid;
use crate::write::file_head;

/// Why a description makes no object. No message holds a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// It is no DICOM JSON.
    #[error("not an object or array of DICOM JSON")]
    Syntax,
    /// An attribute has a value that its VR does not allow, or no VR.
    #[error("the value of ({0}) is not one of its value representation")]
    Value(String),
    /// SOP Class UID or SOP Instance UID is absent or none.
    #[error("SOP class or instance is missing")]
    Identity,
    /// Bulk data that are named did not come.
    #[error("the bulk data of ({0}) did not come")]
    BulkData(String),
}

/// One object that is described.
#[derive(Debug, Clone)]
pub struct Described {
    attributes: Map<String, Value>,
    sop_class_uid: String,
    sop_instance_uid: String,
}

/// Bulk data that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPart {
    /// What the description calls it.
    pub location: String,
    /// Length in bytes.
    pub len: u64,
    /// Transfer syntax of its bytes, where its media type tells one.
    pub transfer_syntax_uid: Option<String>,
}

/// A piece of the file of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// All bytes of the bulk part with this position.
    Bulk(usize),
}

/// Elements that the file is given anew.
const MADE_ANEW: [u32; 2] = [0x0008_0005, 0x0008_3002];
const PIXEL_DATA: &str = "7FE00010";

impl Described {
    /// Reads one description or an array of them.
    ///
    /// # Errors
    ///
    /// - [`DescriptionError::Syntax`] if it is neither.
    pub fn parse_all(json: &[u8]) -> Result<Vec<Result<Self, DescriptionError>>, DescriptionError> {
        let parsed = serde_json::from_slice(json).map_err(|_not_json| DescriptionError::Syntax)?;
        let all = match parsed {
            Value::Array(all) => all,
            one => vec![one],
        };
        let described = all.into_iter().map(|one| match one {
            Value::Object(attributes) => Ok(Self::new(attributes)),
            _ => Err(DescriptionError::Syntax),
        });
        described.collect()
    }

    fn new(attributes: Map<String, Value>) -> Result<Self, DescriptionError> {
        let uid = |tag: &str| {
            let text = attributes.get(tag)?.get("Value")?.get(0)?.as_str()?;
            parse_uid(text.as_bytes(), "UID").ok().flatten()
        };
        let identity = uid("00080016").zip(uid("00080018"));
        let (sop_class_uid, sop_instance_uid) = identity.ok_or(DescriptionError::Identity)?;
        Ok(Self { attributes, sop_class_uid, sop_instance_uid })
    }

    /// SOP Class UID and SOP Instance UID.
    #[must_use]
    pub fn identity(&self) -> (&str, &str) {
        (&self.sop_class_uid, &self.sop_instance_uid)
    }

    /// The file, whose pixel data are encapsulated, a fragment for each of their parts, where these are compressed.
    ///
    /// # Errors
    ///
    /// - [`DescriptionError`] if a value does not suit its VR or bulk data did not come.
    pub fn pieces(&self, bulk: &[BulkPart]) -> Result<Vec<Piece>, DescriptionError> {
        let syntax = self.transfer_syntax(bulk);
        let head = file_head(&self.sop_class_uid, &self.sop_instance_uid, syntax.uid());
        let mut writer = Writer { bulk, syntax: &syntax, pieces: Vec::new() };
        writer.bytes(&head.map_err(|_invalid| DescriptionError::Identity)?);
        writer.attributes(&self.attributes, true)?;
        Ok(writer.pieces)
    }

    /// That of the pixel data, which their part tells, or else the description.
    fn transfer_syntax(&self, bulk: &[BulkPart]) -> TransferSyntax {
        let uri = self.attributes.get(PIXEL_DATA).and_then(|value| value.get("BulkDataURI")?.as_str());
        let part = uri.and_then(|uri| bulk.iter().find(|part| part.location == uri));
        let told = |tag: &str| self.attributes.get(tag)?.get("Value")?.get(0)?.as_str();
        let uid = part.and_then(|part| part.transfer_syntax_uid.as_deref());
        let named = uid.or_else(|| told("00083002")).or_else(|| told("00020010")).map(TransferSyntax::from_uid);
        // The file is written with VRs and little endian: that is what all but three transfer syntaxes want.
        let usable = named.filter(|syntax| syntax.is_encapsulated() && part.is_some());
        usable.unwrap_or_else(|| TransferSyntax::from_uid(EXPLICIT_LITTLE))
    }
}

struct Writer<'a> {
    bulk: &'a [BulkPart],
    syntax: &'a TransferSyntax,
    pieces: Vec<Piece>,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
    }

    fn attributes(&mut self, attributes: &Map<String, Value>, is_outermost: bool) -> Result<(), DescriptionError> {
        let mut tags = Vec::with_capacity(attributes.len());
        for (name, attribute) in attributes {
            let is_tag = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            let tag = u32::from_str_radix(name, 16).ok().filter(|_| is_tag);
            tags.push((tag.ok_or(DescriptionError::Syntax)?, name, attribute));
        }
        tags.retain(|(tag, ..)| tag >> 16 > 0x0002 && tag & 0xffff != 0 && !MADE_ANEW.contains(tag));
        tags.sort_unstable_by_key(|(tag, ..)| *tag);
        let utf8 = serde_json::json!({ "vr": "CS", "Value": ["ISO_IR 192"] });
        let mut said = !is_outermost;
        for (tag, name, attribute) in tags {
            if tag > 0x0008_0005 && !std::mem::replace(&mut said, true) {
                self.attribute(0x0008_0005, "00080005", &utf8)?;
            }
            self.attribute(tag, name, attribute)?;
        }
        Ok(())
    }

    fn attribute(&mut self, tag: u32, name: &str, attribute: &Value) -> Result<(), DescriptionError> {
        let wrong = || DescriptionError::Value(name.to_owned());
        let vr: VR = attribute.get("vr").and_then(Value::as_str).and_then(|vr| vr.parse().ok()).ok_or_else(wrong)?;
        if let Some(uri) = attribute.get("BulkDataURI") {
            return self.bulk(tag, name, vr, uri.as_str().ok_or_else(wrong)?);
        }
        let none = Vec::new();
        let values = match attribute.get("Value") {
            None => &none,
            Some(values) => values.as_array().ok_or_else(wrong)?,
        };
        if vr == VR::SQ {
            self.header(tag, vr, u32::MAX);
            for item in values {
                self.bytes(&[0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]);
                self.attributes(item.as_object().ok_or_else(wrong)?, false)?;
                self.bytes(&[0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0]);
            }
            self.bytes(&[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
            return Ok(());
        }
        let mut bytes = match attribute.get("InlineBinary") {
            Some(text) => text.as_str().and_then(base64::decode),
            None => encoded(vr, values),
        }
        .ok_or_else(wrong)?;
        if !bytes.len().is_multiple_of(2) {
            bytes.push(if is_padded_with_zero(vr) { 0 } else { b' ' });
        }
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= 0xfffe || !has_short_length(vr));
        self.header(tag, vr, len.ok_or_else(wrong)?);
        self.bytes(&bytes);
        Ok(())
    }

    fn bulk(&mut self, tag: u32, name: &str, vr: VR, uri: &str) -> Result<(), DescriptionError> {
        let parts: Vec<_> = self.bulk.iter().enumerate().filter(|(_, part)| part.location == uri).collect();
        let [(first, part), ..] = parts.as_slice() else {
            return Err(DescriptionError::BulkData(name.to_owned()));
        };
        let wrong = || DescriptionError::Value(name.to_owned());
        let even = |len: u64| u32::try_from(len).ok()?.checked_next_multiple_of(2).filter(|len| *len < u32::MAX);
        if name.eq_ignore_ascii_case(PIXEL_DATA) && self.syntax.is_encapsulated() {
            self.header(tag, VR::OB, u32::MAX);
            self.bytes(&[0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
            for (nth, part) in parts {
                self.bytes(&[0xfe, 0xff, 0x00, 0xe0]);
                self.bytes(&even(part.len).ok_or_else(wrong)?.to_le_bytes());
                self.pieces.push(Piece::Bulk(nth));
                self.pad(part.len, 0);
            }
            self.bytes(&[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
            return Ok(());
        }
        let len = even(part.len).filter(|len| *len <= 0xfffe || !has_short_length(vr)).ok_or_else(wrong)?;
        self.header(tag, vr, len);
        self.pieces.push(Piece::Bulk(*first));
        self.pad(part.len, if is_padded_with_zero(vr) { 0 } else { b' ' });
        Ok(())
    }

    fn pad(&mut self, len: u64, padding: u8) {
        if !len.is_multiple_of(2) {
            self.bytes(&[padding]);
        }
    }

    fn header(&mut self, tag: u32, vr: VR, len: u32) {
        let [g0, g1, e0, e1] = tag.to_be_bytes();
        self.bytes(&[g1, g0, e1, e0]);
        self.bytes(&vr.to_bytes());
        let len = len.to_le_bytes();
        let short = len.get(..2).unwrap_or_default();
        if has_short_length(vr) {
            self.bytes(short);
        } else {
            self.bytes(&[0, 0]);
            self.bytes(&len);
        }
    }
}

const fn is_padded_with_zero(vr: VR) -> bool {
    matches!(vr, VR::UI | VR::OB | VR::UN)
}

/// The bytes of these values.
fn encoded(vr: VR, values: &[Value]) -> Option<Vec<u8>> {
    fn integers<const N: usize>(values: &[Value], bytes: fn(i128) -> Option<[u8; N]>) -> Option<Vec<u8>> {
        let integer = |value: &Value| match value {
            Value::Number(number) => number.to_string().parse().ok(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        Some(values.iter().map(|value| bytes(integer(value)?)).collect::<Option<Vec<_>>>()?.concat())
    }
    match vr {
        VR::US => integers(values, |n| u16::try_from(n).ok().map(u16::to_le_bytes)),
        VR::SS => integers(values, |n| i16::try_from(n).ok().map(i16::to_le_bytes)),
        VR::UL => integers(values, |n| u32::try_from(n).ok().map(u32::to_le_bytes)),
        VR::SL => integers(values, |n| i32::try_from(n).ok().map(i32::to_le_bytes)),
        VR::UV => integers(values, |n| u64::try_from(n).ok().map(u64::to_le_bytes)),
        VR::SV => integers(values, |n| i64::try_from(n).ok().map(i64::to_le_bytes)),
        VR::FL => values
            .iter()
            .map(|value| Some(value_text(value)?.parse::<f32>().ok()?.to_le_bytes().to_vec()))
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat()),
        VR::FD => values
            .iter()
            .map(|value| Some(value_text(value)?.parse::<f64>().ok()?.to_le_bytes().to_vec()))
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat()),
        VR::AT => {
            let tag = |value: &Value| {
                let text = value.as_str().filter(|text| text.len() == 8)?;
                let [g0, g1, e0, e1] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
                Some([g1, g0, e1, e0])
            };
            Some(values.iter().map(tag).collect::<Option<Vec<_>>>()?.concat())
        }
        VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN => values.is_empty().then(Vec::new),
        VR::PN => text(values, |value| match value {
            Value::Object(groups) => {
                let group = |name: &str| groups.get(name).map_or(Some(""), Value::as_str);
                let all = [group("Alphabetic")?, group("Ideographic")?, group("Phonetic")?].join("=");
                Some(all.trim_end_matches('=').to_owned())
            }
            other => value_text(other),
        }),
        VR::DS => text(values, |value| {
            let number = value_text(value)?;
            // Sixteen characters are all that it may have [PS3.5 6.2].
            Some(if number.len() > 16 { format!("{:.9e}", number.parse::<f64>().ok()?) } else { number })
        }),
        _ => text(values, value_text),
    }
}

fn text(values: &[Value], one: impl Fn(&Value) -> Option<String>) -> Option<Vec<u8>> {
    Some(values.iter().map(one).collect::<Option<Vec<_>>>()?.join("\\").into_bytes())
}

fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
