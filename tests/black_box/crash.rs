//! Fault F1: kill -9 at any moment loses nothing that was acknowledged and leaves no ghost.
//!
//! 50 cycles in `make test`; `make soak` runs 1,000 (`PRECINCT_SOAK=1`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::dicom_in::{ct, data_set};
use crate::house::House;
use crate::scu::Scu;

const SENDERS: u64 = 3;

/// Every instance that was acknowledged, in that order: its UID, and the digest of its data set.
pub(crate) type Acknowledged = Arc<Mutex<Vec<(String, [u8; 32])>>>;

#[test]
fn f1_kill_9_loses_nothing_that_was_acknowledged_and_leaves_no_ghost() {
    let cycles = if std::env::var_os("PRECINCT_SOAK").is_some() { 1000 } else { 50 };
    let acknowledged = Acknowledged::default();
    let next = Arc::new(AtomicU64::new(1));
    let mut folder = tempfile::TempDir::new().unwrap();
    let mut checked = 0;
    for cycle in 0..cycles {
        let house = House::open_in(folder, &[]);
        assert_eq!(std::fs::read_dir(house.data().join("tmp")).unwrap().count(), 0, "tmp is emptied at start");
        checked = check_some(&house, &acknowledged, checked);
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (acknowledged, next, address) = (Arc::clone(&acknowledged), Arc::clone(&next), house.dicom);
                std::thread::spawn(move || send_until_it_dies(address, &acknowledged, &next))
            })
            .collect();
        // No two cycles are cut at the same place: the moments are spread over the first 120 ms.
        std::thread::sleep(Duration::from_micros(cycle * 7919 % 120_000));
        folder = house.kill();
        for sender in senders {
            sender.join().unwrap();
        }
    }
    let house = House::open_in(folder, &[]);
    let all = acknowledged.lock().unwrap().clone();
    assert!(all.len() as u64 > cycles, "{} acknowledged in {cycles} cycles", all.len());
    for (uid, digest) in &all {
        assert_eq!(digest_of(&house, uid), Some(*digest), "{uid} was acknowledged");
    }
    check_all_that_is_there(&house);
}

pub(crate) fn send_until_it_dies(address: std::net::SocketAddr, acknowledged: &Acknowledged, next: &AtomicU64) {
    let Some(mut scu) = Scu::try_associate(address) else { return };
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let uid = format!("2.25.{number}");
        let sent = data_set(&ct(&uid, number));
        match scu.try_store(&uid, &sent) {
            Some(0) => acknowledged.lock().unwrap().push((uid, Sha256::digest(&sent).into())),
            Some(status) => panic!("{uid}: status {status:04x}"),
            None => return,
        };
    }
}

/// Looks up what was acknowledged since the last look; all of it is looked up once more at the end.
fn check_some(house: &House, acknowledged: &Acknowledged, from: usize) -> usize {
    let all = acknowledged.lock().unwrap().clone();
    for (uid, digest) in all.iter().skip(from) {
        assert_eq!(digest_of(house, uid), Some(*digest), "{uid} was acknowledged");
    }
    all.len()
}

pub(crate) fn digest_of(house: &House, uid: &str) -> Option<[u8; 32]> {
    let answer = house.get(&format!("/api/v1/instances/{uid}/file"));
    (answer.status == 200).then(|| Sha256::digest(data_set(&answer.body)).into())
}

/// Each row has its bytes and can be served; each stored object is what its name says.
pub(crate) fn check_all_that_is_there(house: &House) {
    let (mut cursor, mut listed) = (String::new(), 0);
    loop {
        let page = house.get(&format!("/api/v1/instances?limit=1000{cursor}")).json();
        for item in page["items"].as_array().unwrap() {
            let uid = item["sop_instance_uid"].as_str().unwrap();
            assert!(digest_of(house, uid).is_some(), "{uid} is listed");
            assert_eq!(house.jpip(&format!("target={uid}&fsiz=16,16")).end, 1, "{uid}");
            listed += 1;
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(listed > 0);
    for folder in std::fs::read_dir(house.data().join("objects")).unwrap() {
        let folder = folder.unwrap().path();
        for file in std::fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let name = [folder.file_name().unwrap(), file.file_name().unwrap()].map(|part| part.to_str().unwrap());
            let digest: String =
                Sha256::digest(std::fs::read(&file).unwrap()).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(name.concat(), digest);
        }
    }
}
