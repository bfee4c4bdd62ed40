use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use object_store::{PutPayload, PutResult, UploadPart};

use super::*;

const MIB: u64 = 1 << 20;

type Answer<'a, T> = Pin<Box<dyn Future<Output = object_store::Result<T>> + Send + 'a>>;

/// An upload that notes what is asked of it.
#[derive(Debug, Default)]
struct Watched {
    /// Which part fails, from 0.
    fails: Option<usize>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    parts: Vec<Vec<u8>>,
    under_way: usize,
    most_under_way: usize,
    completed: usize,
    aborted: usize,
}

impl MultipartUpload for Watched {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let seen = Arc::clone(&self.seen);
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.parts.push(data.iter().flatten().copied().collect());
            seen.under_way += 1;
            seen.most_under_way = seen.most_under_way.max(seen.under_way);
            seen.parts.len() - 1
        };
        let fails = self.fails == Some(number);
        Box::pin(async move {
            // Time is paused: this ends when everything else waits, for parts to be taken.
            tokio::time::sleep(Duration::from_secs(1)).await;
            seen.lock().unwrap().under_way -= 1;
            if fails { Err(Error::Generic { store: "S3", source: "no".into() }) } else { Ok(()) }
        })
    }

    fn complete<'a, 'b>(&'a mut self) -> Answer<'b, PutResult>
    where
        'a: 'b,
        Self: 'b,
    {
        self.seen.lock().unwrap().completed += 1;
        Box::pin(async { Ok(PutResult { e_tag: None, version: None, extensions: Default::default() }) })
    }

    fn abort<'a, 'b>(&'a mut self) -> Answer<'b, ()>
    where
        'a: 'b,
        Self: 'b,
    {
        self.seen.lock().unwrap().aborted += 1;
        Box::pin(async { Ok(()) })
    }
}

fn file(len: u64) -> Arc<NamedTempFile> {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(len).unwrap();
    file.as_file().write_all_at(b"end", len - 3).unwrap();
    Arc::new(file)
}

async fn upload(fails: Option<usize>, len: u64) -> (Result<(), StorageError>, Seen) {
    let mut upload = Watched { fails, ..Watched::default() };
    let result = upload_in_parts(&mut upload, &Path::from("x"), &file(len), len, PART).await;
    (result, std::mem::take(&mut upload.seen.lock().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn a_few_parts_of_bounded_length_are_in_memory_at_a_time() {
    let len = 41 * MIB + 5;
    let (result, seen) = upload(None, len).await;
    result.unwrap();
    assert_eq!(seen.most_under_way, PARTS_AT_A_TIME);
    assert!(seen.parts.iter().all(|part| part.len() as u64 <= PART));
    let sent = seen.parts.concat();
    assert_eq!((sent.len() as u64, &sent[sent.len() - 4..]), (len, &b"\0end"[..]));
    assert_eq!((seen.completed, seen.aborted), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_upload_with_a_part_that_fails_is_ended_and_not_completed() {
    for fails in [0, 3, 5] {
        let (result, seen) = upload(Some(fails), 41 * MIB + 5).await;
        assert!(matches!(result, Err(StorageError::Io(_))), "{result:?}");
        assert_eq!((seen.completed, seen.aborted), (0, 1));
    }
}

#[test]
fn there_are_never_more_parts_than_a_server_takes() {
    assert_eq!(part_len(40 << 20), PART);
    for len in [64u64 << 30, (80 << 30) + 1, 5 << 40] {
        assert!(len.div_ceil(part_len(len)) <= MOST_PARTS, "{len}");
    }
}
