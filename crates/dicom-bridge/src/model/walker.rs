//! From the elements of an object to the attributes of its model.

use dicom_core::{Tag, VR};

use super::name::BulkDataPath;
use super::{Attribute, Form, Value};
use crate::element::{ElementHeader, Encoding, dictionary_vr, is_signed_with_pixels};
use crate::elements::{Elements, Event, PIXEL_DATA};
use crate::error::ObjectError;
use crate::stored_value::{number_size, turn_around};
use crate::text::CharacterSet;
use crate::value::{Number, text_values};

/// Walks through one object.
pub(super) struct Walker<'w> {
    form: &'w mut dyn Form,
    bulk_base: &'w str,
    /// Of the data set itself and of each item that is open.
    levels: Vec<Level>,
    /// The sequences that are open, with the number of the item.
    items: Vec<(Tag, u32)>,
    /// Whether pixel values are signed, as far as is known.
    signed_pixels: bool,
}

/// What holds for the elements of one item.
struct Level {
    character_set: CharacterSet,
    /// Tags in the order in which they came.
    seen: Vec<Tag>,
    highest: Tag,
    /// Group and block of each private creator, and its name.
    creators: Vec<(u16, u16, String)>,
}

/// Sequences inside each other; deeper ones are written without their items. Readers of JSON give up not much deeper,
/// and would get nothing of a study that holds one such object.
const MAX_DEPTH: usize = 32;
/// Longest value of bytes that stands among the attributes, in bytes.
const MAX_INLINE_BYTES: u64 = 4096;
/// Longest other value that does.
const MAX_INLINE_VALUE: u64 = 64 * 1024;

const SPECIFIC_CHARACTER_SET: Tag = Tag(0x0008, 0x0005);
const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);

impl<'w> Walker<'w> {
    pub(super) fn new(form: &'w mut dyn Form, bulk_base: &'w str) -> Self {
        Self { form, bulk_base, levels: Vec::new(), items: Vec::new(), signed_pixels: false }
    }

    pub(super) fn walk(mut self, elements: &mut Elements<'_>) -> Result<(), ObjectError> {
        self.form.begin()?;
        self.levels.push(Level::within(None));
        while let Some(event) = elements.next()? {
            match event {
                Event::Value(header, len) => {
                    if self.is_new(&header)? {
                        self.value(elements, header, len)?;
                    }
                }
                Event::Fragments(header) => {
                    elements.fragments()?;
                    if self.is_new(&header)? {
                        let bulk = self.bulk_data(header.tag);
                        self.write(header.tag, header.vr, &bulk)?;
                    }
                }
                Event::SequenceBegin(header) => {
                    let (is_new, is_deep) = (self.is_new(&header)?, self.items.len() >= MAX_DEPTH);
                    match is_new {
                        true if is_deep => self.write(header.tag, VR::SQ, &Value::Empty)?,
                        true => self.begin_sequence(header.tag)?,
                        false => {}
                    }
                    if is_deep || !is_new {
                        pass_over(elements)?;
                    }
                }
                Event::ItemBegin => {
                    if let Some((_, number)) = self.items.last_mut() {
                        *number = number.saturating_add(1);
                    }
                    self.levels.push(Level::within(self.levels.last()));
                    self.form.begin_item()?;
                }
                Event::ItemEnd => {
                    self.levels.pop();
                    self.form.end_item()?;
                }
                Event::SequenceEnd => {
                    self.items.pop();
                    self.form.end_sequence()?;
                }
            }
        }
        self.name_character_set(Tag(0xffff, 0xffff))?;
        Ok(self.form.end()?)
    }

    /// Whether the element is to be written: the first of its tag in its item, and no group length.
    fn is_new(&mut self, header: &ElementHeader) -> Result<bool, ObjectError> {
        self.name_character_set(header.tag)?;
        let is_new = self.levels.last_mut().is_some_and(|level| level.add(header.tag));
        Ok(is_new && header.tag.element() != 0)
    }

    /// An object whose text is not UTF-8 is written in UTF-8: it says so itself, or it is said before what follows.
    fn name_character_set(&mut self, next: Tag) -> Result<(), ObjectError> {
        let [level] = self.levels.as_mut_slice() else { return Ok(()) };
        if next > SPECIFIC_CHARACTER_SET && level.add(SPECIFIC_CHARACTER_SET) {
            self.write_utf8()?;
        }
        Ok(())
    }

    fn write_utf8(&mut self) -> Result<(), ObjectError> {
        self.write(SPECIFIC_CHARACTER_SET, VR::CS, &Value::Text(vec!["ISO_IR 192".to_owned()]))
    }

    fn begin_sequence(&mut self, tag: Tag) -> Result<(), ObjectError> {
        self.items.push((tag, 0));
        let attribute = attribute(self.levels.last(), tag, VR::SQ);
        Ok(self.form.begin_sequence(&attribute)?)
    }

    fn write(&mut self, tag: Tag, vr: VR, value: &Value) -> Result<(), ObjectError> {
        let attribute = attribute(self.levels.last(), tag, vr);
        Ok(self.form.value(&attribute, value)?)
    }

