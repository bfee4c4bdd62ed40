//! JPIP Referenced objects [PS3.5 A.6, A.7, A.11, A.12]: instances whose pixel data are named by a URL instead of being there.
//!
//! They are made on the way out, never stored: such an object must not be on media, and its URL lasts no longer than the server.

use codestream::jp2::{self, FileKind, Jp2File};
use codestream::markers::Wavelet;
use codestream::{ByteSource, FrameExtents, FrameSource, Limits, MainHeader, ParseError};
use dicom_core::{Tag, VR};
use thiserror::Error;

use crate::object::{PixelData, ScannedObject};
use crate::outgoing::edits::{Edits, NewElement};
use crate::transfer_syntax::TransferSyntax;

/// What a JPIP Referenced object says of the codestreams that its URL leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Referable {
    is_htj2k: bool,
    photometric_interpretation: PhotometricInterpretation,
    is_derived: bool,
}

/// The colour of codestreams that can be referred to; there are no others [PS3.5 A.6, A.11].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhotometricInterpretation {
    /// One component, the lowest value is white.
    Monochrome1,
    /// One component, the lowest value is black.
    Monochrome2,
    /// Three components, with the irreversible multiple component transform.
    YbrIct,
    /// Three components, with the reversible multiple component transform.
    YbrRct,
}

/// Why an instance cannot be sent as a JPIP Referenced object.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotReferable {
    /// Its pixel data are not JPEG 2000, or it has none.
    #[error("the instance has no JPEG 2000 codestreams")]
    NoCodestream,
    /// Frames and codestreams are not the same in number [PS3.5 A.4.4, Part 2 multi-component].
    #[error("a codestream may hold several frames")]
    MultiComponent,
    /// RGB without a transform, a palette, or anything else that the transfer syntaxes have no word for.
    #[error("its colours cannot be said in a JPIP Referenced object")]
    Colour,
    /// The main header of the first codestream cannot be read.
    #[error("the first codestream: {0}")]
    Codestream(#[from] ParseError),
}

impl PhotometricInterpretation {
    /// The value of (0028,0004).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monochrome1 => "MONOCHROME1",
            Self::Monochrome2 => "MONOCHROME2",
            Self::YbrIct => "YBR_ICT",
            Self::YbrRct => "YBR_RCT",
        }
    }

    /// The colour of a codestream: its transform decides, whatever the object declares; what one component means only
    /// the object knows.
    fn of(declared: Option<&str>, header: &MainHeader) -> Result<Self, NotReferable> {
        let coding = header.coding();
        match (header.siz().components.len(), declared) {
            (1, Some("MONOCHROME1")) => Ok(Self::Monochrome1),
            (1, Some("MONOCHROME2")) => Ok(Self::Monochrome2),
            (3, _) if coding.mct && coding.component(0).wavelet == Wavelet::Reversible53 => Ok(Self::YbrRct),
            (3, _) if coding.mct => Ok(Self::YbrIct),
            _ => Err(NotReferable::Colour),
        }
    }
}

impl Referable {
    /// What is to be said of a stored object, by the main header of its first frame.
    ///
    /// # Errors
    ///
    /// - [`NotReferable`] if it has no codestreams, or they cannot be referred to.
    pub fn of_stored(source: &dyn ByteSource, scanned: &ScannedObject, limits: &Limits) -> Result<Self, NotReferable> {
        let transfer_syntax = &scanned.transfer_syntax;
        if !transfer_syntax.is_jpeg2000() && !transfer_syntax.is_htj2k() {
            return Err(NotReferable::NoCodestream);
        }
        if MULTI_COMPONENT.contains(&transfer_syntax.uid()) {
            return Err(NotReferable::MultiComponent);
        }
        let PixelData::Encapsulated { frames, .. } = &scanned.pixel_data else {
            return Err(NotReferable::NoCodestream);
        };
        let header = main_header(source, frames.first().ok_or(NotReferable::NoCodestream)?, limits)?;
        Self::of(scanned.attributes.photometric_interpretation.as_deref(), &header, false)
    }

    /// What is to be said of an object whose pixel data are something else and were coded anew; `header` is the main
    /// header of its first derived codestream, `declared` the photometric interpretation that the object itself has.
    ///
    /// # Errors
    ///
    /// - [`NotReferable::Colour`] if the derived codestreams cannot be referred to.
    pub fn of_derived(declared: Option<&str>, header: &MainHeader) -> Result<Self, NotReferable> {
        Self::of(declared, header, true)
    }

