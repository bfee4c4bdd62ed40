//! `precinct transcode`.

mod recode;

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use codestream::{
    ByteSource, FrameSource, Limits, annex_i,
    markers::ProgressionOrder,
    relayout::{
        Layout, Precincts, TileParts,
        file::{FileForm, Transcoded, transcode},
    },
};
use tempfile::NamedTempFile;

use super::local::{Content, LocalFile};

/// Write an image in another layout, or with other code-blocks: the samples stay the same, bit for bit
///
/// Takes a frame of a DICOM object, a JP2, JPX or JPH file, or a bare codestream. Without --coding no code-block is
/// touched: packet headers are written anew for the wanted precincts and order; quality layers stay.
///
/// With --coding the image is decoded, and its samples are encoded losslessly, by the 5/3 wavelet in one quality layer.
/// They are kept exactly as they decode: what a lossy original lost does not come back, and its copy is larger. Tiles,
/// order, precincts, decomposition levels and code-block size stay where nothing else is asked for. The result is
/// decoded again and compared before it is written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    precinct transcode scan.dcm scan.jp2 --precincts 128,128 --progression RPCL   windows become cheap\n  \
    precinct transcode in.j2k out.j2k --tile-parts R --tlm --plt                  resolution levels can be found\n  \
    precinct transcode in.jp2 out.jp2 --precincts '256,256;128,128' --index       with an index inside\n  \
    precinct transcode in.jp2 out.jph --coding ht --tlm --plt                     HTJ2K: decodes many times faster")]
