//! Indexing one object from end to end: where its codestreams lie, the index of each, the index object, the facts.
//!
//! A codestream that cannot be indexed does not take the others with it: it keeps its number, is marked unusable in the
//! index and named among the findings; whoever asks for it alone gets an error. Only when none is left the object is unservable.

use catalog::{IndexFacts, ObjectKey, Reason, ReasonKind};
use codestream::annex_i::{IndexError, IndexWriter};
use codestream::jp2::{self, FileKind, Jp2File};
use codestream::{ByteSource, Family, FrameExtents, FrameSource, Limits, MainHeader, ParseError, index_codestream};
use dicom_bridge::{PixelData, ScannedObject};

use crate::ingest::content::Content;
use crate::storage::{Storage, StorageError, TempIndex};
use crate::worker::findings::Findings;
use crate::worker::presentation::{Form, INDEX_VERSION, Image, Presentation};

/// An index that is written but not stored yet.
#[derive(Debug)]
pub(crate) struct NewIndex {
    pub(crate) bytes: TempIndex,
    /// All but the size, which is known when it is stored.
    pub(crate) facts: IndexFacts,
}

/// Why there is no index.
#[derive(Debug)]
pub(crate) enum IndexFailure {
    /// The object cannot be served.
    Object(Reason),
    /// The object could not be read.
    Store(StorageError),
    /// The index could not be written, which says nothing of the object.
    Write(StorageError),
}

impl From<StorageError> for IndexFailure {
    fn from(error: StorageError) -> Self {
        Self::Store(error)
    }
}

impl From<std::io::Error> for IndexFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Indexes a stored object, whatever it is. Blocking.
pub(crate) fn index_stored(storage: &Storage, key: ObjectKey) -> Result<NewIndex, IndexFailure> {
    let object = storage.open_object(&key)?;
    match Content::of(&*object)? {
        Some(Content::Dicom) => {
            let scanned = dicom_bridge::scan(&*object, &dicom_bridge::ScanLimits::default());
            let scanned = scanned.map_err(|error| match error {
                dicom_bridge::ObjectError::Source(error) => error.into(),
                other => IndexFailure::Object(reason_of(other.family(), other.to_string())),
            })?;
            index_dicom(storage, key, &*object, &scanned)
        }
        Some(content) => index_file(storage, key, &*object, content),
        None => Err(IndexFailure::Object(Reason::new(ReasonKind::Damaged, "neither DICOM nor JPEG 2000"))),
    }
}

/// Indexes the frames of a DICOM object. Blocking.
pub(crate) fn index_dicom(
    storage: &Storage,
    key: ObjectKey,
    object: &dyn ByteSource,
    scanned: &ScannedObject,
) -> Result<NewIndex, IndexFailure> {
    if let Some(reason) = unservable(scanned) {
        return Err(IndexFailure::Object(reason));
    }
    let PixelData::Encapsulated { frames, notes } = &scanned.pixel_data else {
        return Err(IndexFailure::Object(Reason::new(ReasonKind::NoPixelData, "the object holds no pixel data")));
    };
    let mut work = Work::new(storage, object, "frame ", 1)?;
    notes.iter().for_each(|note| work.findings.push("", note));
    for frame in frames {
        work.add_frame(frame)?;
    }
    let photometric = scanned.attributes.photometric_interpretation.as_deref();
    work.finish(key, Form::Frames, |header| Some(Image::of(header, photometric)), |_| None)
}

