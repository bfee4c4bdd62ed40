//! The contract of a store: functions over [`Storage`], run on every back end that is built in.
#![expect(clippy::single_range_in_vec_init, reason = "one range is what is to be read")]

#[path = "storage_contract/s3.rs"]
mod s3;

use bytes::BytesMut;
use catalog::{IndexKey, ObjectKey};
use codestream::ByteSource as _;
use futures_util::TryStreamExt as _;
use server::data_dir::DataDir;
use server::storage::{CompleteObject, Hole, Storage, StorageError};
use sha2::{Digest as _, Sha256};
use std::io::{ErrorKind, Seek as _, SeekFrom, Write as _};

/// Runs every function of the contract on a fresh local folder.
macro_rules! on_local {
    ($($name:ident),* $(,)?) => {
        mod on_local {
            $(
                #[tokio::test]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    let data = server::data_dir::DataDir::open(folder.path()).unwrap();
                    super::$name(&server::storage::Storage::open(&data).unwrap()).await;
                }
            )*
        }
    };
}

/// Runs every function of the contract on a fresh bucket, on the threads of a runtime as in a server.
macro_rules! on_s3 {
    ($($name:ident),* $(,)?) => {
        mod on_s3 {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let Some(bucket) = super::s3::TestBucket::fresh().await else { return };
                    super::$name(&bucket.open().await).await;
                }
            )*
        }
    };
}

macro_rules! on_each {
    ($($name:ident),* $(,)?) => {
        on_local!($($name),*);
        on_s3!($($name),*);
    };
}

on_each!(
    an_object_comes_back_under_its_digest,
    the_same_bytes_may_come_twice_and_at_the_same_time,
    an_object_over_its_limit_is_refused,
    what_is_not_there_is_missing,
    an_index_is_stored_beside_its_object,
    a_whole_object_is_streamed,
    an_empty_object_is_an_object,
    an_object_is_a_source_of_bytes,
    the_holes_of_a_buffer_are_filled,
    a_range_past_the_end_is_refused,
    the_names_of_objects_are_listed,
    what_is_removed_is_missing_and_may_come_again,
);

const LIMIT: u64 = 1 << 30;

async fn an_object_comes_back_under_its_digest(storage: &Storage) {
    let bytes = sample(1_000_003);
    let key = put(storage, &bytes).await;
    assert_eq!(key, ObjectKey::new(Sha256::digest(&bytes).into()));
    let stored = storage.open_object(&key).unwrap();
    assert_eq!(stored.len(), bytes.len() as u64);
    let read = stored.read(vec![999_990..1_000_003, 0..10, 10..700_000]).await.unwrap();
    assert_eq!(read[0], bytes[999_990..]);
    assert_eq!(read[1], bytes[..10]);
    assert_eq!(read[2], bytes[10..700_000]);
    assert!(stored.read(vec![0..1_000_004]).await.is_err());
}

async fn the_same_bytes_may_come_twice_and_at_the_same_time(storage: &Storage) {
    let tasks = (0..16).map(|n| {
        let storage = storage.clone();
        tokio::spawn(async move { put(&storage, &sample(if n % 2 == 0 { 10 } else { 300_000 })).await })
    });
    let mut keys = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        keys.push(task.await.unwrap());
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 2);
}

async fn an_object_over_its_limit_is_refused(storage: &Storage) {
    let mut temp = storage.new_temp(10).unwrap();
    temp.write_all(&[0; 10]).await.unwrap();
    assert!(matches!(temp.write_all(&[0]).await, Err(StorageError::TooLarge { limit: 10 })));
}

async fn what_is_not_there_is_missing(storage: &Storage) {
    let key = ObjectKey::new([7; 32]);
    assert!(matches!(storage.open_object(&key), Err(StorageError::Missing)));
    assert!(matches!(storage.open_index(&IndexKey { object: key, version: 1 }), Err(StorageError::Missing)));
    assert!(matches!(storage.stream_object(&key).await, Err(StorageError::Missing)));
    assert!(storage.takes_objects());
}

async fn an_index_is_stored_beside_its_object(storage: &Storage) {
    let key = IndexKey { object: ObjectKey::new([7; 32]), version: 4 };
    let mut index = storage.new_temp_index().unwrap();
    index.write_all(b"....rest").unwrap();
    index.seek(SeekFrom::Start(0)).unwrap();
    index.write_all(b"head").unwrap();
    assert_eq!(storage.put_index(key, index).unwrap(), 8);
    let stored = storage.open_index(&key).unwrap();
    assert_eq!(stored.read(vec![0..8]).await.unwrap()[0], "headrest");
    assert!(storage.open_object(&key.object).is_err());
}

async fn a_whole_object_is_streamed(storage: &Storage) {
    let bytes = sample(600_000);
    let key = put(storage, &bytes).await;
    let (len, stream) = storage.stream_object(&key).await.unwrap();
    let streamed: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!((len, streamed.concat()), (600_000, bytes));
}

async fn an_empty_object_is_an_object(storage: &Storage) {
    let key = put(storage, b"").await;
    assert_eq!(storage.open_object(&key).unwrap().len(), 0);
}

