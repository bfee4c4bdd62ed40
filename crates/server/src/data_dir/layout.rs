//! Older layouts of the data directory, brought to the present one at start.
//!
//! Layout 1 had two levels of folders, `ab/cd/abcd…`; layout 2 has one, `ab/cd…`. Files are renamed one by one and none is
//! rewritten. VERSION changes last, so that what was interrupted is gone over again at the next start.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Brings a folder of layout 1 (objects or indexes) to layout 2. Returns the number of files that were renamed.
///
/// # Errors
///
/// If the file system refuses; what was done so far stays.
pub(super) fn flatten(top: &Path) -> io::Result<u64> {
    let mut renamed = 0;
    for outer in subfolders(top)? {
        for inner in subfolders(&outer)? {
            for entry in fs::read_dir(&inner)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some((_, rest)) = name.to_str().and_then(|name| name.split_at_checked(2)) else { continue };
                fs::rename(entry.path(), outer.join(rest))?;
                renamed += 1;
            }
            // A folder with something foreign in it stays as it is.
            match fs::remove_dir(&inner) {
                Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => return Err(error),
                _ => {}
            }
        }
        File::open(&outer)?.sync_all()?;
    }
    Ok(renamed)
}

fn subfolders(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_levels_become_one_also_after_an_interruption() {
        let top = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = top.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
        };
        put("ab/cd/abcd01");
        put("ab/cd/abcd02.1");
        put("ab/ef03");
        put("0f/00/0f0004");
        assert_eq!(flatten(top.path()).unwrap(), 3);
        for (path, content) in
            [("ab/cd01", "abcd01"), ("ab/cd02.1", "abcd02.1"), ("ab/ef03", "ef03"), ("0f/0004", "0f0004")]
        {
            assert_eq!(fs::read_to_string(top.path().join(path)).unwrap(), content);
        }
        assert!(!top.path().join("ab/cd").exists());
        assert_eq!(flatten(top.path()).unwrap(), 0);
        assert_eq!(flatten(&top.path().join("nowhere")).unwrap(), 0);
    }
}
