//! Two ends of the protocol: a server made of stored bytes and plans, a client made of a data-bin store.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use codestream::annex_i::{FileIndex, IndexWriter};
use codestream::geometry::precinct_id;
use codestream::testkit::{Built, TinyCodestream};
use codestream::{
    Damage, Extent, FrameExtents, Limits as CodestreamLimits, MainHeader, SparseBytes, TileIndex, index_codestream,
};
use jpip::client::{DataBinStore, Event, MessageReader, StoreLimits};
use jpip::data_bin::{BinKey, DataBinClass};
use jpip::message::MessageHeader;
use jpip::{
    CacheModel, CodestreamId, CodestreamSet, EorReason, Limits, LogicalTarget, MetadataBins, Piece, Request,
    RequestError, ResponsePlan, metadata,
};

/// One stored object with its index file and its target.
pub(crate) struct Server {
    object: Vec<u8>,
    frames: Vec<FrameExtents>,
    pub(crate) built: Vec<Built>,
    index: Bytes,
    pub(crate) target: Arc<LogicalTarget>,
    pub(crate) limits: Limits,
    /// Bytes that one batch aims at.
    pub(crate) budget: usize,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: EorReason,
    pub(crate) plan: ResponsePlan,
}

/// A server of these frames, numbered as `set` says, with these metadata.
pub(crate) fn server_of(frames: &[TinyCodestream], set: fn(u32) -> CodestreamSet, metadata: MetadataBins) -> Server {
    let built: Vec<Built> = frames.iter().map(TinyCodestream::build_with_truth).collect();
    let bytes: Vec<&[u8]> = built.iter().map(|built| built.bytes.as_slice()).collect();
    let mut server = store(&bytes, set, metadata);
    server.built = built;
    server
}

/// A server of one raw codestream that somebody else made.
pub(crate) fn server_of_bytes(codestream: &[u8]) -> Server {
    store(&[codestream], CodestreamSet::File, metadata::raw_codestream())
}

fn store(frames: &[&[u8]], set: fn(u32) -> CodestreamSet, metadata: MetadataBins) -> Server {
    let mut object = b"something before".to_vec();
    let mut places = Vec::new();
    for frame in frames {
        places.push(Extent::new(object.len() as u64, frame.len() as u64));
        object.extend_from_slice(frame);
        object.extend_from_slice(b"between");
    }
    let mut writer = IndexWriter::new(Cursor::new(Vec::new())).unwrap();
    let mut extents = Vec::new();
    for (place, bytes) in places.iter().zip(frames) {
        let frame = FrameExtents::new(vec![*place], object.len() as u64).unwrap();
        let indexed = index_codestream(&bytes.to_vec(), &CodestreamLimits::default()).unwrap();
        let is_harmless = |damage: &Damage| matches!(damage, Damage::MissingEoc { .. });
        assert!(indexed.damage.iter().all(is_harmless), "{:?}", indexed.damage);
        writer.add(&frame, &indexed.index, &bytes.to_vec()).unwrap();
        extents.push(frame);
    }
    let index = writer.finish().unwrap().into_inner();
    let target = LogicalTarget { tid: "tid-1".into(), codestreams: set(frames.len() as u32), metadata };
    Server {
        object,
        frames: extents,
        built: Vec::new(),
        index: index.into(),
        target: Arc::new(target),
        limits: Limits::default(),
        budget: 4096,
    }
}

/// A server of one raw codestream.
pub(crate) fn server(codestream: &TinyCodestream) -> Server {
    server_of(std::slice::from_ref(codestream), CodestreamSet::File, metadata::raw_codestream())
}