    /// The transfer syntaxes that can refer to it, the deflated one last.
    #[must_use]
    pub fn transfer_syntaxes(&self) -> [TransferSyntax; 2] {
        let uids = if self.is_htj2k { HTJ2K_REFERENCED } else { JPEG2000_REFERENCED };
        uids.map(TransferSyntax::from_uid)
    }

    /// The value of Photometric Interpretation.
    #[must_use]
    pub const fn photometric_interpretation(&self) -> PhotometricInterpretation {
        self.photometric_interpretation
    }

    /// What a JPIP Referenced object has otherwise than the stored one.
    pub(crate) fn edits(&self, url: &str) -> Edits {
        let photometric_interpretation = self.photometric_interpretation.as_str();
        let mut new = vec![NewElement::text(PHOTOMETRIC_INTERPRETATION, VR::CS, photometric_interpretation)];
        // Samples stood plane by plane perhaps; those of a codestream do not [PS3.5 8.2.4].
        let is_colour = matches!(
            self.photometric_interpretation,
            PhotometricInterpretation::YbrIct | PhotometricInterpretation::YbrRct
        );
        if self.is_derived && is_colour {
            new.push(NewElement::new(PLANAR_CONFIGURATION, VR::US, vec![0, 0]));
        }
        new.push(NewElement::text(PIXEL_DATA_PROVIDER_URL, VR::UR, url));
        Edits::without_pixel_data(new)
    }

    fn of(declared: Option<&str>, header: &MainHeader, is_derived: bool) -> Result<Self, NotReferable> {
        let photometric_interpretation = PhotometricInterpretation::of(declared, header)?;
        Ok(Self { is_htj2k: header.is_htj2k(), photometric_interpretation, is_derived })
    }
}

/// The transfer syntaxes that refer to codestreams like those of objects that are stored in this one.
pub(crate) fn transfer_syntaxes_that_refer_to(stored: &TransferSyntax) -> Vec<TransferSyntax> {
    let uids = match stored {
        _ if MULTI_COMPONENT.contains(&stored.uid()) => return Vec::new(),
        _ if stored.is_htj2k() => HTJ2K_REFERENCED,
        _ if stored.is_jpeg2000() => JPEG2000_REFERENCED,
        _ => return Vec::new(),
    };
    uids.map(TransferSyntax::from_uid).into()
}

/// The main header of a frame, which may be a whole JP2 file.
fn main_header(source: &dyn ByteSource, frame: &FrameExtents, limits: &Limits) -> Result<MainHeader, NotReferable> {
    let mut head = [0; 12];
    let read = FrameSource::new(source, frame).read_at(0, &mut head).map_err(ParseError::from)?;
    let inside;
    let codestream = match jp2::sniff(head.get(..read).unwrap_or_default()) {
        Some(FileKind::Jp2Family) => {
            let file = Jp2File::parse(&FrameSource::new(source, frame), limits)?;
            inside = file.codestreams_within(frame).unwrap_or_default();
            inside.first().ok_or(NotReferable::NoCodestream)?
        }
        _ => frame,
    };
    let codestream = FrameSource::new(source, codestream);
    // Nearly all main headers are short; what is read too much of a longer one is read again.
    let mut size = MAIN_HEADER;
    loop {
        let len = codestream.len().min(size);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        codestream.read_exact_at(0, &mut bytes).map_err(ParseError::from)?;
        match MainHeader::parse(&bytes, limits) {
            Ok((header, _)) => return Ok(header),
            Err(_) if len == size && size < limits.max_header => size = size.saturating_mul(8).min(limits.max_header),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Bytes of a codestream that are read first for its main header.
const MAIN_HEADER: u64 = 4096;

const PHOTOMETRIC_INTERPRETATION: Tag = Tag(0x0028, 0x0004);
const PLANAR_CONFIGURATION: Tag = Tag(0x0028, 0x0006);
const PIXEL_DATA_PROVIDER_URL: Tag = Tag(0x0028, 0x7fe0);

const JPEG2000_REFERENCED: [&str; 2] = ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95"];
const HTJ2K_REFERENCED: [&str; 2] = ["1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"];
const MULTI_COMPONENT: [&str; 2] = ["1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93"];
