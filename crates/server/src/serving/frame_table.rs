//! Where the frames of an object lie, read once and kept: whoever asks for one frame mostly asks for the next.

use std::{io, io::Write, ops::Range, sync::Arc};

use catalog::ObjectKey;
use codestream::Extent;
use dicom_bridge::{Attributes, ObjectError, PixelData, ScanLimits, StoredValue, TransferSyntax, scan};
use quick_cache::{Weighter, sync::Cache};

use crate::storage::{Storage, StorageError, StoredFile};

/// The frames of one object.
#[derive(Debug)]
pub(crate) struct FrameTable {
    pub(crate) transfer_syntax: TransferSyntax,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    Encapsulated(Vec<Arc<[Extent]>>),
    /// Frame after frame in one value, `frame_bits` each.
    Native {
        value: StoredValue,
        frame_bits: u64,
        count: u64,
    },
}

/// Where the bytes of one frame are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FramePlace {
    /// In the object, as they are to be sent.
    Extents(Arc<[Extent]>),
    /// In the object, in another encoding: bits from here to there of the pixel data.
    Converted(Range<u64>),
}

/// Why there are no frames.
#[derive(Debug)]
pub(crate) enum NoFrames {
    /// The object has none that could be told apart.
    Object(String),
    Store(io::Error),
}

impl FrameTable {
    /// The frame with this number, from 1.
    pub(crate) fn frame(&self, number: u64) -> Option<FramePlace> {
        let nth = number.checked_sub(1)?;
        match &self.layout {
            Layout::Encapsulated(frames) => {
                Some(FramePlace::Extents(Arc::clone(frames.get(usize::try_from(nth).ok()?)?)))
            }
            Layout::Native { value, frame_bits, count } => {
                let start = frame_bits.checked_mul(Some(nth).filter(|nth| nth < count)?)?;
                let bits = start..start.checked_add(*frame_bits)?;
                if !bits.start.is_multiple_of(8) {
                    return Some(FramePlace::Converted(bits));
                }
                let extent = value.extent(&(bits.start / 8..bits.end.div_ceil(8)));
                Some(extent.map_or(FramePlace::Converted(bits), |extent| FramePlace::Extents(Arc::new([extent]))))
            }
        }
    }

    /// How many frames there are.
    pub(crate) fn count(&self) -> u64 {
        match &self.layout {
            Layout::Encapsulated(frames) => frames.len() as u64,
            Layout::Native { count, .. } => *count,
        }
    }

    /// Writes what a place that is [`FramePlace::Converted`] names. Blocking.
    pub(crate) fn convert(&self, file: &StoredFile, bits: &Range<u64>, out: &mut dyn Write) -> Result<(), ObjectError> {
        let Layout::Native { value, .. } = &self.layout else { return Ok(()) };
        let range = bits.start / 8..bits.end.div_ceil(8);
        let shift = u32::try_from(bits.start % 8).unwrap_or_default();
        if shift == 0 {
            return value.copy(file, &ScanLimits::default(), &range, &mut |piece| out.write_all(piece));
        }
        // Frames of single bits do not begin with a byte; the first pixel is the lowest bit [PS3.5 8.1.1].
        let mut left = usize::try_from((bits.end - bits.start).div_ceil(8)).unwrap_or(usize::MAX);
        let mut before = None::<u8>;
        value.copy(file, &ScanLimits::default(), &range, &mut |piece| {
            let shifted = piece.iter().filter_map(|&byte| {
                let low = before.replace(byte)?;
                Some((low >> shift) | (byte << (8 - shift)))
            });
            let shifted: Vec<u8> = shifted.take(left).collect();
            left -= shifted.len();
            out.write_all(&shifted)
        })?;
        // What is left of the last byte, where the frame ends in it.
        let last = before.filter(|_| left > 0).map(|byte| byte >> shift);
        Ok(out.write_all(last.as_slice())?)
    }

