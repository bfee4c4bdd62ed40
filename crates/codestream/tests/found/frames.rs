//! Codestreams in the files of the test data, found by their first bytes.

use std::path::PathBuf;

use codestream::Extent;

/// A raw codestream, or what the first `jp2c` box of a JP2-family file holds, found by its first bytes: some
/// of the files have broken boxes before it.
pub(crate) fn contiguous(bytes: &[u8]) -> Option<Vec<Extent>> {
    if bytes.starts_with(SOC_SIZ) {
        return Some(vec![Extent::new(0, bytes.len() as u64)]);
    }
    let at = bytes.windows(8).position(|window| window.starts_with(b"jp2c") && window.ends_with(SOC_SIZ))?;
    let size = u32::from_be_bytes(bytes.get(at.checked_sub(4)?..at)?.try_into().unwrap());
    let end = if size == 0 { bytes.len() } else { (at - 4 + usize::try_from(size).unwrap()).min(bytes.len()) };
    Some(vec![Extent::new(at as u64 + 4, (end - at - 4) as u64)])
}

const SOC_SIZ: &[u8] = &[0xFF, 0x4F, 0xFF, 0x51];

/// Frame `frame`, from 1, of an encapsulated object: one fragment a frame, after the offset table.
pub(crate) fn dicom_frame(bytes: &[u8], frame: u64) -> Option<Vec<Extent>> {
    // OB or OW, undefined length.
    let starts = |window: &[u8]| {
        window.starts_with(&[0xE0, 0x7F, 0x10, 0x00, b'O']) && window.ends_with(&[0, 0, 0xFF, 0xFF, 0xFF, 0xFF])
    };
    let start = bytes.windows(12).rposition(starts)? + 12;
    let item = |at: usize| -> Option<(bool, usize)> {
        let head = bytes.get(at..at + 8)?;
        let len = u32::from_le_bytes(head[4..].try_into().unwrap());
        Some((head[..4] == [0xFE, 0xFF, 0x00, 0xE0], usize::try_from(len).unwrap()))
    };
    let (_, table) = item(start)?;
    let mut at = if table > bytes.len() { start + 8 } else { start + 8 + table };
    let mut frames: Vec<Vec<Extent>> = Vec::new();
    while let Some((true, len)) = item(at) {
        let end = (at + 8 + len).min(bytes.len());
        let fragment = Extent::new(at as u64 + 8, (end - at - 8) as u64);
        let data = &bytes[at + 8..end];
        // A new frame begins with SOC or a JP2 signature box; what does not continues the frame before.
        let begins = data.starts_with(&[0xFF, 0x4F]) || data.starts_with(&[0, 0, 0, 12]) || frames.is_empty();
        if begins || data.starts_with(&[0, 0]) {
            frames.push(vec![fragment]);
        } else {
            frames.last_mut().unwrap().push(fragment);
        }
        at = at + 8 + len;
    }
    let extents = frames.into_iter().nth(usize::try_from(frame).unwrap() - 1)?;
    let [only] = extents.as_slice() else { return Some(extents) };
    let (from, to) = (usize::try_from(only.offset).unwrap(), usize::try_from(only.end()).unwrap());
    let inner = contiguous(&bytes[from..to])?;
    Some(inner.iter().map(|e| Extent::new(e.offset + only.offset, e.len)).collect())
}

pub(crate) fn testdata() -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata");
    let root = std::env::var_os("PRECINCT_TESTDATA").map_or_else(default, PathBuf::from);
    if root.join("expected_bins.json").is_file() {
        return Some(root);
    }
    assert!(std::env::var_os("CI").is_none(), "no test data at {}", root.display());
    eprintln!("skipped: no test data at {}", root.display());
    None
}
