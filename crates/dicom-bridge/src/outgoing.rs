//! The form in which a stored instance goes out: as it is stored, in another native encoding, or as a JPIP Referenced object.
//!
//! Values are copied piece by piece: memory does not grow with the object.

mod copied;
mod deflated;
pub(crate) mod edits;
mod recoded;
mod spliced;

use std::io;
use std::ops::Range;

use codestream::ByteSource;
use thiserror::Error;

use crate::element::Encoding;
use crate::error::ObjectError;
use crate::file_meta::{FileMeta, has_preamble};
use crate::limits::ScanLimits;
use crate::object::encoding_at;
use crate::referenced::{Referable, transfer_syntaxes_that_refer_to};
use crate::transfer_syntax::TransferSyntax;
use crate::write::file_head;
use copied::copy;
use deflated::deflate;
use edits::Edits;

/// A form that an instance can go out in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutgoingForm {
    /// Byte for byte, in its own transfer syntax.
    AsStored(TransferSyntax),
    /// In another native transfer syntax, with the same values.
    Reencoded(TransferSyntax),
    /// In a JPIP Referenced transfer syntax, without its pixel data.
    Referenced(TransferSyntax, Referable),
}

/// Why an instance goes out in none of the transfer syntaxes that a peer accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CannotBe {
    /// The peer wants its pixel data referred to, and they cannot be.
    #[error("the instance cannot be sent as a JPIP Referenced object")]
    Referenced,
    /// It would have to be decoded or coded anew.
    #[error("the instance cannot be sent in any of the accepted transfer syntaxes without decoding it")]
    Transcoded,
}

/// An instance whose form is to be found.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The transfer syntax that it is stored in.
    pub stored: &'a TransferSyntax,
    /// What can be said of its codestreams, if it can be referred to.
    pub referable: Option<Referable>,
    /// Whether the peer would rather have a JPIP Referenced object than the stored one.
    pub prefers_referenced: bool,
}

impl OutgoingForm {
    /// The transfer syntax of what goes out.
    #[must_use]
    pub const fn transfer_syntax(&self) -> &TransferSyntax {
        match self {
            Self::AsStored(transfer_syntax)
            | Self::Reencoded(transfer_syntax)
            | Self::Referenced(transfer_syntax, _) => transfer_syntax,
        }
    }
}

impl Outgoing<'_> {
    /// All forms that it can have, the best first: as stored, because that is free and loses nothing; native ones; and
    /// what only refers to pixel data last, or first where that is preferred.
    #[must_use]
    pub fn forms(&self) -> Vec<OutgoingForm> {
        let native = NATIVE.iter().map(|uid| TransferSyntax::from_uid(uid)).filter(|other| other != self.stored);
        let native = native.filter(|_| self.stored.is_native()).map(OutgoingForm::Reencoded);
        let mut whole: Vec<_> = [OutgoingForm::AsStored(self.stored.clone())].into_iter().chain(native).collect();
        let mut forms: Vec<_> = self.referable.iter().flat_map(referenced).collect();
        if self.prefers_referenced {
            forms.append(&mut whole);
            return forms;
        }
        whole.append(&mut forms);
        whole
    }

    /// The best form for a peer that accepts these transfer syntaxes.
    ///
    /// # Errors
    ///
    /// - [`CannotBe`] if there is none.
    pub fn choose<U: AsRef<str>>(&self, accepted: &[U]) -> Result<OutgoingForm, CannotBe> {
        let is_accepted = |form: &OutgoingForm| accepted.iter().any(|uid| uid.as_ref() == form.transfer_syntax().uid());
        let wants_reference = |uid: &U| TransferSyntax::from_uid(uid.as_ref()).is_jpip_referenced();
        self.forms().into_iter().find(is_accepted).ok_or(match accepted.iter().all(wants_reference) {
            true => CannotBe::Referenced,
            false => CannotBe::Transcoded,
        })
    }
}

/// The transfer syntaxes that an instance may go out in as far as the one that it is stored in tells, the best first: what
/// a peer can be offered before the object is looked into.
#[must_use]
pub fn offerable(stored: &TransferSyntax) -> Vec<TransferSyntax> {
    let forms = Outgoing { stored, referable: None, prefers_referenced: false }.forms();
    let whole = forms.iter().map(|form| form.transfer_syntax().clone());
    whole.chain(transfer_syntaxes_that_refer_to(stored)).collect()
}