    /// Blocking.
    fn read(file: &StoredFile) -> Result<Self, NoFrames> {
        let scanned = scan(file, &ScanLimits::default()).map_err(|error| match error {
            ObjectError::Source(error) => NoFrames::Store(error),
            other => NoFrames::Object(other.to_string()),
        })?;
        let layout = match scanned.pixel_data {
            PixelData::Encapsulated { frames, .. } => {
                Layout::Encapsulated(frames.iter().map(|frame| frame.extents().into()).collect())
            }
            PixelData::Native(value) => native(value, &scanned.attributes)?,
            PixelData::Unusable(reason) => return Err(NoFrames::Object(reason)),
            PixelData::None => return Err(NoFrames::Object("the object holds no pixel data".to_owned())),
        };
        Ok(Self { transfer_syntax: scanned.transfer_syntax, layout })
    }
}

/// Frames of one value are all of one size, which the attributes tell [PS3.5 8.2].
fn native(value: StoredValue, attributes: &Attributes) -> Result<Layout, NoFrames> {
    let says_nothing = || NoFrames::Object("the attributes do not tell the size of a frame".to_owned());
    let (rows, columns) = attributes.rows.zip(attributes.columns).ok_or_else(says_nothing)?;
    let (samples, bits) = (attributes.samples_per_pixel.unwrap_or(1), attributes.bits_allocated);
    let bits = u64::from(bits.ok_or_else(says_nothing)?).checked_mul(u64::from(samples)).ok_or_else(says_nothing)?;
    let declared = u64::from(attributes.number_of_frames);
    let whole = (u64::from(rows) * u64::from(columns)).checked_mul(bits).ok_or_else(says_nothing)?;
    let fitting = |frame_bits: u64| value.len().saturating_mul(8).checked_div(frame_bits).unwrap_or(0);
    let is_halved = attributes.photometric_interpretation.as_deref() == Some("YBR_FULL_422");
    // Two of three samples are there once for two pixels [PS3.3 C.7.6.3.1.2]; some writers keep all.
    let frame_bits = if is_halved && fitting(whole) < declared { whole / 3 * 2 } else { whole };
    let count = fitting(frame_bits).min(declared);
    Ok(Layout::Native { value, frame_bits, count })
}

/// The tables that were read last.
pub(crate) struct FrameTables {
    storage: Storage,
    tables: Cache<ObjectKey, Arc<FrameTable>, ByFrames>,
}

#[derive(Clone)]
struct ByFrames;

impl Weighter<ObjectKey, Arc<FrameTable>> for ByFrames {
    fn weight(&self, _key: &ObjectKey, table: &Arc<FrameTable>) -> u64 {
        match &table.layout {
            Layout::Encapsulated(frames) => frames.iter().map(|extents| 2 + extents.len() as u64).sum::<u64>() + 8,
            Layout::Native { .. } => 8,
        }
    }
}

/// Objects of which tables are kept, and extents of all of them.
const OBJECTS: usize = 2000;
const EXTENTS: u64 = 1_000_000;

impl FrameTables {
    pub(crate) fn new(storage: Storage) -> Self {
        Self { storage, tables: Cache::with_weighter(OBJECTS, EXTENTS, ByFrames) }
    }

    /// The object, and the table of its frames.
    pub(crate) async fn open(&self, key: ObjectKey) -> Result<(Arc<StoredFile>, Arc<FrameTable>), NoFrames> {
        let storage = self.storage.clone();
        let known = self.tables.get(&key);
        let work = tokio::task::spawn_blocking(move || {
            let file = storage.open_object(&key).map_err(|error| match error {
                StorageError::Io(error) => NoFrames::Store(error),
                other => NoFrames::Store(io::Error::other(other)),
            })?;
            let table = match known {
                Some(table) => table,
                None => Arc::new(FrameTable::read(&file)?),
            };
            Ok((file, table))
        });
        let (file, table) = work.await.map_err(|error| NoFrames::Store(io::Error::other(error)))??;
        self.tables.insert(key, Arc::clone(&table));
        Ok((file, table))
    }
}
