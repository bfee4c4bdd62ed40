//! What only a bucket can do wrong, on the S3 server that `PRECINCT_TEST_S3` names.

mod relay;

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use catalog::{IndexKey, ObjectKey};
use codestream::ByteSource as _;
use futures_util::TryStreamExt as _;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use server::data_dir::DataDir;
use server::storage::{S3Place, Storage, StorageError};

use super::{complete, put, sample};
use relay::Relay;

/// A bucket that nobody else uses.
pub(crate) struct TestBucket {
    server: String,
    name: String,
    client: reqwest::Client,
    data: DataDir,
    _folder: tempfile::TempDir,
}

impl TestBucket {
    /// A new one without objects; `None`, and a line that says so, where there is no server to test with.
    pub(crate) async fn fresh() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let server = match std::env::var("PRECINCT_TEST_S3") {
            Ok(server) if !server.is_empty() => server.trim_end_matches('/').to_owned(),
            _ => {
                let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!ci, "CI=true and no S3 server: PRECINCT_TEST_S3 must hold the URL of one");
                println!("skipped: no S3 server in PRECINCT_TEST_S3");
                return None;
            }
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("test-{}-{}-{since}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        // The server asks who it is, and believes every answer.
        let someone =
            "AWS4-HMAC-SHA256 Credential=x/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x";
        let headers = [(AUTHORIZATION, HeaderValue::from_static(someone))].into_iter().collect();
        let client = reqwest::Client::builder().default_headers(headers).build().unwrap();
        let bucket = Self { server, name, client, data, _folder: folder };
        let made = bucket.client.put(bucket.url("")).send().await.unwrap();
        assert!(made.status().is_success(), "a bucket of its own for a test: {}", made.status());
        Some(bucket)
    }

    /// The store below the prefix `a/b`.
    pub(crate) async fn open(&self) -> Storage {
        self.open_at(&self.server).await.unwrap()
    }

    /// As above, by another way to the server.
    async fn open_at(&self, endpoint: &str) -> anyhow::Result<Storage> {
        Storage::open_s3(&self.data, &self.place(), environment(endpoint)).await
    }

    fn place(&self) -> S3Place {
        format!("s3://{}/a/b", self.name).parse().unwrap()
    }

    fn url(&self, rest: &str) -> String {
        format!("{}/{}{rest}", self.server, self.name)
    }

    /// The keys in it.
    async fn keys(&self) -> Vec<String> {
        let listed = self.get("?list-type=2").await;
        listed.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }

    /// The number of multipart uploads that were begun and not ended.
    async fn uploads(&self) -> usize {
        self.get("?uploads").await.matches("<UploadId>").count()
    }

    async fn get(&self, rest: &str) -> String {
        let answer = self.client.get(self.url(rest)).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.text().await.unwrap()
    }

    /// Puts other bytes where an object lies.
    async fn damage(&self, key: &ObjectKey, bytes: Vec<u8>) {
        let damaged = self.client.put(self.url(&path_of(key))).body(bytes).send().await.unwrap();
        assert!(damaged.status().is_success());
    }
}

fn environment(endpoint: &str) -> Vec<(String, String)> {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "a-key-nobody-sees"),
        ("AWS_SECRET_ACCESS_KEY", "a-secret-nobody-sees"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ENDPOINT_URL", endpoint),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn path_of(key: &ObjectKey) -> String {
    let name = key.to_string();
    format!("/a/b/objects/{}/{}", &name[..2], &name[2..])
}

#[tokio::test]
async fn keys_are_those_of_a_local_store_below_the_prefix_and_nothing_else_is_left() {
    let Some(bucket) = TestBucket::fresh().await else { return };
    let storage = bucket.open().await;
    assert_eq!(bucket.keys().await, Vec::<String>::new(), "the probe is gone");
    let key = put(&storage, b"x").await;
    let index = IndexKey { object: key, version: 4 };
    storage.put_index(index, storage.new_temp_index().unwrap()).unwrap();
    let name = key.to_string();
    let (ab, rest) = name.split_at(2);
    assert_eq!(bucket.keys().await, [format!("a/b/index/{ab}/{rest}.4"), format!("a/b/objects/{ab}/{rest}")]);
    assert_eq!(std::fs::read_dir(bucket.data.tmp()).unwrap().count(), 0);
}

#[tokio::test]
async fn two_stores_on_one_bucket_see_the_same_objects() {
    let Some(bucket) = TestBucket::fresh().await else { return };
    let (one, other) = (bucket.open().await, bucket.open().await);
    let key = put(&one, b"some bytes").await;
    assert_eq!(put(&other, b"some bytes").await, key);
    assert_eq!(other.open_object(&key).unwrap().read(vec![5..10]).await.unwrap()[0], "bytes");
}

#[tokio::test]
async fn an_object_of_many_parts_comes_back_equal() {
    let Some(bucket) = TestBucket::fresh().await else { return };
    let storage = bucket.open().await;
    let bytes = sample(40_000_000);
    let key = put(&storage, &bytes).await;
    let head = bucket.client.head(bucket.url(&path_of(&key))).send().await.unwrap();
    let tag = head.headers()["etag"].to_str().unwrap().to_owned();
    assert!(tag.ends_with("-5\""), "five parts of 8 MiB at most: {tag}");
    let (len, stream) = storage.stream_object(&key).await.unwrap();
    let streamed: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(len, 40_000_000);
    assert!(streamed.concat() == bytes);
    let read = storage.open_object(&key).unwrap().read(vec![8_388_600..8_388_616, 0..39_000_000]).await.unwrap();
    assert!(read[0] == bytes[8_388_600..8_388_616] && read[1] == bytes[..39_000_000]);
    assert_eq!(bucket.uploads().await, 0);
}