/// Indexes the codestreams of a JP2-family file, or a codestream without a file around it. Blocking.
pub(crate) fn index_file(
    storage: &Storage,
    key: ObjectKey,
    object: &dyn ByteSource,
    content: Content,
) -> Result<NewIndex, IndexFailure> {
    let mut work = Work::new(storage, object, "codestream ", 0)?;
    if content == Content::RawCodestream {
        work.add(&whole(object)?)?;
        let media_type = |header: &MainHeader| Some(if header.is_htj2k() { "image/jphc" } else { "image/j2c" });
        return work.finish(key, Form::RawCodestream, |_| None, media_type);
    }
    let file = Jp2File::parse(object, &work.limits).map_err(failure)?;
    file.damage.iter().for_each(|damage| work.findings.push("", damage));
    for (position, extents) in (0u32..).zip(&file.codestreams) {
        match file.refusals.iter().find(|refusal| refusal.codestream == position) {
            Some(refusal) => work.leave_out(extents, Reason::new(ReasonKind::Unsupported, refusal.reason))?,
            None => work.add(extents)?,
        }
    }
    work.finish(key, Form::Jp2Family, |_| None, |_| Some(file.brand.media_type()))
}

/// Why no frame of the object can ever be served, `None` if one may be.
pub(crate) fn unservable(scanned: &ScannedObject) -> Option<Reason> {
    let transfer_syntax = &scanned.transfer_syntax;
    let is_jpeg2000 = transfer_syntax.is_jpeg2000() || transfer_syntax.is_htj2k();
    match &scanned.pixel_data {
        PixelData::None => Some(Reason::new(ReasonKind::NoPixelData, "the object holds no pixel data")),
        _ if !is_jpeg2000 => Some(Reason::new(ReasonKind::NotJpeg2000, transfer_syntax.name())),
        PixelData::Native(_) => Some(Reason::new(ReasonKind::NotJpeg2000, "the pixel data are not compressed")),
        PixelData::Unusable(reason) => Some(Reason::new(ReasonKind::Damaged, reason.as_str())),
        PixelData::Encapsulated { frames, .. } if frames.is_empty() => {
            Some(Reason::new(ReasonKind::Damaged, "the pixel data hold no frame"))
        }
        PixelData::Encapsulated { .. } => None,
    }
}

/// The index of one object while it is being made.
struct Work<'a> {
    object: &'a dyn ByteSource,
    limits: Limits,
    writer: IndexWriter<TempIndex>,
    findings: Findings,
    /// How a codestream is called among the findings, and the number of the first.
    called: &'static str,
    first: u32,
    position: u32,
    first_reason: Option<Reason>,
    first_header: Option<MainHeader>,
}

impl<'a> Work<'a> {
    fn new(
        storage: &Storage,
        object: &'a dyn ByteSource,
        called: &'static str,
        first: u32,
    ) -> Result<Self, IndexFailure> {
        Ok(Self {
            object,
            limits: Limits::default(),
            writer: IndexWriter::new(storage.new_temp_index().map_err(IndexFailure::Write)?).map_err(write_failure)?,
            findings: Findings::default(),
            called,
            first,
            position: 0,
            first_reason: None,
            first_header: None,
        })
    }

    /// Adds a frame of a DICOM object; one that holds a whole JP2 file, as some writers leave it, is narrowed to the
    /// first codestream in that file.
    fn add_frame(&mut self, frame: &FrameExtents) -> Result<(), IndexFailure> {
        let source = FrameSource::new(self.object, frame);
        let mut head = [0; 12];
        let n = source.read_at(0, &mut head)?;
        if jp2::sniff(head.get(..n).unwrap_or_default()) != Some(FileKind::Jp2Family) {
            return self.add(frame);
        }
        let codestream = match Jp2File::parse(&source, &self.limits) {
            Ok(file) => file.codestreams_within(frame).ok().and_then(|codestreams| codestreams.into_iter().next()),
            Err(ParseError::Source(error)) => return Err(error.into()),
            Err(error) => return self.leave_out(frame, reason_of(error.family(), error.to_string())),
        };
        match codestream.filter(|codestream| !codestream.is_empty()) {
            Some(codestream) => self.add(&codestream),
            None => {
                let words = "a JP2 file without a codestream inside it";
                self.leave_out(frame, Reason::new(ReasonKind::Damaged, words))
            }
        }
    }