async fn an_object_is_a_source_of_bytes(storage: &Storage) {
    let bytes = sample(2_500_000);
    let key = put(storage, &bytes).await;
    let stored = storage.open_object(&key).unwrap();
    let read = move || {
        let mut found = vec![0; bytes.len()];
        stored.read_exact_at(0, &mut found).unwrap();
        assert!(found == bytes);
        let mut few = [0; 4];
        assert_eq!(stored.read_at(2_499_998, &mut few).unwrap(), 2);
        assert_eq!(few[..2], bytes[2_499_998..]);
        assert_eq!(stored.read_at(2_500_000, &mut few).unwrap(), 0);
        assert_eq!(stored.read_blocking(&[7..9, 0..0]).unwrap(), [bytes[7..9].to_vec(), Vec::new()]);
    };
    tokio::task::spawn_blocking(read).await.unwrap();
}

async fn the_holes_of_a_buffer_are_filled(storage: &Storage) {
    let bytes = sample(300_000);
    let key = put(storage, &bytes).await;
    let stored = storage.open_object(&key).unwrap();
    let holes = [(1..3, 299_998), (4..4, 5), (5..105, 40), (105..200, 100_000)];
    let holes = holes.map(|(at, offset)| Hole { at, offset });
    let filled = stored.fill(BytesMut::from(&[9; 201][..]), holes.to_vec()).await.unwrap();
    let mut expected = vec![9; 201];
    for hole in holes {
        let offset = hole.offset as usize;
        expected[hole.at.clone()].copy_from_slice(&bytes[offset..offset + hole.at.len()]);
    }
    assert_eq!(filled, expected);
    let refused = stored.fill(BytesMut::zeroed(9), vec![Hole { at: 0..9, offset: 299_992 }]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnexpectedEof);
}

async fn a_range_past_the_end_is_refused(storage: &Storage) {
    let key = put(storage, &sample(1000)).await;
    let stored = storage.open_object(&key).unwrap();
    for range in [0..1001, 1000..1001, u64::MAX - 1..u64::MAX] {
        let error = stored.read(vec![0..1, range.clone()]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{range:?}");
    }
    assert_eq!(stored.read(vec![999..1000, 1000..1000]).await.unwrap()[1].len(), 0);
}

async fn what_is_removed_is_missing_and_may_come_again(storage: &Storage) {
    let (gone, kept) = (put(storage, b"gone").await, put(storage, b"kept").await);
    let index = |object| IndexKey { object, version: 4 };
    for key in [gone, kept] {
        storage.put_index(index(key), storage.new_temp_index().unwrap()).unwrap();
        assert_eq!(storage.open_object(&key).unwrap().len(), 4);
    }
    storage.remove_object(gone).await.unwrap();
    storage.remove_index(index(gone)).await.unwrap();
    assert!(matches!(storage.open_object(&gone), Err(StorageError::Missing)));
    assert!(matches!(storage.open_index(&index(gone)), Err(StorageError::Missing)));
    assert_eq!(storage.open_object(&kept).unwrap().len(), 4);
    let names: Vec<_> = storage.index_names().try_collect().await.unwrap();
    assert_eq!(names, [index(kept).to_string()]);
    // What is not there is removed.
    storage.remove_object(gone).await.unwrap();
    assert_eq!(put(storage, b"gone").await, gone);
    assert_eq!(storage.open_object(&gone).unwrap().len(), 4);
}

async fn the_names_of_objects_are_listed(storage: &Storage) {
    assert_eq!(storage.object_names().try_collect::<Vec<_>>().await.unwrap(), Vec::<String>::new());
    let mut keys = Vec::new();
    for n in 0..12u8 {
        let key = put(storage, &[n]).await;
        storage.put_index(IndexKey { object: key, version: 4 }, storage.new_temp_index().unwrap()).unwrap();
        keys.push(key.to_string());
    }
    let mut names: Vec<_> = storage.object_names().try_collect().await.unwrap();
    names.sort();
    keys.sort();
    assert_eq!(names, keys);
}

#[tokio::test]
async fn storing_again_mends_a_damaged_file_and_readers_see_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let storage = Storage::open(&data).unwrap();
    let bytes = sample(5000);
    let key = put(&storage, &bytes).await;
    let name = key.to_string();
    let path = data.objects().join(&name[..2]).join(&name[2..]);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    storage.open_object(&key).unwrap().read(vec![0..20]).await.unwrap_err();
    put(&storage, &bytes).await;
    let mended = storage.open_object(&key).unwrap().read(vec![0..5000]).await.unwrap();
    assert_eq!(mended[0], bytes);
}

#[tokio::test]
async fn what_is_dropped_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let storage = Storage::open(&data).unwrap();
    let mut temp = storage.new_temp(LIMIT).unwrap();
    temp.write_all(&sample(600_000)).await.unwrap();
    drop(temp);
    drop(complete(&storage, b"x").await);
    put(&storage, b"y").await;
    assert_eq!(std::fs::read_dir(data.tmp()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_store_of_its_own_is_locked_too() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open_folder(folder.path()).unwrap();
    put(&storage, b"y").await;
    assert!(Storage::open_folder(folder.path()).is_err());
    assert!(DataDir::open(folder.path()).is_err());
}

async fn put(storage: &Storage, bytes: &[u8]) -> ObjectKey {
    let complete = complete(storage, bytes).await;
    let mut head = vec![0; bytes.len().min(16)];
    complete.read_exact_at(0, &mut head).unwrap();
    assert_eq!(head, bytes[..head.len()]);
    storage.put(complete).unwrap()
}

async fn complete(storage: &Storage, bytes: &[u8]) -> CompleteObject {
    let mut temp = storage.new_temp(LIMIT).unwrap();
    for part in bytes.chunks(70_001) {
        temp.write_all(part).await.unwrap();
    }
    assert_eq!(temp.len(), bytes.len() as u64);
    temp.complete().unwrap()
}

fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 253) as u8).collect()
}
