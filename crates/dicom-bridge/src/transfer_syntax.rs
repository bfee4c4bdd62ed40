//! Transfer syntaxes [PS3.5 10, PS3.6 A]: what a UID says about the encoding of a data set.

/// The encoding of an object, as its File Meta Information names it.
///
/// A UID that the table does not know is kept as it is: such an object is walked as far as it can be
/// read, stored, and never served as a codestream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferSyntax {
    uid: String,
    known: Option<&'static Known>,
}

impl TransferSyntax {
    /// The transfer syntax with this UID, padding removed.
    #[must_use]
    pub fn from_uid(uid: &str) -> Self {
        let uid = uid.trim_end_matches(['\0', ' ']);
        Self { uid: uid.to_owned(), known: KNOWN.iter().find(|known| known.uid == uid) }
    }

    /// The UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The name that the standard gives it, or "unknown transfer syntax".
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.known.map_or("unknown transfer syntax", |known| known.name)
    }

    /// Whether the table knows the UID.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Whether pixel data stand in fragments [PS3.5 A.4]; false for an unknown one.
    #[must_use]
    pub fn is_encapsulated(&self) -> bool {
        matches!(self.coding(), Some(Coding::Jpeg2000 | Coding::Htj2k | Coding::Jpeg | Coding::Fragments))
    }

    /// Whether pixel data, if there are any, are one value that is not compressed; false for an unknown one.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.coding() == Some(Coding::Native)
    }

    /// The media type of one frame, or of all of them where they are a video [PS3.18 8.7.3.3].
    #[must_use]
    pub fn frame_media_type(&self) -> &'static str {
        let last = self.uid.strip_prefix("1.2.840.10008.1.2.").unwrap_or_default();
        match last {
            "5" => "image/dicom-rle",
            "4.80" | "4.81" => "image/jls",
            "4.90" | "4.91" => "image/jp2",
            "4.92" | "4.93" => "image/jpx",
            "4.110" | "4.111" | "4.112" => "image/jxl",
            "4.100" | "4.100.1" | "4.101" | "4.101.1" => "video/mpeg",
            _ if self.is_htj2k() => "image/jphc",
            _ if self.coding() == Some(Coding::Jpeg) => "image/jpeg",
            _ if last.starts_with("4.10") => "video/mp4",
            _ => "application/octet-stream",
        }
    }

    /// Whether frames are JPEG 2000 Part 1 or Part 2 codestreams [PS3.5 A.4.4].
    #[must_use]
    pub fn is_jpeg2000(&self) -> bool {
        self.coding() == Some(Coding::Jpeg2000)
    }

    /// Whether frames are High-Throughput JPEG 2000 codestreams [PS3.5 A.4.12].
    #[must_use]
    pub fn is_htj2k(&self) -> bool {
        self.coding() == Some(Coding::Htj2k)
    }

    /// Whether pixel data are named by a Pixel Data Provider URL and not in the object [PS3.5 A.6, A.7].
    #[must_use]
    pub fn is_jpip_referenced(&self) -> bool {
        self.coding() == Some(Coding::JpipReferenced)
    }

    /// Whether the data set is deflated as a whole [PS3.5 A.5].
    #[must_use]
    pub fn is_deflated(&self) -> bool {
        self.known.is_some_and(|known| known.layout == Layout::Deflated)
    }

    pub(crate) fn is_big_endian(&self) -> bool {
        self.known.is_some_and(|known| known.layout == Layout::BigEndian)
    }

    /// Whether elements carry no VR; `None` if the UID does not tell.
    pub(crate) fn is_implicit(&self) -> Option<bool> {
        self.known.map(|known| known.layout == Layout::Implicit)
    }

    /// Whether `bytes`, the first of a fragment, can begin a frame; `None` if the coding has no mark for it.
    pub(crate) fn begins_frame(&self, bytes: &[u8]) -> Option<bool> {
        match self.coding()? {
            // Real objects hold whole JP2 files where the standard wants bare codestreams (GDCM's do).
            Coding::Jpeg2000 | Coding::Htj2k => Some(bytes.starts_with(&SOC_SIZ) || bytes.starts_with(&JP2_SIGNATURE)),
            Coding::Jpeg => Some(bytes.starts_with(&JPEG_SOI)),
            Coding::Fragments | Coding::Native | Coding::JpipReferenced => None,
        }
    }

    fn coding(&self) -> Option<Coding> {
        self.known.map(|known| known.coding)
    }
}

/// SOC and the code of SIZ, which must follow at once [15444-1 A.4.1, A.5.1].
const SOC_SIZ: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
/// The whole signature box [15444-1 I.5.1].
const JP2_SIGNATURE: [u8; 12] = *b"\0\0\0\x0cjP  \r\n\x87\n";
/// Start of image, of JPEG and of JPEG-LS.
const JPEG_SOI: [u8; 2] = [0xff, 0xd8];