fn referenced(referable: &Referable) -> [OutgoingForm; 2] {
    referable.transfer_syntaxes().map(|transfer_syntax| OutgoingForm::Referenced(transfer_syntax, *referable))
}

/// A stored object on its way out.
#[derive(Clone, Copy)]
pub struct OutgoingObject<'a> {
    /// The file as it is stored.
    pub source: &'a dyn ByteSource,
    /// How it goes out.
    pub form: &'a OutgoingForm,
    /// What a JPIP Referenced object names: the JPIP target of the instance, to which a client adds request fields.
    pub pixel_data_provider_url: &'a str,
    /// What may be read of it.
    pub limits: &'a ScanLimits,
}

impl OutgoingObject<'_> {
    /// Where the data set lies in the object as it goes out, if it does: `None` if it is written anew.
    ///
    /// # Errors
    ///
    /// - [`ObjectError`] if the File Meta Information cannot be read.
    pub fn stored_data_set(&self) -> Result<Option<Range<u64>>, ObjectError> {
        if !matches!(self.form, OutgoingForm::AsStored(_)) {
            return Ok(None);
        }
        let meta = FileMeta::read(self.source, self.limits)?;
        let written = encoding_at(self.source, meta.data_set_offset, &meta.transfer_syntax)?;
        Ok(tells_the_truth(&meta, written).then(|| meta.data_set_offset..self.source.len()))
    }

    /// Writes the data set alone, as a message has it.
    ///
    /// # Errors
    ///
    /// - [`ObjectError`] if the object cannot be read; an error of `out` is [`ObjectError::Source`].
    /// - [`ObjectError::Malformed`] if it is to be written in a native encoding and is encapsulated.
    pub fn write_data_set(&self, out: &mut dyn io::Write) -> Result<(), ObjectError> {
        if let Some(range) = self.stored_data_set()? {
            return copy(self.source, range, out);
        }
        let meta = FileMeta::read(self.source, self.limits)?;
        let written = encoding_at(self.source, meta.data_set_offset, &meta.transfer_syntax)?;
        match self.form {
            OutgoingForm::AsStored(to) | OutgoingForm::Reencoded(to) => {
                self.encode(&meta, written, to, Edits::none(), out)
            }
            OutgoingForm::Referenced(to, referable) => {
                self.encode(&meta, written, to, referable.edits(self.pixel_data_provider_url), out)
            }
        }
    }

    /// Writes a whole file; one that goes out as stored is the stored file.
    ///
    /// # Errors
    ///
    /// - [`ObjectError`] as [`OutgoingObject::write_data_set`].
    pub fn write_file(
        &self,
        sop_class_uid: &str,
        sop_instance_uid: &str,
        out: &mut dyn io::Write,
    ) -> Result<(), ObjectError> {
        if self.stored_data_set()?.is_some() && has_preamble(self.source)? {
            return copy(self.source, 0..self.source.len(), out);
        }
        let head = file_head(sop_class_uid, sop_instance_uid, self.form.transfer_syntax().uid());
        out.write_all(&head.map_err(io::Error::other)?)?;
        self.write_data_set(out)
    }

    fn encode(
        &self,
        meta: &FileMeta,
        written: Encoding,
        to: &TransferSyntax,
        edits: Edits,
        out: &mut dyn io::Write,
    ) -> Result<(), ObjectError> {
        let wanted = if to.is_implicit() == Some(true) { Encoding::ImplicitLittle } else { Encoding::ExplicitLittle };
        let is_plain = written == wanted && !meta.transfer_syntax.is_deflated();
        let write = |out: &mut dyn io::Write| match is_plain {
            true => spliced::write(self.source, self.limits, edits, out),
            false => recoded::write(self.source, self.limits, wanted, edits, out),
        };
        if to.is_deflated() { deflate(out, write) } else { write(out) }
    }
}

/// Whether a data set is written as its File Meta Information says; the peer must not suffer for one that is not.
fn tells_the_truth(meta: &FileMeta, written: Encoding) -> bool {
    meta.transfer_syntax.is_implicit() != Some(true) || written == Encoding::ImplicitLittle
}

/// The UID of Explicit VR Little Endian, which every receiver understands [PS3.5 10.1, A.2].
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";

/// Explicit, Implicit and Deflated Explicit VR Little Endian; nobody is sent what is retired.
const NATIVE: [&str; 3] = [EXPLICIT_LITTLE, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"];

#[cfg(test)]
mod tests;
