//! Logical targets: what a client names, and which codestreams and metadata it has.

use bytes::Bytes;
use codestream::jp2::{Area, Composition, Subject};
use codestream::{Extent, Span};

use crate::data_bin::CodestreamId;
use crate::request::range::SampledRange;
use crate::request::return_type::StreamType;

/// A logical target as the protocol sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalTarget {
    /// Its target identifier: the same text promises the same bytes in every data-bin [15444-9 C.2.3].
    pub tid: String,
    /// Its codestreams and how they are numbered.
    pub codestreams: CodestreamSet,
    /// Its boxes.
    pub metadata: MetadataBins,
}

/// The codestreams of a target. How many there are is known; none is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodestreamSet {
    /// Frames of DICOM objects: numbered from 1 to the number given. Number 0 stands for frame 1 where it
    /// is named, or where no codestream is named at all; its data-bins are others than those of number 1.
    Frames(u32),
    /// Codestreams of a file: numbered from 0, as many as given.
    File(u32),
}

/// The metadata-bins of a target, bin 0 first [15444-9 A.3.6], and what they say of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetadataBins {
    /// The bins; ids are distinct.
    pub bins: Vec<MetadataBin>,
    /// The boxes that can be asked for one by one, parents before their children.
    pub boxes: Vec<BoxInBin>,
    /// What boxes are about; the first is the whole target.
    pub subjects: Vec<Subject>,
    /// The codestreams of each compositing layer; none where every codestream is a layer.
    pub layers: Vec<Vec<u32>>,
    /// How layers are put together into one picture, if the file says so.
    pub composition: Option<Composition>,
    /// Width and height that regions are counted in: those of the image at full size.
    pub picture: Option<(u32, u32)>,
    /// The regions that `roi` can name; of regions with the same name the first counts.
    pub regions: Vec<NamedRegion>,
}

/// A box of the target's file, and in which metadata-bins it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxInBin {
    /// Its type.
    pub box_type: [u8; 4],
    /// The bin, by position, that holds its header or its placeholder.
    pub bin: usize,
    /// The bin, by position, that holds its contents, if that is another one.
    pub own: Option<usize>,
    /// The box around it, by position in [`MetadataBins::boxes`].
    pub parent: Option<usize>,
    /// What it is about, a position in [`MetadataBins::subjects`].
    pub subject: usize,
}

/// A region with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRegion {
    /// The name, as `roi` gives it.
    pub name: String,
    /// Where it lies.
    pub area: Area,
}

/// One metadata-bin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetadataBin {
    /// In-class identifier.
    pub id: u64,
    /// The type of the box whose contents the bin holds; `None` for bin 0, which holds the top-level boxes.
    pub box_type: Option<[u8; 4]>,
    /// Its bytes, in order.
    pub parts: Vec<Part>,
    /// Where in it its top-level boxes end, ascending; none where it holds no boxes.
    pub box_ends: Vec<u64>,
}

/// Some bytes of a data-bin: what they are, or where they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Inline(Bytes),
    /// Bytes of the codestream that the data-bin belongs to.
    Span(Span),
    /// Bytes of the stored object; in metadata-bins only.
    Object(Extent),
}

impl LogicalTarget {
    /// The target identifier under which the data-bins of this stream type are delivered.
    ///
    /// A JPT-stream has one of its own, because its main headers go verbatim: they keep PPM, PLM and TLM, which those
    /// of a JPP-stream leave out. So has OpenJPIP's dialect, because of its tile headers.
    #[must_use]
    pub fn tid_for(&self, stream: StreamType) -> String {
        stream_tid(&self.tid, stream)
    }
}

/// The target identifier of a stream of the target that has this one as JPP-stream; of 32 hex digits it makes as many,
/// and gives the first back when it is applied once more.
#[must_use]
fn stream_tid(tid: &str, stream: StreamType) -> String {
    let (number, word) = match stream {
        StreamType::Jpp { .. } => return tid.to_owned(),
        StreamType::Jpt { .. } => (JPT_TID, "jpt"),
        StreamType::OpenJpip => (OPENJPIP_TID, "openjpip"),
    };
    let known = u128::from_str_radix(tid, 16).ok().filter(|_| tid.len() == 32);
    known.map_or_else(|| format!("{tid}-{word}"), |known| format!("{:032x}", known ^ number))
}

/// The target identifiers of which one is that of the JPP-stream, if `tid` is that of any stream of a target.
#[must_use]
pub fn tids_behind(tid: &str) -> [String; 3] {
    let streams = [StreamType::default(), StreamType::Jpt { extended: false }, StreamType::OpenJpip];
    streams.map(|stream| stream_tid(tid, stream))
}

/// Set the identifiers of the stream types apart: any two numbers but 0. That of the dialect stands for the layout, too,
/// in which codestreams are opened for it.
const JPT_TID: u128 = 0x6a70_7473_7472_6561_6d00_0000_0000_0001;
const OPENJPIP_TID: u128 = 0x6f70_656e_6a70_6970_0000_0000_0000_0001;

impl CodestreamSet {
    /// The position, from 0, of a codestream among those stored; `None` if there is none of this number.
    #[must_use]
    pub fn ordinal(&self, id: CodestreamId) -> Option<u32> {
        let (count, position) = match *self {
            Self::Frames(count) => (count, id.0.saturating_sub(1)),
            Self::File(count) => (count, id.0),
        };
        u32::try_from(position).ok().filter(|&position| position < count)
    }