#[tokio::test]
async fn f11_an_object_cut_short_in_the_bucket_is_an_error_and_storing_it_again_mends_it() {
    let Some(bucket) = TestBucket::fresh().await else { return };
    let storage = bucket.open().await;
    let bytes = sample(5000);
    let key = put(&storage, &bytes).await;
    let open = storage.open_object(&key).unwrap();
    bucket.damage(&key, bytes[..100].to_vec()).await;
    for range in [0..5000, 50..150, 200..300] {
        let error = open.read(vec![range.clone()]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{range:?}: {error}");
    }
    // One that knows the object as it is now must not keep to that.
    let other = bucket.open().await;
    assert_eq!(other.open_object(&key).unwrap().len(), 100);
    put(&other, &bytes).await;
    for storage in [other, storage] {
        let mended = storage.open_object(&key).unwrap().read(vec![0..5000]).await.unwrap();
        assert_eq!(mended[0], bytes);
    }
}

#[tokio::test]
async fn f11_an_object_that_was_removed_is_missing() {
    let Some(bucket) = TestBucket::fresh().await else { return };
    let storage = bucket.open().await;
    let key = put(&storage, b"some bytes").await;
    let open = storage.open_object(&key).unwrap();
    let removed = bucket.client.delete(bucket.url(&path_of(&key))).send().await.unwrap();
    assert!(removed.status().is_success());
    assert_eq!(open.read(vec![0..5]).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(matches!(bucket.open().await.open_object(&key), Err(StorageError::Missing)));
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_told_at_the_start_with_words() {
    let Some(bucket) = TestBucket::fresh().await else { return };
    let no_bucket = "s3://no-such-bucket-here/x".parse().unwrap();
    let words = |opened: anyhow::Result<Storage>| format!("{:#}", opened.unwrap_err());
    let told = words(Storage::open_s3(&bucket.data, &no_bucket, environment(&bucket.server)).await);
    assert!(told.contains("there is no bucket no-such-bucket-here") && told.contains(&bucket.server), "{told}");

    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("http://127.0.0.1:{port}");
    let begun = Instant::now();
    let told = words(bucket.open_at(&nobody).await);
    assert!(told.contains(&nobody) && told.contains("AWS_ENDPOINT_URL") && told.contains("refused"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());

    let mut no_http = environment(&bucket.server);
    no_http.retain(|(name, _)| name != "AWS_ALLOW_HTTP");
    let told = words(Storage::open_s3(&bucket.data, &bucket.place(), no_http).await);
    assert!(told.contains("AWS_ALLOW_HTTP"), "{told}");

    let mut wrong = environment(&bucket.server);
    wrong.push(("AWS_ALLOW_HTTP".to_owned(), "perhaps".to_owned()));
    let told = words(Storage::open_s3(&bucket.data, &bucket.place(), wrong).await);
    assert!(told.contains("settings") && !told.contains("nobody-sees"), "{told}");
}

#[tokio::test]
async fn a_server_that_went_away_is_an_error_of_the_system_and_not_of_the_object() {
    let Some(bucket) = TestBucket::fresh().await else { return };
    let relay = Relay::to(&bucket.server).await;
    let storage = bucket.open_at(&relay.url()).await.unwrap();
    let key = put(&storage, &sample(3_000_000)).await;
    let open = storage.open_object(&key).unwrap();
    let unheard = complete(&storage, b"unheard").await;
    relay.refuse();
    let begun = Instant::now();
    let of_the_process = |error: StorageError| error.is_of_the_process() && matches!(error, StorageError::Io(_));
    assert!(of_the_process(open.read(vec![0..10]).await.unwrap_err().into()));
    assert!(of_the_process(storage.open_object(&ObjectKey::new([7; 32])).unwrap_err()));
    assert!(of_the_process(storage.put(unheard).unwrap_err()));
    let streamed = storage.stream_object(&key).await.unwrap().1.try_collect::<Vec<_>>().await;
    assert!(of_the_process(streamed.unwrap_err()));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(storage.takes_objects());
    relay.pass();
    assert_eq!(open.read(vec![0..3]).await.unwrap()[0], sample(3));
    put(&storage, b"heard").await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let Some(bucket) = TestBucket::fresh().await else { return };
    let relay = Relay::to(&bucket.server).await;
    let storage = bucket.open_at(&relay.url()).await.unwrap();
    let key = put(&storage, b"x").await;
    let open = storage.open_object(&key).unwrap();
    relay.hold();
    let begun = Instant::now();
    let error = open.read(vec![0..1]).await.unwrap_err();
    assert!(error.raw_os_error().is_some() && begun.elapsed() < Duration::from_secs(20), "{error}");
}

#[tokio::test]
async fn an_upload_that_breaks_in_the_middle_leaves_nothing_to_be_seen() {
    let Some(bucket) = TestBucket::fresh().await else { return };
    let relay = Relay::to(&bucket.server).await;
    let storage = bucket.open_at(&relay.url()).await.unwrap();
    let bytes = sample(40_000_000);
    let broken = complete(&storage, &bytes).await;
    let key = broken.key();
    relay.refuse_after(20_000_000);
    assert!(storage.put(broken).unwrap_err().is_of_the_process());
    relay.pass();
    assert_eq!(bucket.uploads().await, 1, "it broke after it was begun, and could not be ended");
    assert_eq!(bucket.keys().await, Vec::<String>::new());
    assert!(matches!(storage.open_object(&key), Err(StorageError::Missing)));
    assert_eq!(put(&storage, &bytes).await, key);
    assert_eq!(
        storage.open_object(&key).unwrap().read(vec![39_999_990..40_000_000]).await.unwrap()[0],
        bytes[39_999_990..]
    );
}
