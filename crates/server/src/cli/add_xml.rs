//! `precinct add-xml`.

use std::{
    io::{BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use annotations::{Annotations, Limits};
use anyhow::{Context as _, bail};
use clap::Args;
use codestream::jp2::append::append;

use super::local::{Content, LocalFile};

/// Put an XML document into a JP2 file
///
/// Writes a copy of IN.jp2 with the document in an XML box at its end. Regions of interest in it
/// (`<roi name="…" x="…" y="…" w="…" h="…"/>`) can be asked for by name once the file is served.
#[derive(Debug, Args)]
#[command(
    after_help = "The document may have one element around everything, several, or none. It must be UTF-8 and without a document\n\
    type declaration. An XML declaration is put in front if there is none.\n\n\
    Example:\n  \
    precinct add-xml image.jp2 regions.xml with-regions.jp2"
)]
pub(super) struct AddXml {
    /// JP2, JPX or JPH file
    #[arg(value_name = "IN.jp2")]
    input: PathBuf,
    /// XML document
    #[arg(value_name = "ROI.xml")]
    document: PathBuf,
    /// File to write
    #[arg(value_name = "OUT.jp2")]
    output: PathBuf,
}

/// Writes the copy.
pub(super) fn run(args: &AddXml) -> anyhow::Result<ExitCode> {
    let document = document(&args.document)?;
    let file = LocalFile::open(&args.input)?;
    let content = file.content().with_context(|| format!("{} cannot be read", args.input.display()))?;
    let Content::Jp2(parsed) = content else {
        bail!(
            "{} is no file of the JP2 family; `precinct index --embed` makes one of a codestream",
            args.input.display()
        );
    };
    let to = &args.output;
    let unwritten = || format!("{} cannot be written", to.display());
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // Written aside first: the output may be the input, and half a file must never bear its name.
    let mut out = BufWriter::new(tempfile::NamedTempFile::new_in(folder).with_context(unwritten)?);
    append(&file, &parsed, *b"xml ", &document, &mut out).with_context(unwritten)?;
    out.flush().with_context(unwritten)?;
    let out = out.into_inner().with_context(unwritten)?;
    out.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    out.persist(to).with_context(unwritten)?;
    Ok(ExitCode::SUCCESS)
}

/// The document as it goes into the box: it begins with an XML declaration, without which `OpenJPIP`'s decoder takes the
/// beginning of the text for a box.
fn document(path: &Path) -> anyhow::Result<Vec<u8>> {
    let unread = || format!("{} cannot be read", path.display());
    let limits = Limits::default();
    let mut text = Vec::new();
    let file = std::fs::File::open(path).with_context(unread)?;
    file.take(limits.max_bytes as u64 + 1).read_to_end(&mut text).with_context(unread)?;
    let found = Annotations::parse(&text, &limits).with_context(|| format!("{} is not taken", path.display()))?;
    if found.left_out > 0 {
        eprintln!("{} of its regions and registrations make no sense, and will not be found", found.left_out);
    }
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
    let declaration: &[u8] =
        if text.starts_with(b"<?xml ") { b"" } else { b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" };
    Ok([declaration, text].concat())
}
