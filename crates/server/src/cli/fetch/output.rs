//! Forms in which a window is written.

use std::path::PathBuf;

use anyhow::Context as _;

use super::picture::{Picture, Plane};

/// The file that `-o` names.
#[derive(Debug)]
pub(super) struct OutputFile {
    path: PathBuf,
    form: Form,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The reassembled codestream.
    Codestream,
    /// The same in a JP2 file.
    Jp2,
    /// Decoded samples.
    Pixels(PixelForm),
}

/// How decoded samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PixelForm {
    Png,
    /// One component, binary.
    Pgm,
    /// Three components, binary.
    Ppm,
    /// Samples alone.
    Raw,
}

impl OutputFile {
    /// # Errors
    ///
    /// When the path has no ending that names a form.
    pub(super) fn new(path: PathBuf) -> anyhow::Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let form = match ending.as_str() {
            "j2k" | "j2c" => Form::Codestream,
            "jp2" => Form::Jp2,
            "png" => Form::Pixels(PixelForm::Png),
            "pgm" => Form::Pixels(PixelForm::Pgm),
            "ppm" => Form::Pixels(PixelForm::Ppm),
            "raw" => Form::Pixels(PixelForm::Raw),
            _ => anyhow::bail!("{} does not end in .j2k, .jp2, .png, .pgm, .ppm or .raw", path.display()),
        };
        Ok(Self { path, form })
    }

    pub(super) const fn form(&self) -> Form {
        self.form
    }

    /// # Errors
    ///
    /// When the file cannot be written.
    pub(super) async fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        tokio::fs::write(&self.path, bytes).await.with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

impl PixelForm {
    /// The file with the window's samples.
    ///
    /// # Errors
    ///
    /// When the form cannot hold the number of components or their depth.
    pub(super) fn encode(self, picture: &Picture) -> anyhow::Result<Vec<u8>> {
        if self == Self::Raw {
            return Ok(raw(&picture.own_planes(), picture.precision()));
        }
        let (count, bits) = (picture.component_count(), picture.precision());
        anyhow::ensure!(bits <= 16, "samples of {bits} bits do not fit this form; use .raw or .j2k");
        let planes = picture.full_planes();
        match (self, count) {
            (Self::Pgm, 1) => Ok(portable_map('5', picture, &planes)),
            (Self::Ppm, 3) => Ok(portable_map('6', picture, &planes)),
            (Self::Png, 1..=4) => png(picture, &planes),
            _ => anyhow::bail!("{count} components do not fit this form; use .raw or .j2k, .pgm for 1, .ppm for 3"),
        }
    }
}

fn portable_map(kind: char, picture: &Picture, planes: &[Plane]) -> Vec<u8> {
    let bits = u32::from(picture.precision());
    let mut out = format!("P{kind}\n{} {}\n{}\n", picture.width, picture.height, (1u32 << bits) - 1).into_bytes();
    interleave(planes, unsigned, |sample, out| push_big_endian(sample, bits > 8, out), &mut out);
    out
}

fn png(picture: &Picture, planes: &[Plane]) -> anyhow::Result<Vec<u8>> {
    let deep = picture.precision() > 8;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, picture.width, picture.height);
    encoder.set_color(match planes.len() {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    });
    encoder.set_depth(if deep { png::BitDepth::Sixteen } else { png::BitDepth::Eight });
    let mut samples = Vec::new();
    interleave(planes, unsigned, |sample, out| push_big_endian(sample, deep, out), &mut samples);
    let mut writer = encoder.write_header().context("the window is no size for a PNG file")?;
    writer.write_image_data(&samples)?;
    writer.finish()?;
    Ok(out)
}

fn raw(planes: &[Plane], bits: u8) -> Vec<u8> {
    let width = match bits {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    };
    let push = |sample: i32, out: &mut Vec<u8>| out.extend(sample.to_le_bytes().iter().take(width));
    let as_it_is = |sample: i32, _: &Plane| sample;
    let mut out = Vec::new();
    let same_size = planes.windows(2).all(|pair| match pair {
        [a, b] => (a.width, a.height) == (b.width, b.height),
        _ => true,
    });
    if same_size {
        interleave(planes, as_it_is, push, &mut out);
    } else {
        planes.iter().for_each(|plane| interleave(std::slice::from_ref(plane), as_it_is, push, &mut out));
    }
    out
}

/// Appends the first sample of each plane, then the second of each, and so on.
fn interleave(planes: &[Plane], map: impl Fn(i32, &Plane) -> i32, push: impl Fn(i32, &mut Vec<u8>), out: &mut Vec<u8>) {
    let count = planes.iter().map(|plane| plane.samples.len()).min().unwrap_or(0);
    for index in 0..count {
        for plane in planes {
            push(map(plane.samples.get(index).copied().unwrap_or_default(), plane), out);
        }
    }
}

/// A sample of a form without negative values: signed ones are raised by half their range. The irreversible
/// wavelet can overshoot the range; a decoder clamps, so this does not.
const fn unsigned(sample: i32, plane: &Plane) -> i32 {
    if plane.signed { sample.saturating_add(1 << (plane.precision.saturating_sub(1))) } else { sample }
}

fn push_big_endian(sample: i32, deep: bool, out: &mut Vec<u8>) {
    let [.., high, low] = sample.to_be_bytes();
    if deep {
        out.push(high);
    }
    out.push(low);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(precision: u8, signed: bool, samples: &[i32]) -> Plane {
        Plane { width: 2, height: 1, precision, signed, samples: samples.to_vec() }
    }

    #[test]
    fn endings_name_forms() {
        let form = |path: &str| OutputFile::new(path.into()).map(|file| file.form()).ok();
        assert_eq!(form("a/b.PNG"), Some(Form::Pixels(PixelForm::Png)));
        assert_eq!(form("x.j2k"), Some(Form::Codestream));
        assert_eq!(form("x.jp2"), Some(Form::Jp2));
        assert_eq!(form("x.tif"), None);
        assert_eq!(form("x"), None);
    }

    #[test]
    fn raw_samples_are_little_endian_and_signed_as_they_are() {
        assert_eq!(raw(&[plane(12, true, &[-2048, 2047])], 12), [0x00, 0xF8, 0xFF, 0x07]);
        assert_eq!(raw(&[plane(8, false, &[1, 2]), plane(8, false, &[3, 4])], 8), [1, 3, 2, 4]);
        assert_eq!(raw(&[plane(8, true, &[-1, 1])], 8), [0xFF, 1]);
        assert_eq!(raw(&[plane(17, false, &[1, 65_536])], 17), [1, 0, 0, 0, 0, 0, 1, 0]);
        let small = Plane { width: 1, height: 1, precision: 8, signed: false, samples: vec![9] };
        assert_eq!(raw(&[plane(8, false, &[1, 2]), small], 8), [1, 2, 9]);
    }

    #[test]
    fn signed_samples_are_raised_where_negative_ones_cannot_be() {
        let signed = plane(16, true, &[-32_768, 32_767]);
        assert_eq!(signed.samples.iter().map(|&s| unsigned(s, &signed)).collect::<Vec<_>>(), [0, 65_535]);
        let mut out = Vec::new();
        interleave(&[signed], unsigned, |sample, out| push_big_endian(sample, true, out), &mut out);
        assert_eq!(out, [0, 0, 0xFF, 0xFF]);
    }
}
