//! Placeholder boxes: what stands in a metadata-bin where a box was [15444-9 A.3.6.3].

use bytes::{BufMut, Bytes};
use codestream::boxes::BoxHeader;

use super::push_box;

/// A placeholder box [15444-9 A.3.6.3].
pub(super) struct Placeholder {
    pub(super) original: OriginalHeader,
    pub(super) access: Access,
}

pub(super) enum OriginalHeader {
    /// The header as it stands in the file.
    Verbatim(smallvec::SmallVec<[u8; 16]>),
    /// There is no such file; a header of unstated length.
    Absent([u8; 4]),
}

pub(super) enum Access {
    /// The contents are in this metadata-bin.
    Bin(u64),
    /// The box stands for codestreams that arrive incrementally.
    Codestreams { first: u64, count: u32 },
    /// The contents are not available.
    None,
}

impl Placeholder {
    pub(super) fn contents(header: &BoxHeader, bin: u64) -> Self {
        Self { original: OriginalHeader::Verbatim(header.header_bytes()), access: Access::Bin(bin) }
    }

    pub(super) fn codestreams(header: &BoxHeader, first: u64, count: u32) -> Self {
        Self { original: OriginalHeader::Verbatim(header.header_bytes()), access: Access::Codestreams { first, count } }
    }

    pub(super) fn closed(header: &BoxHeader) -> Self {
        Self { original: OriginalHeader::Verbatim(header.header_bytes()), access: Access::None }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut body = Vec::new();
        let (flags, bin) = match self.access {
            Access::Bin(id) => (1, id),
            Access::Codestreams { count: 1, .. } => (4, 0),
            Access::Codestreams { .. } => (4 | 8, 0),
            Access::None => (0, 0),
        };
        body.put_u32(flags);
        body.put_u64(bin);
        match &self.original {
            OriginalHeader::Verbatim(bytes) => body.put_slice(bytes),
            OriginalHeader::Absent(box_type) => {
                body.put_u32(0);
                body.put_slice(box_type);
            }
        }
        if let Access::Codestreams { first, count } = self.access {
            body.put_u64(0); // EquivID
            body.put_u64(0); // EquivBH
            body.put_u64(first);
            if count > 1 {
                body.put_u32(count);
            }
        }
        let mut out = Vec::new();
        push_box(&mut out, *b"phld", &body);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use codestream::Extent;

    use super::*;

    fn header(box_type: [u8; 4], declared_len: u64, header_len: u8) -> BoxHeader {
        let span = Extent::new(100, declared_len);
        let contents = Extent::new(100 + u64::from(header_len), declared_len - u64::from(header_len));
        BoxHeader { box_type, header_len, span, contents, declared_len }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_3_6_3_placeholders_are_those_of_the_vectors() {
        let xml = Placeholder::contents(&header(*b"xml ", 508, 8), 1).encode();
        assert_eq!(hex(&xml), "0000001c70686c64000000010000000000000001000001fc786d6c20");
        let stream = Placeholder::codestreams(&header(*b"jp2c", 0x1234, 8), 0, 1).encode();
        assert_eq!(
            hex(&stream),
            "0000003470686c64000000040000000000000000000012346a703263000000000000000000000000000000000000000000000000"
        );
    }
}
