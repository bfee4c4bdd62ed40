//! Files around codestreams.

/// A box with an 8-byte header.
#[must_use]
pub fn boxed(box_type: [u8; 4], contents: &[u8]) -> Vec<u8> {
    let len = u32::try_from(contents.len() + 8).expect("test boxes are small");
    [&len.to_be_bytes()[..], &box_type, contents].concat()
}

/// A JP2 file that holds one codestream.
#[must_use]
pub fn jp2_file(codestream: &[u8]) -> Vec<u8> {
    [head(*b"jp2 ", codestream), boxed(*b"jp2c", codestream)].concat()
}

/// A JPH file that holds one codestream.
#[must_use]
pub fn jph_file(codestream: &[u8]) -> Vec<u8> {
    [head(*b"jph ", codestream), boxed(*b"jp2c", codestream)].concat()
}

/// A JPX file that holds codestreams one after the other; its header tells of the first.
#[must_use]
pub fn jpx_file(codestreams: &[Vec<u8>]) -> Vec<u8> {
    let first = codestreams.first().map(Vec::as_slice).unwrap_or_default();
    let boxes = codestreams.iter().flat_map(|codestream| boxed(*b"jp2c", codestream));
    [head(*b"jpx ", first), boxes.collect()].concat()
}

/// A JPX file that holds one codestream cut into pieces of `piece` bytes, listed in a fragment table.
#[must_use]
pub fn fragmented_jpx_file(codestream: &[u8], piece: usize) -> Vec<u8> {
    let mut file = head(*b"jpx ", codestream);
    let mut list = u16::try_from(codestream.len().div_ceil(piece)).expect("few fragments").to_be_bytes().to_vec();
    for part in codestream.chunks(piece) {
        list.extend_from_slice(&(file.len() as u64 + 8).to_be_bytes());
        list.extend_from_slice(&(part.len() as u32).to_be_bytes());
        list.extend_from_slice(&[0, 0]);
        file.extend(boxed(*b"mdat", part));
    }
    file.extend(boxed(*b"ftbl", &boxed(*b"flst", &list)));
    file
}

/// Signature, file type and JP2 header for a codestream of one or three like components.
fn head(brand: [u8; 4], codestream: &[u8]) -> Vec<u8> {
    let number = |at: usize| {
        let bytes = codestream.get(at..at + 4).and_then(|four| four.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    };
    // SOC, SIZ marker, Lsiz, Rsiz, then Xsiz Ysiz XOsiz YOsiz; Csiz at 40.
    let (width, height) = (number(8).saturating_sub(number(16)), number(12).saturating_sub(number(20)));
    let components = codestream.get(40..42).unwrap_or(&[0, 1]);
    let bits = codestream.get(42).copied().unwrap_or(7);
    let ihdr = [&height.to_be_bytes()[..], &width.to_be_bytes(), components, &[bits, 7, 0, 0]].concat();
    let colour_space = if components == [0, 3] { 16 } else { 17 };
    let colr = [1, 0, 0, 0, 0, 0, colour_space];
    [
        boxed(*b"jP  ", &[0x0D, 0x0A, 0x87, 0x0A]),
        boxed(*b"ftyp", &[&brand[..], &[0; 4], &brand].concat()),
        boxed(*b"jp2h", &[boxed(*b"ihdr", &ihdr), boxed(*b"colr", &colr)].concat()),
    ]
    .concat()
}
