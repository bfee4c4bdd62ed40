//! Which files the arguments mean, in which order and under which names.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::ingest::content::Content;

/// A file that is to be imported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    /// Base name of a file given by itself, path below the folder of one found in a folder; `None` if it is not UTF-8.
    pub(super) name: Option<String>,
}

/// What the arguments mean.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<Candidate>,
    /// What cannot be read, and why.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
    /// Files in folders that are neither DICOM nor JPEG 2000.
    pub(super) passed_over: u64,
}

/// Names that promise an image: such a file in a folder is reported when its bytes do not keep the promise.
const PROMISES: [&str; 12] = ["dcm", "dicom", "jp2", "jpx", "jpf", "jph", "j2k", "j2c", "jpc", "jhc", "j2h", "jpm"];

/// Finds the files; folders are walked to their ends, sorted by name. A folder that several links lead to, itself
/// perhaps, is walked once, and those of `ours` (where imported files are kept) not at all.
pub(super) fn find(arguments: &[PathBuf], ours: &[PathBuf]) -> Found {
    let mut found = Found::default();
    let ours: HashSet<_> = ours.iter().filter_map(|folder| Some(identity(&fs::metadata(folder).ok()?))).collect();
    for argument in arguments {
        match fs::metadata(argument) {
            Ok(metadata) if metadata.is_dir() => walk(argument, &metadata, &ours, &mut found),
            Ok(metadata) if metadata.is_file() => {
                let name = argument.file_name().and_then(|name| name.to_str()).map(str::to_owned);
                found.files.push(Candidate { path: argument.clone(), name });
            }
            Ok(_) => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder");
                found.unreadable.push((argument.clone(), error));
            }
            Err(error) => found.unreadable.push((argument.clone(), error)),
        }
    }
    found
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn walk(top: &Path, metadata: &Metadata, ours: &HashSet<(u64, u64)>, found: &mut Found) {
    let mut seen = ours.clone();
    seen.insert(identity(metadata));
    // What is still to be visited, the next one last.
    let mut waiting = vec![top.to_owned()];
    while let Some(path) = waiting.pop() {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                if path != top && !seen.insert(identity(&metadata)) {
                    continue;
                }
                match children(&path) {
                    Ok(children) => waiting.extend(children.into_iter().rev()),
                    Err(error) => found.unreadable.push((path, error)),
                }
            }
            Ok(metadata) if metadata.is_file() => match is_wanted(&path) {
                Ok(true) => {
                    let name = path.strip_prefix(top).ok().and_then(Path::to_str).map(str::to_owned);
                    found.files.push(Candidate { path, name });
                }
                Ok(false) => found.passed_over += 1,
                Err(error) => found.unreadable.push((path, error)),
            },
            // Sockets, devices, links that lead nowhere.
            _ => found.passed_over += 1,
        }
    }
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut children = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    children.sort_unstable();
    Ok(children)
}

fn is_wanted(path: &Path) -> io::Result<bool> {
    // The table of contents of DICOM media [PS3.10 8.6] is written as a DICOM file but is no instance.
    if path.file_name().is_some_and(|name| name == "DICOMDIR") {
        return Ok(false);
    }
    let promises = path.extension().and_then(|extension| extension.to_str());
    if promises.is_some_and(|extension| PROMISES.iter().any(|known| known.eq_ignore_ascii_case(extension))) {
        return Ok(true);
    }
    let mut head = Vec::with_capacity(256);
    File::open(path)?.take(256).read_to_end(&mut head)?;
    Ok(Content::sniff(&head).is_some())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const CODESTREAM: &[u8] = &[0xff, 0x4f, 0xff, 0x51, 0, 0];

    #[test]
    fn folders_are_walked_sorted_once_and_named_below_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        fs::create_dir_all(top.join("b/c")).unwrap();
        for name in ["z", "b/c/1", "b/a", "a"] {
            fs::write(top.join(name), CODESTREAM).unwrap();
        }
        fs::write(top.join("notes.txt"), "not an image").unwrap();
        fs::write(top.join("empty.JP2"), "").unwrap();
        fs::write(top.join("DICOMDIR"), [&[0; 128][..], b"DICM"].concat()).unwrap();
        symlink(&top, top.join("b/loop")).unwrap();
        symlink(top.join("b/c"), top.join("zz")).unwrap();
        symlink("nowhere", top.join("dangling")).unwrap();
        let found = find(&[top.clone(), top.join("z"), folder.path().join("missing")], &[]);
        let names: Vec<_> = found.files.iter().map(|file| file.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["a", "b/a", "b/c/1", "empty.JP2", "z", "z"]);
        assert_eq!(found.passed_over, 3);
        assert_eq!(found.unreadable.len(), 1);
        assert_eq!(found.unreadable[0].0, folder.path().join("missing"));
        assert_eq!(find(std::slice::from_ref(&top), &[top.join("b"), top.join("none")]).files.len(), 4);
    }
}
