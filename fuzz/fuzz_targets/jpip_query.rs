//! Any bytes as a JPIP request: no panic, and what is read once is read the same way again.
#![no_main]

use jpip::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first zero byte, which no query holds, parts the URL's fields from those of a POST body.
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let query = halves.next().unwrap_or_default();
    let body = halves.next();
    let first = Request::parse(query, body);
    let again = Request::parse(query, body);
    assert_eq!(format!("{first:?}"), format!("{again:?}"));
});
