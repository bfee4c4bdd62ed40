//! Responses to be carried: bytes of whole messages, and what a client makes of them.

use std::sync::Arc;

use jpip::chunk::{ChunkForm, Chunker};
use jpip::client::{DataBinStore, MessageReader, StoreLimits};
use jpip::message::{MessageEncoder, MessageHeader, encode_eor};
use jpip::udp::NewChunk;
use jpip::{BinKey, CodestreamId, DataBinClass, EorReason};

use crate::chance::Chance;

pub(crate) type Bytes = Arc<Vec<u8>>;

/// A response of so many precincts, numbered from `first`.
pub(crate) fn response(first: u64, precincts: u64, chance: &mut Chance) -> Vec<u8> {
    let (mut encoder, mut out) = (MessageEncoder::new(), Vec::new());
    let mut message = |class, id, len: u64| {
        let codestream = CodestreamId(1);
        encoder.encode(&MessageHeader { class, codestream, id, offset: 0, len, complete: true, aux: 0 }, &mut out);
        out.extend((0..len).map(|n| (n * 31 + id * 7) as u8));
    };
    message(DataBinClass::Metadata, 0, 0);
    message(DataBinClass::MainHeader, 0, 120);
    for id in first..first + precincts {
        message(DataBinClass::Precinct, id, chance.below(9000));
    }
    encode_eor(EorReason::WindowDone, &mut out);
    out
}

/// What a client holds that has read these runs of messages.
pub(crate) fn store_of<'a>(runs: impl IntoIterator<Item = &'a [u8]>) -> DataBinStore {
    let mut store = DataBinStore::new(StoreLimits::default());
    for run in runs {
        read_into(&mut store, run);
    }
    store
}

pub(crate) fn read_into(store: &mut DataBinStore, mut run: &[u8]) {
    let mut reader = MessageReader::new();
    while let Some(event) = reader.read(&mut run).unwrap() {
        store.apply(&event).unwrap();
    }
    reader.finish().unwrap();
}

/// The response in chunks, with the bytes of each.
pub(crate) fn chunks(response: &[u8], form: ChunkForm) -> Vec<NewChunk<Bytes>> {
    let layouts = Chunker::new(form).cut(response).unwrap();
    layouts
        .iter()
        .map(|layout| NewChunk {
            body: Arc::new(layout.pieces(response).collect::<Vec<_>>().concat()),
            len: layout.len(),
            is_last: layout.end().is_some(),
            carries: layout.carries().to_vec(),
        })
        .collect()
}

/// Checks that two clients hold the same.
pub(crate) fn check_same(got: &DataBinStore, expect: &DataBinStore) {
    assert_eq!(got.model(), expect.model());
    for (id, bin) in expect.bins_of(CodestreamId(1), DataBinClass::Precinct) {
        let got = got.bin(&BinKey::precinct(CodestreamId(1), id)).unwrap();
        assert_eq!(got.prefix(), bin.prefix(), "precinct {id}");
    }
}