    /// Number of codestreams.
    #[must_use]
    pub const fn count(&self) -> u32 {
        match *self {
            Self::Frames(count) | Self::File(count) => count,
        }
    }

    /// The numbers that wildcards and open ranges mean: first and last, `None` for a target without any.
    #[must_use]
    pub fn numbers(&self) -> Option<(u64, u64)> {
        let last = u64::from(self.count()).checked_sub(1)?;
        Some(match self {
            Self::Frames(_) => (1, last + 1),
            Self::File(_) => (0, last),
        })
    }

    /// The codestream meant where none is named.
    #[must_use]
    pub const fn default_id(&self) -> CodestreamId {
        CodestreamId(0)
    }

    /// The existing codestreams that the ranges name, each once, in the order named, at most `limit`.
    ///
    /// Numbers that do not exist are passed over. An open range never names number 0 of a DICOM target.
    #[must_use]
    pub fn expand(&self, ranges: &[SampledRange], limit: usize) -> Vec<CodestreamId> {
        let mut found = Vec::new();
        let Some((first_number, last_number)) = self.numbers() else { return found };
        let mut taken = rangemap::RangeInclusiveSet::<u64>::new();
        // Ranges that repeat one another cost steps without adding anything.
        let mut steps = limit.saturating_mul(4);
        for sampled in ranges {
            let (mut number, last) = match sampled.range.last {
                Some(last) => (sampled.range.first, last.min(last_number)),
                None => (sampled.range.first.max(first_number), last_number),
            };
            while number <= last && found.len() < limit && steps > 0 {
                steps -= 1;
                if !taken.contains(&number) {
                    taken.insert(number..=number);
                    found.push(CodestreamId(number));
                }
                let Some(next) = number.checked_add(sampled.factor.max(1)) else { break };
                number = next;
            }
        }
        found
    }
}

impl MetadataBins {
    /// Bins of top-level boxes that are about the whole target.
    #[must_use]
    pub fn of(bins: Vec<MetadataBin>) -> Self {
        let own = bins.iter().enumerate().filter_map(|(position, bin)| Some((position, bin.box_type?)));
        let listed =
            |(position, box_type)| BoxInBin { box_type, bin: 0, own: Some(position), parent: None, subject: 0 };
        let boxes = own.map(listed).collect();
        Self { bins, boxes, subjects: vec![Subject::default()], ..Self::default() }
    }

    /// The region of this name.
    #[must_use]
    pub fn region(&self, name: &str) -> Option<&NamedRegion> {
        self.regions.iter().find(|region| region.name == name)
    }

    /// The bin with this id.
    #[must_use]
    pub fn bin(&self, id: u64) -> Option<&MetadataBin> {
        self.bins.iter().find(|bin| bin.id == id)
    }
}

impl MetadataBin {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.parts.iter().map(Part::len).sum()
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Part {
    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Span(span) => span.len,
            Self::Object(extent) => extent.len,
        }
    }

    /// Whether it holds no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    fn expand(set: CodestreamSet, stream: &str) -> Vec<u64> {
        let request = Request::parse(format!("stream={stream}").as_bytes(), None).unwrap();
        set.expand(&request.stream, 100).iter().map(|id| id.0).collect()
    }

    #[test]
    fn frames_count_from_1_and_0_is_an_alias_only_when_named() {
        let frames = CodestreamSet::Frames(3);
        assert_eq!(expand(frames, "0"), [0]);
        assert_eq!(expand(frames, "0-"), [1, 2, 3]);
        assert_eq!(expand(frames, "0-9"), [0, 1, 2, 3]);
        assert_eq!(expand(frames, "2-,3,1"), [2, 3, 1]);
        assert_eq!(expand(frames, "1-:2"), [1, 3]);
        assert_eq!(expand(frames, "4"), [0; 0]);
        let ordinal = |id| frames.ordinal(CodestreamId(id));
        assert_eq!([ordinal(0), ordinal(1), ordinal(3), ordinal(4)], [Some(0), Some(0), Some(2), None]);
        assert_eq!(CodestreamSet::Frames(0).ordinal(CodestreamId(0)), None);
    }

    #[test]
    fn c_2_3_the_stream_types_have_identifiers_of_one_form() {
        let tid = "00ff00ff00ff00ff00ff00ff00ff00ff";
        let all = tids_behind(tid);
        assert_eq!(all[0], tid);
        for (n, other) in all.iter().enumerate() {
            assert!(other.len() == 32 && other.bytes().all(|b| b.is_ascii_hexdigit()), "{other}");
            assert!(!all[..n].contains(other), "{other}");
            assert_eq!(tids_behind(other)[n], tid, "and back");
        }
        assert_eq!(tids_behind("x"), ["x", "x-jpt", "x-openjpip"]);
    }

    #[test]
    fn files_count_from_0() {
        let file = CodestreamSet::File(2);
        assert_eq!(expand(file, "0-"), [0, 1]);
        assert_eq!(expand(file, "1-99999999999999"), [1]);
        assert_eq!(file.ordinal(CodestreamId(2)), None);
        assert_eq!(expand(CodestreamSet::File(0), "0-"), [0; 0]);
    }

    #[test]
    fn expansion_is_limited() {
        let request = Request::parse(b"stream=0-,5-", None).unwrap();
        assert_eq!(CodestreamSet::File(u32::MAX).expand(&request.stream, 7).len(), 7);
    }
}