pub(super) struct Transcode {
    /// DICOM, JP2, JPX, JPH or J2K file
    #[arg(value_name = "IN")]
    from: PathBuf,
    /// Bare codestream (.j2k, .j2c, .jpc, .jhc), or a file of the JP2 family (.jp2, .jpx, .jph)
    #[arg(value_name = "OUT")]
    to: PathBuf,
    /// Encode anew, losslessly, with this kind of code-blocks; files of HT are .jph, those of Part 1 .jp2
    #[arg(long, value_enum)]
    coding: Option<Coding>,
    /// Order of the packets; without it the order stays
    #[arg(long, value_enum, ignore_case = true)]
    progression: Option<Order>,
    /// Precinct sizes, powers of two, from the highest resolution level down; the last is repeated
    #[arg(long, value_name = "W,H[;W,H…]", value_parser = precincts)]
    precincts: Option<Precincts>,
    /// Begin a tile-part with each resolution level
    #[arg(long, value_enum)]
    tile_parts: Option<Cut>,
    /// Write PLT marker segments: the length of every packet
    #[arg(long)]
    plt: bool,
    /// Write TLM marker segments: the length of every tile-part
    #[arg(long)]
    tlm: bool,
    /// Write an SOP marker segment before every packet
    #[arg(long)]
    sop: bool,
    /// Write an EPH marker after every packet header
    #[arg(long)]
    eph: bool,
    /// Put the index into the file (iptr, cidx, fidx); OUT is a file of the JP2 family then
    #[arg(long)]
    index: bool,
    /// Frame of a DICOM object, from 1
    #[arg(long, value_name = "N")]
    frame: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Order {
    Lrcp,
    Rlcp,
    Rpcl,
    Pcrl,
    Cprl,
}

/// The kind of code-blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Coding {
    /// HT code-blocks: HTJ2K, JPEG 2000 Part 15
    Ht,
    /// Those of JPEG 2000 Part 1
    Part1,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Cut {
    R,
}

/// Writes one image in another layout.
pub(super) fn run(args: &Transcode) -> anyhow::Result<ExitCode> {
    let form = form(&args.to, args.coding)?;
    if args.index && form == FileForm::RawCodestream {
        bail!("--index puts boxes into the output: give it a name that ends in .jp2, .jpx or .jph");
    }
    let file = LocalFile::open(&args.from)?;
    let content = file.content().with_context(|| format!("{} cannot be read", args.from.display()))?;
    let frames;
    let frame;
    let source: &dyn ByteSource = match content {
        Content::Dicom(_) => {
            frames = file.codestreams(&content).with_context(|| format!("{}", args.from.display()))?;
            let number = match (args.frame, frames.len()) {
                (Some(number), _) => number,
                (None, 1) => 1,
                (None, count) => bail!("the object has {count} frames: say which one with --frame"),
            };
            let extents = number.checked_sub(1).and_then(|at| frames.get(at));
            let extents = extents.with_context(|| format!("there is no frame {number} of {}", frames.len()))?;
            frame = FrameSource::new(&file, extents);
            &frame
        }
        _ if args.frame.is_some() => bail!("--frame is for DICOM objects"),
        Content::Unknown => bail!("{} is neither DICOM nor JPEG 2000", args.from.display()),
        Content::Jp2(_) | Content::RawCodestream => &file,
    };
    let done = write(source, form, args)?;
    for damage in &done.damage {
        eprintln!("damage: {damage}");
    }
    let Transcoded { packets, bytes: (before, after), .. } = done;
    println!("{}: {packets} packets, {after} bytes of codestream from {before}", args.to.display());
    Ok(ExitCode::SUCCESS)
}

impl Transcode {
    fn layout(&self) -> Layout {
        Layout {
            precincts: self.precincts.clone().unwrap_or_default(),
            progression: self.progression.map(|order| match order {
                Order::Lrcp => ProgressionOrder::Lrcp,
                Order::Rlcp => ProgressionOrder::Rlcp,
                Order::Rpcl => ProgressionOrder::Rpcl,
                Order::Pcrl => ProgressionOrder::Pcrl,
                Order::Cprl => ProgressionOrder::Cprl,
            }),
            tile_parts: match self.tile_parts {
                Some(Cut::R) => TileParts::ByResolution,
                None => TileParts::One,
            },
            sop: self.sop,
            eph: self.eph,
            plt: self.plt,
            tlm: self.tlm,
        }
    }
}

/// Writes aside first: the output may be the input, and half a file must never bear its name.
fn write(source: &dyn ByteSource, form: FileForm, args: &Transcode) -> anyhow::Result<Transcoded> {
    let to = &args.to;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let aside = || NamedTempFile::new_in(folder).with_context(|| format!("{} cannot be written", to.display()));
    let mut written = aside()?;
    let done = copy(source, form, args, &mut BufWriter::new(&mut written))
        .with_context(|| format!("{} cannot be transcoded", args.from.display()))?;
    if args.index {
        let plain = LocalFile::of(written.reopen()?)?;
        let (with_index, _) = annex_i::embed(&plain, &Limits::default(), BufWriter::new(aside()?))?;
        written = with_index.into_inner().context("the file cannot be written")?;
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    written.as_file().set_permissions(mode)?;
    written.persist(to).with_context(|| format!("{} cannot be written", to.display()))?;
    Ok(done)
}

fn copy(source: &dyn ByteSource, form: FileForm, args: &Transcode, out: &mut dyn Write) -> anyhow::Result<Transcoded> {
    match args.coding {
        Some(coding) => recode::recode(source, coding, args.layout(), form, out),
        None => Ok(transcode(source, &args.layout(), &Limits::default(), form, out)?),
    }
}

/// The kind of file that the name asks for.
fn form(to: &Path, coding: Option<Coding>) -> anyhow::Result<FileForm> {
    let extension = to.extension().unwrap_or_default().to_ascii_lowercase();
    match (extension.to_str(), coding) {
        (Some("jpx"), Some(_)) => bail!("--coding writes no JPX: give the output a name that ends in .jp2 or .jph"),
        (Some("jp2"), Some(Coding::Ht)) => bail!("a JP2 file has no HT code-blocks: give it a name that ends in .jph"),
        (Some("jph" | "jhc"), Some(Coding::Part1)) => {
            bail!("files in .jph and .jhc have HT code-blocks: give the output a name that ends in .jp2 or .j2k")
        }
        (Some("j2k" | "j2c" | "jpc" | "jhc"), _) => Ok(FileForm::RawCodestream),
        (Some("jp2" | "jpx" | "jph"), _) => Ok(FileForm::Jp2Family),
        _ => bail!("the name of the output must end in .j2k, .j2c, .jpc, .jhc, .jp2, .jpx or .jph"),
    }
}

/// Sizes as `W,H[;W,H…]`.
fn precincts(text: &str) -> Result<Precincts, String> {
    let exponent = |number: &str| {
        let size: u32 = number.trim().parse().map_err(|_unread| format!("{number:?} is not a number"))?;
        if !size.is_power_of_two() || size > 1 << 15 {
            return Err(format!("{size} is not a power of two from 1 to 32768"));
        }
        u8::try_from(size.ilog2()).map_err(|_wide| format!("{size} is too large"))
    };
    let size = |pair: &str| {
        let (width, height) = pair.split_once(',').ok_or_else(|| format!("{pair:?} is not W,H"))?;
        Ok((exponent(width)?, exponent(height)?))
    };
    text.split(';').map(size).collect::<Result<_, String>>().map(Precincts::Wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precinct_sizes_are_read_from_the_highest_level_down() {
        assert_eq!(precincts("256,128;64,32768"), Ok(Precincts::Wanted([(8, 7), (6, 15)].into_iter().collect())));
        for bad in ["", "128", "128,", "100,128", "0,0", "65536,1", "128,128;", "a,b"] {
            assert!(precincts(bad).is_err(), "{bad:?}");
        }
    }
}