    fn bulk_data(&self, tag: Tag) -> Value {
        let path = BulkDataPath { items: self.items.clone(), tag };
        Value::BulkData(format!("{}{path}", self.bulk_base))
    }

    fn value(&mut self, elements: &mut Elements<'_>, header: ElementHeader, len: u64) -> Result<(), ObjectError> {
        let (tag, mut encoding) = (header.tag, elements.encoding());
        let mut vr = header.vr;
        if vr == VR::UN && dictionary_vr(tag) != VR::SQ {
            // Whoever did not know the VR kept the value as it came [PS3.5 6.2.2 note].
            vr = dictionary_vr(tag);
            encoding = Encoding::ImplicitLittle;
        }
        if self.signed_pixels && encoding == Encoding::ImplicitLittle && is_signed_with_pixels(tag) {
            vr = VR::SS;
        }
        let is_bytes = matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN | VR::SQ);
        let is_pixel_data = tag == PIXEL_DATA && self.items.is_empty();
        if is_pixel_data || len > if is_bytes { MAX_INLINE_BYTES } else { MAX_INLINE_VALUE } {
            let bulk = self.bulk_data(tag);
            return self.write(tag, vr, &bulk);
        }
        let mut bytes = elements.read_value()?;
        if tag == SPECIFIC_CHARACTER_SET {
            if let Some(level) = self.levels.last_mut() {
                level.character_set = CharacterSet::from_value(&bytes);
            }
            return self.write_utf8();
        }
        if is_bytes {
            if encoding == Encoding::ExplicitBig {
                turn_around(&mut bytes, number_size(vr));
            }
            let value = if bytes.is_empty() { Value::Empty } else { Value::Bytes(bytes) };
            return self.write(tag, vr, &value);
        }
        let value = self.decoded(vr, &bytes, encoding);
        self.note(tag, &value);
        self.write(tag, vr, &value)
    }

    fn decoded(&self, vr: VR, bytes: &[u8], encoding: Encoding) -> Value {
        let values = match (Number::of(vr), self.levels.last()) {
            (Some(kind), _) => kind.decode(bytes, encoding).collect(),
            (None, Some(level)) => text_values(vr, bytes, &level.character_set),
            (None, None) => Vec::new(),
        };
        match vr {
            _ if values.iter().all(String::is_empty) => Value::Empty,
            VR::AT => Value::Text(values),
            VR::PN => Value::PersonNames(values),
            VR::DS | VR::IS => Value::NumberText(values),
            _ if Number::of(vr).is_some() => Value::Numbers(values),
            _ => Value::Text(values),
        }
    }

    /// Remembers what says how others are to be read.
    fn note(&mut self, tag: Tag, value: &Value) {
        let (group, element) = (tag.group(), tag.element());
        match value {
            Value::Numbers(numbers) if tag == PIXEL_REPRESENTATION => {
                self.signed_pixels = numbers.first().is_some_and(|number| number == "1");
            }
            Value::Text(names) if !group.is_multiple_of(2) && (0x10..0x100).contains(&element) => {
                if let (Some(level), Some(name)) = (self.levels.last_mut(), names.first()) {
                    level.creators.push((group, element, name.clone()));
                }
            }
            _ => {}
        }
    }
}

impl Level {
    fn within(around: Option<&Self>) -> Self {
        let character_set = around.map_or_else(|| CharacterSet::from_value(b""), |around| around.character_set.clone());
        Self { character_set, seen: Vec::new(), highest: Tag(0, 0), creators: Vec::new() }
    }

    /// Whether this tag is the first of its kind. Tags ascend but for those of faulty objects.
    fn add(&mut self, tag: Tag) -> bool {
        if !self.seen.is_empty() && tag <= self.highest && self.seen.contains(&tag) {
            return false;
        }
        self.highest = self.highest.max(tag);
        self.seen.push(tag);
        true
    }

    fn creator_of(&self, tag: Tag) -> Option<&str> {
        let block = tag.element() >> 8;
        let is_private = !tag.group().is_multiple_of(2) && block >= 0x10;
        let mut creators = self.creators.iter().filter(|_| is_private);
        creators.find(|(group, element, _)| (*group, *element) == (tag.group(), block)).map(|(.., name)| name.as_str())
    }
}

fn attribute(level: Option<&Level>, tag: Tag, vr: VR) -> Attribute<'_> {
    let number = u32::from(tag.group()) << 16 | u32::from(tag.element());
    let private_creator = level.and_then(|level| level.creator_of(tag));
    Attribute { tag: number, vr: vr.to_string(), private_creator }
}

/// Passes over the sequence that has begun.
fn pass_over(elements: &mut Elements<'_>) -> Result<(), ObjectError> {
    let around = elements.depth().saturating_sub(1);
    while elements.depth() > around {
        match elements.next()? {
            Some(Event::Fragments(_)) => drop(elements.fragments()?),
            Some(_) => {}
            None => break,
        }
    }
    Ok(())
}