#[derive(Debug, PartialEq, Eq)]
struct Known {
    uid: &'static str,
    name: &'static str,
    layout: Layout,
    coding: Coding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Implicit,
    Explicit,
    BigEndian,
    Deflated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Native,
    Jpeg2000,
    Htj2k,
    /// JPEG and JPEG-LS.
    Jpeg,
    /// In fragments, without a mark at the start of a frame that we know.
    Fragments,
    JpipReferenced,
}

const fn known(uid: &'static str, name: &'static str, layout: Layout, coding: Coding) -> Known {
    Known { uid, name, layout, coding }
}

#[rustfmt::skip]
static KNOWN: [Known; 57] = {
    use Coding::{Fragments, Htj2k, Jpeg, Jpeg2000, JpipReferenced, Native};
    use Layout::{BigEndian, Deflated, Explicit, Implicit};
    [
        known("1.2.840.10008.1.2", "Implicit VR Little Endian", Implicit, Native),
        known("1.2.840.10008.1.2.1", "Explicit VR Little Endian", Explicit, Native),
        known("1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian", Explicit, Fragments),
        known("1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", Deflated, Native),
        known("1.2.840.10008.1.2.2", "Explicit VR Big Endian", BigEndian, Native),
        known("1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.51", "JPEG Extended (Process 2 and 4)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 and 5)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 and 12)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 and 13)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 and 18)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Process 17 and 19)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 and 22)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 and 23)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Process 24 and 26)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Process 25 and 27)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.70", "JPEG Lossless, Non-Hierarchical, First-Order Prediction", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless Image Compression", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.81", "JPEG-LS Lossy (Near-Lossless) Image Compression", Explicit, Jpeg),
        known("1.2.840.10008.1.2.4.90", "JPEG 2000 Image Compression (Lossless Only)", Explicit, Jpeg2000),
        known("1.2.840.10008.1.2.4.91", "JPEG 2000 Image Compression", Explicit, Jpeg2000),
        known("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)", Explicit, Jpeg2000),
        known("1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 Multi-component Image Compression", Explicit, Jpeg2000),
        known("1.2.840.10008.1.2.4.94", "JPIP Referenced", Explicit, JpipReferenced),
        known("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", Deflated, JpipReferenced),
        known("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.110", "JPEG XL Lossless", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.112", "JPEG XL", Explicit, Fragments),
        known("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Image Compression (Lossless Only)", Explicit, Htj2k),
        known("1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)", Explicit, Htj2k),
        known("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000 Image Compression", Explicit, Htj2k),
        known("1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced", Explicit, JpipReferenced),
        known("1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate", Deflated, JpipReferenced),
        known("1.2.840.10008.1.2.5", "RLE Lossless", Explicit, Fragments),
        known("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", Explicit, Fragments),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_uid_stands_once_and_is_found_with_its_padding() {
        for (at, known) in KNOWN.iter().enumerate() {
            assert_eq!(KNOWN.iter().position(|other| other.uid == known.uid), Some(at), "{}", known.uid);
            let padded = TransferSyntax::from_uid(&format!("{}\0", known.uid));
            assert_eq!((padded.uid(), padded.name()), (known.uid, known.name));
        }
    }

    #[test]
    fn frames_have_the_media_type_of_their_coding() {
        for (last, expected) in [
            ("", "application/octet-stream"),
            (".1", "application/octet-stream"),
            (".1.99", "application/octet-stream"),
            (".5", "image/dicom-rle"),
            (".4.50", "image/jpeg"),
            (".4.70", "image/jpeg"),
            (".4.80", "image/jls"),
            (".4.90", "image/jp2"),
            (".4.92", "image/jpx"),
            (".4.100", "video/mpeg"),
            (".4.102", "video/mp4"),
            (".4.107", "video/mp4"),
            (".4.112", "image/jxl"),
            (".4.201", "image/jphc"),
            (".4.203", "image/jphc"),
        ] {
            let syntax = TransferSyntax::from_uid(&format!("1.2.840.10008.1.2{last}"));
            assert!(syntax.is_known(), "{last}");
            assert_eq!(syntax.frame_media_type(), expected, "{last}");
        }
    }

    #[test]
    fn the_families_are_told_apart() {
        let of = |last: &str| TransferSyntax::from_uid(&format!("1.2.840.10008.1.2.{last}"));
        for last in ["4.90", "4.91", "4.92", "4.93"] {
            assert!(of(last).is_jpeg2000() && of(last).is_encapsulated() && !of(last).is_htj2k(), "{last}");
        }
        for last in ["4.201", "4.202", "4.203"] {
            assert!(of(last).is_htj2k() && of(last).is_encapsulated() && !of(last).is_jpeg2000(), "{last}");
        }
        for last in ["4.94", "4.95", "4.204", "4.205"] {
            assert!(of(last).is_jpip_referenced() && !of(last).is_encapsulated(), "{last}");
        }
        for last in ["1.99", "4.95", "4.205"] {
            assert!(of(last).is_deflated(), "{last}");
        }
        assert!(of("2").is_big_endian() && !of("2").is_encapsulated());
        let private = TransferSyntax::from_uid("1.2.840.113619.5.2");
        assert!(!private.is_known() && !private.is_encapsulated() && private.is_implicit().is_none());
    }
}
