use proptest::prelude::*;

use super::*;

const KEY: BinKey = BinKey::precinct(CodestreamId(0), 5);

fn store() -> DataBinStore {
    DataBinStore::new(StoreLimits::default())
}

#[test]
fn gaps_are_known_and_filled() {
    let mut store = store();
    store.insert(KEY, 4, b"ef", true).unwrap();
    let bin = store.bin(&KEY).unwrap();
    assert_eq!((bin.prefix_len(), bin.len(), bin.is_complete()), (0, Some(6), false));
    assert_eq!(bin.prefix().as_ref(), b"");
    store.insert(KEY, 0, b"ab", false).unwrap();
    assert_eq!(store.bin(&KEY).unwrap().prefix().as_ref(), b"ab");
    store.insert(KEY, 1, b"bcde", false).unwrap();
    assert_eq!(store.bin(&KEY).unwrap().prefix().as_ref(), b"abcdef");
    assert!(store.is_complete(&KEY));
    // Bytes that are here already, and the end once more.
    store.insert(KEY, 2, b"cd", false).unwrap();
    store.insert(KEY, 6, b"", true).unwrap();
}

#[test]
fn contradictions_are_refused() {
    let mut store = store();
    store.insert(KEY, 0, b"abc", false).unwrap();
    assert_eq!(store.insert(KEY, 1, b"xc", false), Err(StoreError::Contradiction { bin: KEY, offset: 1 }));
    let wrong = |ends, reaches| Err(StoreError::WrongLength { bin: KEY, ends, reaches });
    assert_eq!(store.insert(KEY, 0, b"ab", true), wrong(2, 3));
    store.insert(KEY, 3, b"d", true).unwrap();
    assert_eq!(store.insert(KEY, 4, b"e", false), wrong(4, 5));
    assert_eq!(store.insert(KEY, 0, b"ab", true), wrong(2, 4));
    assert!(store.is_complete(&KEY));
}

#[test]
fn a_bin_without_bytes_is_complete_when_a_message_says_so() {
    let mut store = store();
    assert!(!store.is_complete(&KEY));
    store.insert(KEY, 0, b"", false).unwrap();
    assert!(!store.is_complete(&KEY));
    store.insert(KEY, 0, b"", true).unwrap();
    assert!(store.is_complete(&KEY) && store.bin(&KEY).unwrap().is_empty());
}

#[test]
fn limits_hold_for_many_small_and_one_large_data_bin() {
    let mut small = DataBinStore::new(StoreLimits { max_memory: 10_000, ..StoreLimits::default() });
    let mut inserted = 0;
    while small.insert(BinKey::precinct(CodestreamId(0), inserted), 0, b"", true).is_ok() {
        inserted += 1;
    }
    assert!(inserted < 10_000 / 128 && small.memory() <= 10_000);
    let mut scattered = DataBinStore::new(StoreLimits { max_memory: 10_000, ..StoreLimits::default() });
    let mut at = 0;
    while scattered.insert(KEY, at, b"x", false).is_ok() {
        at += 2;
    }
    assert!(scattered.bin(&KEY).unwrap().bytes_held() < 10_000 / 64);
    let far = store().insert(KEY, 1 << 40, b"x", false);
    assert!(matches!(far, Err(StoreError::LimitExceeded { .. })));
    assert!(store().insert(KEY, u64::MAX, b"x", false).is_err());
    // What is here already costs nothing again.
    let mut repeated = store();
    for _ in 0..10 {
        repeated.insert(KEY, 0, &[1; 100], false).unwrap();
    }
    assert!(repeated.memory() < 400);
}

#[test]
fn c_8_1_the_model_names_what_is_here() {
    let mut store = store();
    assert_eq!(store.model(), "");
    store.insert(BinKey::main_header(CodestreamId(0)), 0, b"abc", true).unwrap();
    store.insert(BinKey::tile_header(CodestreamId(0), 3), 0, b"", true).unwrap();
    store.insert(KEY, 0, b"0123456789", false).unwrap();
    store.insert(BinKey::precinct(CodestreamId(0), 6), 5, b"after a gap", true).unwrap();
    store.insert(BinKey::metadata(0), 0, b"", true).unwrap();
    store.insert(BinKey::precinct(CodestreamId(2), 7), 0, b"x", true).unwrap();
    assert_eq!(store.model(), "[0],P5:10,H3,Hm,M0,[2],P7");
}

proptest! {
    #[test]
    fn order_overlap_and_repetition_do_not_matter(
        len in 1usize..80,
        pieces in prop::collection::vec((0usize..80, 0usize..40), 0..30),
        order in any::<u64>(),
    ) {
        let whole: Vec<u8> = (0u8..80).map(|byte| byte.wrapping_mul(7)).collect();
        let mut pieces: Vec<(usize, usize)> = pieces.into_iter().map(|(at, n)| (at.min(len), (at + n).min(len))).collect();
        let mut known = vec![false; len];
        pieces.iter().for_each(|&(from, to)| known[from..to].fill(true));
        let mut stores = Vec::new();
        for _ in 0..2 {
            let mut store = store();
            for &(from, to) in &pieces {
                store.insert(KEY, from as u64, &whole[from..to], to == len).unwrap();
            }
            if let Some(bin) = store.bin(&KEY) {
                let prefix = known.iter().take_while(|known| **known).count();
                prop_assert_eq!(bin.prefix(), &whole[..prefix]);
                prop_assert_eq!(bin.bytes_held(), known.iter().filter(|known| **known).count() as u64);
                prop_assert_eq!(bin.len().is_some(), pieces.iter().any(|&(_, to)| to == len));
            }
            stores.push(store.bin(&KEY).map(|bin| (bin.prefix().into_owned(), bin.len())));
            if !pieces.is_empty() {
                let by = usize::try_from(order % pieces.len() as u64).unwrap();
                pieces.rotate_left(by);
                pieces.reverse();
            }
        }
        prop_assert_eq!(&stores[0], &stores[1]);
    }
}