impl Server {
    /// Serves a request from a model, without noting anything.
    pub(crate) fn plan(&self, query: &str, model: &CacheModel) -> Result<Reply, RequestError> {
        let request = Request::parse(query.as_bytes(), None)?;
        let mut plan = ResponsePlan::new(&request, Arc::clone(&self.target), &self.limits)?;
        let mut index = SparseBytes::new(self.index.len() as u64);
        self.open_all(&mut plan, &mut index);
        let mut body = Vec::new();
        let mut calls = 0;
        loop {
            let end = self.batch(&mut plan, &mut index, model, &mut body);
            calls += 1;
            assert!(calls < 100_000, "no progress");
            if let Some(end) = end {
                assert_eq!(self.measured(&request, model), body.len() as u64, "what is measured is what is sent");
                return Ok(Reply { headers: plan.headers(), body, end, plan });
            }
        }
    }

    /// The length of the response to a request, of which no message is made.
    fn measured(&self, request: &Request, model: &CacheModel) -> u64 {
        let mut plan = ResponsePlan::new(request, Arc::clone(&self.target), &self.limits).unwrap();
        let mut index = SparseBytes::new(self.index.len() as u64);
        self.open_all(&mut plan, &mut index);
        plan.only_measure();
        let mut len = 0;
        loop {
            self.load_needs(&mut plan, &mut index);
            let batch = plan.next(model, &index, self.budget).unwrap();
            len += batch.body_len;
            if batch.end.is_some() {
                return len;
            }
        }
    }

    pub(crate) fn open_all(&self, plan: &mut ResponsePlan, index: &mut SparseBytes) {
        for id in plan.codestreams().to_vec() {
            let ordinal = self.target.codestreams.ordinal(id).unwrap();
            let opened = loop {
                let file = FileIndex::open(index).and_then(|file| file.codestream(ordinal, index));
                match file {
                    Ok(opened) => break opened,
                    Err(codestream::annex_i::OpenError::NotLoaded(missing)) => self.load(index, &missing.ranges),
                    Err(error) => panic!("{error}"),
                }
            };
            plan.open(id, Arc::new(opened));
        }
    }

    /// Loads what one batch needs and appends it to `body`.
    pub(crate) fn batch(
        &self,
        plan: &mut ResponsePlan,
        index: &mut SparseBytes,
        model: &CacheModel,
        body: &mut Vec<u8>,
    ) -> Option<EorReason> {
        self.load_needs(plan, index);
        let batch = plan.next(model, index, self.budget).unwrap();
        let before = body.len();
        for piece in &batch.pieces {
            match piece {
                Piece::Inline(range) => body.extend_from_slice(&batch.inline[range.start as usize..range.end as usize]),
                Piece::Codestream { id, span } => {
                    let ordinal = self.target.codestreams.ordinal(*id).unwrap() as usize;
                    for extent in self.frames[ordinal].locate(*span).unwrap() {
                        body.extend_from_slice(self.object_bytes(extent));
                    }
                }
                Piece::Object(extent) => body.extend_from_slice(self.object_bytes(*extent)),
            }
        }
        assert_eq!((body.len() - before) as u64, batch.body_len);
        batch.end
    }

    fn load_needs(&self, plan: &mut ResponsePlan, index: &mut SparseBytes) {
        loop {
            let missing = plan.poll_needs(index).unwrap();
            if missing.is_empty() {
                return;
            }
            self.load(index, &missing);
        }
    }

    fn object_bytes(&self, extent: Extent) -> &[u8] {
        &self.object[extent.offset as usize..(extent.offset + extent.len) as usize]
    }

    fn load(&self, index: &mut SparseBytes, ranges: &[std::ops::Range<u64>]) {
        assert!(!ranges.is_empty());
        for range in ranges {
            index.insert_range(range.start, self.index.slice(range.start as usize..range.end as usize));
        }
    }

    pub(crate) fn index_len(&self) -> u64 {
        self.index.len() as u64
    }

    pub(crate) fn stateless(&self, query: &str) -> Reply {
        let request = Request::parse(query.as_bytes(), None).unwrap();
        let model = CacheModel::for_stateless(&request, &self.target, &self.limits);
        self.plan(query, &model).unwrap()
    }

