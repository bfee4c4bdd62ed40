//! The data directory: its lock, its version, and where everything in it lies.
//!
//! ```text
//! VERSION  lock  catalog.sqlite  objects/ab/cd…  index/ab/cd….<version>  tmp/
//! ```
//!
//! Objects and indexes are named by the object's SHA-256, of which the first two digits name the folder.
//!
//! One process at a time: `lock` is held with flock, which the kernel lets go of when the process ends, however it ends.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use thiserror::Error;

mod layout;

/// The layout that this program writes.
pub const LAYOUT_VERSION: u32 = 2;

/// A data directory that this process holds; let go of when dropped.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    node: String,
    /// Open for as long as the directory is held.
    _lock: File,
}

/// Why a folder cannot be used as a data directory.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another process holds it.
    #[error("{} is in use by another precinct process", folder.display())]
    Held {
        /// The data directory.
        folder: PathBuf,
    },
    /// A newer program wrote it.
    #[error("{} has layout {found}, this program knows layouts up to {LAYOUT_VERSION}: use the newer program", folder.display())]
    Newer {
        /// The data directory.
        folder: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// `VERSION` is missing beside data, or does not hold one number.
    #[error("{} is not a data directory of this program: its VERSION is {problem}", folder.display())]
    Foreign {
        /// The data directory.
        folder: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was worked on.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// What a folder is as a data directory, looked at without touching it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirState {
    /// There is nothing there yet.
    Missing,
    /// A data directory that nobody holds.
    Free {
        /// Its layout.
        layout: u32,
    },
    /// A data directory that another process holds.
    Held {
        /// Its layout.
        layout: u32,
    },
}

impl DataDir {
    /// Looks at the folder at `root` and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`DataDir::open`] would refuse it, but for [`DataDirError::Held`].
    pub fn look(root: &Path) -> Result<DirState, DataDirError> {
        let Some(layout) = read_version(root)? else { return Ok(DirState::Missing) };
        let lock = root.join("lock");
        let held = match File::open(&lock) {
            Ok(lock) => rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_err(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(DataDirError::Io { path: lock, source }),
        };
        Ok(if held { DirState::Held { layout } } else { DirState::Free { layout } })
    }

    /// Takes hold of the data directory at `root`, makes it if there is none, and empties its `tmp`.
    ///
    /// # Errors
    ///
    /// - [`DataDirError::Held`] if another process has it.
    /// - [`DataDirError::Newer`], [`DataDirError::Foreign`] if this program must not touch it.
    /// - [`DataDirError::Io`] if the file system refuses.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        create_durably(root).map_err(at(root))?;
        // Names in messages and in the catalog's URL should not change with the working directory.
        let root = fs::canonicalize(root).map_err(at(root))?;
        let lock = lock(&root)?;
        let node = node(&lock).map_err(at(&root.join("lock")))?;
        let found = check_version(&root)?;
        if found < LAYOUT_VERSION {
            for folder in ["objects", "index"].map(|name| root.join(name)) {
                let renamed = layout::flatten(&folder).map_err(at(&folder))?;
                tracing::info!(folder = %folder.display(), renamed, "an older layout was brought up to date");
            }
            write_version(&root).map_err(at(&root))?;
        }
        let tmp = root.join("tmp");
        match fs::remove_dir_all(&tmp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&tmp)(error)),
            _ => {}
        }
        for folder in ["objects", "index", "tmp"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(at(&folder))?;
        }
        File::open(&root).and_then(|folder| folder.sync_all()).map_err(at(&root))?;
        Ok(Self { root, node, _lock: lock })
    }

    /// What the process that works with this data directory calls itself among several nodes: the same after a restart,
    /// and of no other data directory.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the SQLite catalog lies unless a database is named.
    #[must_use]
    pub fn catalog_file(&self) -> PathBuf {
        self.root.join("catalog.sqlite")
    }

    /// The folder of stored objects.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// The folder of stored indexes.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// The folder of what is not stored yet; on the same file system as the objects.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

/// Makes the folder and those above it that are missing, each with its entry on the disk: what is stored below is lost
/// in a power cut when the way to it is.
fn create_durably(folder: &Path) -> io::Result<()> {
    let missing: Vec<_> =
        folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    // The catalog holds patients' names: a new folder is its owner's alone, one that is there keeps its mode.
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join("lock");
    let failed = |source| DataDirError::Io { path: path.clone(), source };
    let lock = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::Held { folder: root.to_owned() }),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// The name in the lock file, made up by whoever holds it first. Lost in a power cut it is made up again, and jobs that