    fn add(&mut self, extents: &FrameExtents) -> Result<(), IndexFailure> {
        let source = FrameSource::new(self.object, extents);
        let indexed = match index_codestream(&source, &self.limits) {
            Ok(indexed) => indexed,
            Err(ParseError::Source(error)) => return Err(error.into()),
            Err(error) => return self.leave_out(extents, reason_of(error.family(), error.to_string())),
        };
        match self.writer.add(extents, &indexed.index, &source) {
            // Found before anything of this codestream was written.
            Err(error @ IndexError::LimitExceeded { .. }) => {
                return self.leave_out(extents, Reason::new(ReasonKind::Unsupported, error.to_string()));
            }
            written => written.map_err(write_failure)?,
        }
        let place = self.place();
        indexed.damage.iter().for_each(|damage| self.findings.push(&place, damage));
        self.first_header.get_or_insert(indexed.index.header);
        self.position += 1;
        Ok(())
    }

    /// Counts a codestream that cannot be served.
    fn leave_out(&mut self, extents: &FrameExtents, reason: Reason) -> Result<(), IndexFailure> {
        let place = self.place();
        self.findings.push(&place, format_args!("not served: {}", reason.words));
        self.first_reason.get_or_insert(reason);
        self.writer.add_unusable(extents).map_err(write_failure)?;
        self.position += 1;
        Ok(())
    }

    fn finish(
        self,
        key: ObjectKey,
        form: Form,
        image: impl Fn(&MainHeader) -> Option<Image>,
        media_type: impl Fn(&MainHeader) -> Option<&'static str>,
    ) -> Result<NewIndex, IndexFailure> {
        let Some(header) = self.first_header else {
            let nothing = || Reason::new(ReasonKind::Damaged, "there is no codestream");
            let mut reason = self.first_reason.unwrap_or_else(nothing);
            if self.position > 1 {
                reason.words =
                    format!("none of {} codestreams can be served, the first: {}", self.position, reason.words);
            }
            return Err(IndexFailure::Object(reason));
        };
        let presentation = Presentation { form, image: image(&header) };
        let (width, height) = header.siz().reduced_size(0);
        let facts = IndexFacts {
            version: INDEX_VERSION,
            size: 0,
            codestreams: self.position,
            width,
            height,
            media_type: media_type(&header).map(str::to_owned),
            tid: presentation.tid(&key),
            presentation: presentation.to_json(),
            damage: self.findings.into_words(),
        };
        Ok(NewIndex { bytes: self.writer.finish().map_err(write_failure)?, facts })
    }

    /// "frame 7: ", or nothing for the first codestream, which is nearly always the only one.
    fn place(&self) -> String {
        match self.position {
            0 => String::new(),
            position => format!("{}{}: ", self.called, u64::from(position) + u64::from(self.first)),
        }
    }
}

/// The whole object as one frame.
fn whole(object: &dyn ByteSource) -> Result<FrameExtents, IndexFailure> {
    let all = codestream::Extent::new(0, object.len());
    FrameExtents::new(vec![all], object.len()).map_err(|error| std::io::Error::other(error).into())
}

fn failure(error: ParseError) -> IndexFailure {
    match error {
        ParseError::Source(error) => error.into(),
        other => IndexFailure::Object(reason_of(other.family(), other.to_string())),
    }
}

fn write_failure(error: IndexError) -> IndexFailure {
    match error {
        IndexError::Write(error) => IndexFailure::Write(error.into()),
        IndexError::Codestream(ParseError::Source(error)) => error.into(),
        other => IndexFailure::Object(reason_of(other.family(), other.to_string())),
    }
}

fn reason_of(family: Family, words: String) -> Reason {
    let kind = match family {
        Family::Malformed => ReasonKind::Damaged,
        Family::Unsupported | Family::LimitExceeded => ReasonKind::Unsupported,
        Family::Unavailable => ReasonKind::Failed,
    };
    Reason::new(kind, words)
}