    /// Serves a request of a session and notes what was delivered.
    pub(crate) fn in_session(&self, query: &str, model: &mut CacheModel) -> (Vec<u8>, EorReason) {
        let request = Request::parse(query.as_bytes(), None).unwrap();
        model.apply(&request, &self.target);
        let reply = self.plan(query, model).unwrap();
        reply.plan.commit(model);
        (reply.body, reply.end)
    }

    /// The precinct data-bins as they must be, by in-class identifier.
    pub(crate) fn true_bins(&self, frame: usize) -> BTreeMap<u64, Vec<u8>> {
        let built = &self.built[frame];
        let (header, _) =
            MainHeader::parse(&built.bytes[..built.main_header_len as usize], &CodestreamLimits::default()).unwrap();
        let mut packets = built.packets.clone();
        packets.sort_by_key(|packet| (packet.tile, packet.component, packet.sequence, packet.layer));
        let mut bins = BTreeMap::<u64, Vec<u8>>::new();
        let bytes = |span: codestream::Span| &built.bytes[span.offset as usize..span.end() as usize];
        for packet in packets {
            let id = precinct_id(header.siz(), TileIndex(packet.tile), packet.component, packet.sequence).unwrap();
            let bin = bins.entry(id).or_default();
            let mut in_place = bytes(packet.in_place);
            if !packet.packed_header.is_empty() {
                if in_place.starts_with(&[0xFF, 0x91]) {
                    bin.extend_from_slice(&in_place[..6]);
                    in_place = &in_place[6..];
                }
                for span in packet.packed_header {
                    bin.extend_from_slice(bytes(span));
                }
            }
            bin.extend_from_slice(in_place);
        }
        bins
    }

    pub(crate) fn check_precincts(&self, store: &DataBinStore, id: CodestreamId) {
        let frame = self.target.codestreams.ordinal(id).unwrap() as usize;
        let expected = self.true_bins(frame);
        let mut seen = 0;
        for (number, bin) in store.bins_of(id, DataBinClass::Precinct) {
            assert!(bin.is_complete(), "precinct {number}");
            assert_eq!(bin.prefix(), expected[&number].as_slice(), "precinct {number}");
            seen += 1;
        }
        assert_eq!(seen, expected.len());
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn messages(&self) -> Vec<MessageHeader> {
        messages(&self.body)
    }
}

pub(crate) fn new_store() -> DataBinStore {
    DataBinStore::new(StoreLimits::default())
}

pub(crate) fn messages(body: &[u8]) -> Vec<MessageHeader> {
    let mut found = Vec::new();
    let mut reader = MessageReader::new();
    let mut rest = body;
    while let Some(event) = reader.read(&mut rest).unwrap() {
        if let Event::Message(header) = event {
            found.push(header);
        }
    }
    found
}

/// Reads a response in pieces of `step` bytes.
pub(crate) fn receive_in(store: &mut DataBinStore, body: &[u8], step: usize) -> Option<EorReason> {
    let mut reader = MessageReader::new();
    for mut piece in body.chunks(step.max(1)) {
        while let Some(event) = reader.read(&mut piece).unwrap() {
            store.apply(&event).unwrap();
        }
    }
    reader.ended()
}

pub(crate) fn receive(store: &mut DataBinStore, body: &[u8]) -> Option<EorReason> {
    receive_in(store, body, usize::MAX)
}

/// Checks that no byte comes twice, that offsets grow without a gap, and that the first message names class
/// and codestream; `held` is what the client had before and is brought up to date.
pub(crate) fn check_growth(body: &[u8], held: &mut BTreeMap<BinKey, u64>) {
    assert!(body[0] == 0 || body[0] >> 5 & 3 == 3, "the first message names class and codestream");
    for header in messages(body) {
        let end = held.entry(header.key()).or_default();
        assert_eq!(header.offset, *end, "{header:?}");
        *end += header.len;
    }
}