/// the old name had claimed are taken over when they are stale.
fn node(lock: &File) -> io::Result<String> {
    use std::os::unix::fs::FileExt as _;
    let mut name = [0; 16];
    let n = lock.read_at(&mut name, 0)?;
    if n == name.len() && name.iter().all(u8::is_ascii_hexdigit) {
        return Ok(name.iter().map(|&digit| char::from(digit)).collect());
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = format!("{:016x}", u64::from_be_bytes(random));
    lock.write_all_at(name.as_bytes(), 0)?;
    Ok(name)
}

/// Reads `VERSION`, or writes it into a directory that holds nothing of ours yet; the layout that is there.
fn check_version(root: &Path) -> Result<u32, DataDirError> {
    if let Some(found) = read_version(root)? {
        return Ok(found);
    }
    write_version(root).map_err(|source| DataDirError::Io { path: root.join("VERSION"), source })?;
    Ok(LAYOUT_VERSION)
}

/// The layout that `VERSION` names; `None` in a folder that holds nothing of ours, or does not exist.
fn read_version(root: &Path) -> Result<Option<u32>, DataDirError> {
    let path = root.join("VERSION");
    let foreign = |problem| DataDirError::Foreign { folder: root.to_owned(), problem };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // VERSION is written before anything else, so data without it are not ours to guess at. Least of all a
            // `tmp`, which is emptied: somebody may have named `/` or a home folder by mistake.
            if ["catalog.sqlite", "objects", "index", "tmp"].iter().any(|name| root.join(name).exists()) {
                return Err(foreign("missing"));
            }
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(foreign("not a number")),
        Err(source) => return Err(DataDirError::Io { path, source }),
    };
    let found = text.trim().parse::<u32>().ok().ok_or_else(|| foreign("not a number"))?;
    if found > LAYOUT_VERSION {
        return Err(DataDirError::Newer { folder: root.to_owned(), found });
    }
    Ok(Some(found))
}

fn write_version(root: &Path) -> io::Result<()> {
    let unfinished = root.join("VERSION.unfinished");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{LAYOUT_VERSION}")?;
    file.sync_all()?;
    fs::rename(&unfinished, root.join("VERSION"))?;
    File::open(root)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_with_the_name_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        let held = DataDir::open(&root).unwrap();
        let refused = DataDir::open(&root).unwrap_err();
        assert!(matches!(refused, DataDirError::Held { .. }));
        assert!(refused.to_string().contains(&held.root().display().to_string()), "{refused}");
        let node = held.node().to_owned();
        drop(held);
        assert_eq!(DataDir::open(&root).unwrap().node(), node, "the same after a restart");
        assert_ne!(DataDir::open(&folder.path().join("other")).unwrap().node(), node);
    }

    #[test]
    fn tmp_is_emptied_and_objects_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let held = DataDir::open(folder.path()).unwrap();
        fs::write(held.tmp().join("x"), "x").unwrap();
        fs::write(held.objects().join("y"), "y").unwrap();
        drop(held);
        let held = DataDir::open(folder.path()).unwrap();
        assert!(!held.tmp().join("x").exists());
        assert!(held.objects().join("y").exists());
    }

    #[test]
    fn a_folder_with_somebody_elses_tmp_is_refused_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        fs::write(folder.path().join("tmp/thesis"), "x").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::Foreign { .. })));
        assert!(folder.path().join("tmp/thesis").exists());
        assert!(!folder.path().join("VERSION").exists());
        DataDir::open(&folder.path().join("new/below/it")).unwrap();
    }

    #[test]
    fn a_newer_or_foreign_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataDir::open(folder.path()).unwrap());
        let version = folder.path().join("VERSION");
        assert_eq!(fs::read_to_string(&version).unwrap(), "2\n");
        fs::write(folder.path().join("tmp/x"), "x").unwrap();
        for (text, newer) in [("3\n", true), ("one", false), ("-1", false), ("\u{fffd}", false)] {
            fs::write(&version, text).unwrap();
            let refused = DataDir::open(folder.path()).unwrap_err();
            assert_eq!(matches!(refused, DataDirError::Newer { found: 3, .. }), newer, "{text}: {refused}");
        }
        fs::remove_file(&version).unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::Foreign { .. })));
        assert!(folder.path().join("tmp/x").exists(), "nothing was touched");
    }

    #[test]
    fn a_data_directory_of_layout_1_is_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let held = DataDir::open(folder.path()).unwrap();
        fs::write(folder.path().join("VERSION"), "1\n").unwrap();
        for top in [held.objects(), held.index()] {
            fs::create_dir_all(top.join("ab/cd")).unwrap();
            fs::write(top.join("ab/cd/abcdef"), "x").unwrap();
        }
        drop(held);
        let held = DataDir::open(folder.path()).unwrap();
        assert!(held.objects().join("ab/cdef").exists() && held.index().join("ab/cdef").exists());
        assert_eq!(fs::read_to_string(folder.path().join("VERSION")).unwrap(), "2\n");
    }

    #[test]
    fn a_new_data_directory_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("new").join("data");
        let _data = DataDir::open(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
