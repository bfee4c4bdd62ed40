#![expect(clippy::single_range_in_vec_init, reason = "one range is what is to be read")]

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use proptest::prelude::*;

use super::*;

const MIB: usize = 1 << 20;

/// An object of a store in memory, whose bytes are `n % 251`.
async fn stored(len: usize) -> Arc<RemoteObject> {
    stored_as(len, len as u64).await
}

/// As above, and told to be `claimed` bytes long.
async fn stored_as(len: usize, claimed: u64) -> Arc<RemoteObject> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let path = Path::from("objects/00/11");
    store.put(&path, whole(len).into()).await.unwrap();
    let place = "s3://abc".parse().unwrap();
    let bucket = Bucket::with_clients(Arc::clone(&store), store, Path::default(), place, String::new());
    let threads = Arc::new(Threads::new().unwrap());
    Arc::new(RemoteObject::new(Arc::new(bucket), threads, path, ObjectKey::new([0; 32]), claimed))
}

fn whole(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

fn hole(at: Range<usize>, offset: u64) -> Hole {
    Hole { at, offset }
}

#[test]
fn neighbours_share_a_request_and_what_lies_far_apart_does_not() {
    let far = 10 + GAP + 1;
    let holes = [hole(0..10, 0), hole(10..20, far + GAP), hole(20..30, far), hole(30..30, 7)];
    let ranges: Vec<_> = runs(&holes, 30, 1 << 30).unwrap().into_iter().map(|run| run.range).collect();
    assert_eq!(ranges, [0..10, far..far + GAP + 10]);
}

#[test]
fn no_request_asks_for_more_than_it_may() {
    let holes = [hole(0..5 * MIB, 100), hole(5 * MIB..5 * MIB + 10, 50)];
    let runs = runs(&holes, 6 * MIB, 1 << 30).unwrap();
    assert!(runs.iter().all(|run| run.range.end - run.range.start <= MOST_RUN));
    let filled: usize = runs.iter().flat_map(|run| &run.parts).map(|part| part.at.len()).sum();
    assert_eq!(filled, 5 * MIB + 10);
}

#[test]
fn holes_out_of_order_or_past_the_end_are_refused() {
    let kind = |holes: &[Hole]| runs(holes, 20, 100).map(drop).map_err(|error| error.kind());
    assert_eq!(kind(&[hole(0..10, 91)]), Err(io::ErrorKind::UnexpectedEof));
    assert_eq!(kind(&[hole(0..10, u64::MAX)]), Err(io::ErrorKind::UnexpectedEof));
    assert_eq!(kind(&[hole(5..10, 0), hole(9..12, 0)]), Err(io::ErrorKind::InvalidInput));
    assert_eq!(kind(&[hole(15..21, 0)]), Err(io::ErrorKind::InvalidInput));
    assert_eq!(kind(&[hole(0..10, 90)]), Ok(()));
}

#[tokio::test]
async fn f_an_object_that_is_shorter_than_it_was_is_an_error_not_a_short_answer() {
    let object = stored_as(5000, 10_000).await;
    assert_eq!(object.read(&[4990..5001]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(object.read(&[0..2]).await.unwrap(), [&[0u8, 1][..]]);
    assert!(object.stream().try_collect::<Vec<_>>().await.is_err());
}

#[tokio::test]
async fn an_object_is_read_by_chunks_from_any_thread() {
    let len = 9 * MIB + 7;
    let object = stored(len).await;
    let read = move |threads_of_a_runtime: bool| {
        let mut found = Vec::new();
        let mut buf = vec![0; if threads_of_a_runtime { 70_001 } else { 3 * MIB }];
        loop {
            match object.read_at(found.len() as u64, &mut buf).unwrap() {
                0 => break,
                n => found.extend_from_slice(&buf[..n]),
            }
        }
        assert!(found == whole(len));
        assert_eq!(object.read_at(u64::MAX, &mut buf).unwrap(), 0);
        assert_eq!(object.read_blocking(vec![len as u64 - 1..len as u64]).unwrap()[0][0], ((len - 1) % 251) as u8);
    };
    let on_blocking = read.clone();
    read(true);
    tokio::task::spawn_blocking(move || on_blocking(false)).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_hole_gets_its_own_bytes_and_nothing_else_changes(
        parts in prop::collection::vec((0u64..3_000_000, prop_oneof![0usize..2_500_000, 0usize..30], 0usize..40), 0..9),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let object = stored(5_500_000).await;
            let (mut holes, mut at) = (Vec::new(), 0);
            for (offset, len, head) in parts {
                holes.push(hole(at + head..at + head + len, offset));
                at += head + len;
            }
            let buffer = object.fill(BytesMut::from(&vec![255; at][..]), &holes).await.unwrap();
            let mut expected = vec![255; at];
            for hole in &holes {
                for (n, byte) in expected[hole.at.clone()].iter_mut().enumerate() {
                    *byte = ((hole.offset as usize + n) % 251) as u8;
                }
            }
            prop_assert!(buffer == expected);
            Ok(())
        })?;
    }
}
