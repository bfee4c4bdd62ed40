//! `precinct index`.

use std::{
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use codestream::{ByteSource, FrameSource, Limits, annex_i, index_codestream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    describe::{self, HeaderLines},
    foreign_index,
    local::{Content, LocalFile},
};

/// Find every header and packet of a file, and print or write where they lie
///
/// Takes a DICOM object with JPEG 2000 frames, a JP2, JPX or JPH file, or a bare codestream. Packet headers are
/// read where they lie and code-block bytes are passed over, so a file of any size can be indexed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    precinct index scan.dcm                        what is in it, and what is damaged\n  \
    precinct index --explain slide.jp2             what its layout means for whoever asks for a window\n  \
    precinct index --json image.j2k | jq '.codestreams[0].tiles[0].packets'\n  \
    precinct index --embed indexed.jp2 image.jp2   a copy with the index inside, as ISO/IEC 15444-9 Annex I has it")]
pub(super) struct Index {
    /// DICOM, JP2, JPX, JPH or J2K file
    file: PathBuf,
    /// Print the index as JSON
    #[arg(long, conflicts_with = "explain")]
    json: bool,
    /// Say in words what the layout means
    #[arg(long)]
    explain: bool,
    /// Write a JP2 file that holds the codestream and its index boxes (iptr, cidx, fidx)
    #[arg(long, value_name = "OUT.jp2")]
    embed: Option<PathBuf>,
}

/// Indexes one file; exit status 1 if a codestream of it cannot be indexed.
pub(super) fn run(args: &Index) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let file = Arc::new(LocalFile::open(&args.file)?);
    let content = file.content().with_context(|| format!("{} cannot be read", args.file.display()))?;
    let codestreams =
        file.codestreams(&content).with_context(|| format!("{} cannot be indexed", args.file.display()))?;
    let progress = Progress::start(&file);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut whole = true;
    if args.json {
        out.write_all(b"{\"codestreams\":[")?;
    }
    for (number, extents) in codestreams.iter().enumerate() {
        let source = FrameSource::new(&*file, extents);
        let indexed = match index_codestream(&source, &Limits::default()) {
            Ok(indexed) => indexed,
            Err(error) => {
                whole = false;
                if args.json {
                    let separator = if number > 0 { "," } else { "" };
                    write!(out, "{separator}{}", serde_json::json!({ "error": error.to_string() }))?;
                } else {
                    writeln!(out, "codestream {number}: cannot be indexed: {error}")?;
                }
                continue;
            }
        };
        let foreign = foreign_index::verdict(&file, &content, extents, &indexed.index);
        if args.json {
            if number > 0 {
                out.write_all(b",\n")?;
            }
            describe::write_json(&mut out, extents, &indexed, foreign.as_deref())?;
            continue;
        }
        let (packets, present, bytes) = describe::packet_totals(&indexed.index);
        writeln!(out, "codestream {number}: {} bytes in {} extents", extents.len(), extents.extents().len())?;
        write!(out, "{}", HeaderLines(&indexed.index.header))?;
        writeln!(out, "  index      {packets} packets, {present} present, {bytes} bytes")?;
        for damage in &indexed.damage {
            writeln!(out, "  damage     {damage}")?;
        }
        if let Some(verdict) = foreign {
            writeln!(out, "  in file    its index boxes {verdict}")?;
        }
        if args.explain {
            for line in describe::explanation(&indexed.index) {
                writeln!(out, "  {line}")?;
            }
        }
    }
    if args.json {
        out.write_all(b"]}\n")?;
    }
    out.flush()?;
    if let Some(to) = &args.embed {
        embed(&file, &content, to)?;
        progress.say(&format!("wrote {}", to.display()));
    }
    progress.end();
    if !args.json {
        let seconds = begun.elapsed().as_secs_f64();
        writeln!(out, "{} codestreams in {seconds:.2} s", codestreams.len())?;
        out.flush()?;
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A bar on standard error that follows how far the file has been read; none where nobody sees it.
struct Progress {
    bar: ProgressBar,
    ended: Arc<AtomicBool>,
}

impl Progress {
    fn start(file: &Arc<LocalFile>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(file.len()), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}") {
            bar.set_style(style);
        }
        let ended = Arc::new(AtomicBool::new(false));
        if !bar.is_hidden() {
            let (bar, file, ended) = (bar.clone(), Arc::clone(file), Arc::clone(&ended));
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    bar.set_position(file.reached());
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        }
        Self { bar, ended }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.bar.finish_and_clear();
    }
}

/// Writes a copy of the image with its index inside.
fn embed(file: &LocalFile, content: &Content, to: &PathBuf) -> anyhow::Result<()> {
    let frames;
    let frame;
    let source: &dyn ByteSource = match content {
        Content::Dicom(_) => {
            frames = file.codestreams(content)?;
            let [only] = frames.as_slice() else {
                bail!("--embed takes an image of one frame, this one has {}", frames.len());
            };
            frame = FrameSource::new(file, only);
            &frame
        }
        _ => file,
    };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // Written aside first: the output may be the input, and half a file must never bear its name.
    let out = tempfile::NamedTempFile::new_in(folder).with_context(|| format!("{} cannot be written", to.display()))?;
    let (out, embedded) = annex_i::embed(source, &Limits::default(), BufWriter::new(out))?;
    for damage in &embedded.damage {
        eprintln!("damage: {damage}");
    }
    let out = out.into_inner().context("the file cannot be written")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    out.as_file().set_permissions(mode)?;
    out.persist(to).with_context(|| format!("{} cannot be written", to.display()))?;
    Ok(())
}
