//! Room on the disk that objects are received on.

use std::path::Path;

/// The share of a disk that is kept free, a twentieth, and how much of a large one in bytes.
const KEPT_FREE: u64 = 20;
const MOST_KEPT_FREE: u64 = 16 << 30;

/// Whether so little is free where this folder lies that no new object is begun: the catalog and the indexes of what is
/// there need the rest.
pub(super) fn is_nearly_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| {
        let (free, whole) = (disk.f_bavail, disk.f_blocks);
        let reserve = (whole / KEPT_FREE).min(MOST_KEPT_FREE / disk.f_frsize.max(1));
        free < reserve
    })
}
