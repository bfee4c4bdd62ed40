//! Faults F2 to F7 and F15 to F17: media that fill up, fail, vanish in a power cut, backups made meanwhile, and a catalog that
//! somebody else has locked or that is damaged.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tempfile::TempDir;

use crate::crash::{Acknowledged, check_all_that_is_there, digest_of, send_until_it_dies};
use crate::dicom_in::{ct, data_set};
use crate::house::House;
use crate::scu::Scu;

/// An ext4 file system in a file; needs root and loop devices.
struct LoopDisk {
    image: PathBuf,
    mounted: PathBuf,
    _folder: TempDir,
}

impl LoopDisk {
    /// A new one of so many MiB; `None`, and a line that says so, where it cannot be had.
    fn new(mib: u64) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let image = folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        if !run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image)) {
            println!("skipped: no mkfs.ext4");
            return None;
        }
        Self::mount(image, folder)
    }

    fn mount(image: PathBuf, folder: TempDir) -> Option<Self> {
        let mounted = folder.path().join("disk");
        std::fs::create_dir(&mounted).unwrap();
        if !run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mounted)) {
            println!("skipped: no loop device can be mounted here");
            return None;
        }
        Some(Self { image, mounted, _folder: folder })
    }

    /// What is on the medium at this moment, as a disk of its own: what has not been synced is not there.
    fn after_a_power_cut(&self) -> Self {
        let folder = TempDir::new().unwrap();
        let image = folder.path().join("image");
        std::fs::copy(&self.image, &image).unwrap();
        Self::mount(image, folder).expect("one was mounted before")
    }

    fn data(&self) -> PathBuf {
        self.mounted.join("data")
    }

    fn remount(&self, option: &str) {
        assert!(run(Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.mounted)), "{option}");
    }

    /// Fills the disk up to so many free bytes; the file that does it.
    fn fill(&self, free: u64) -> PathBuf {
        let ballast = self.mounted.join("ballast");
        let stat = rustix::fs::statvfs(&self.mounted).unwrap();
        let len = (stat.f_bavail * stat.f_frsize).saturating_sub(free);
        let mut file = std::fs::File::create(&ballast).unwrap();
        std::io::copy(&mut std::io::Read::take(std::io::repeat(7), len), &mut file).unwrap();
        file.sync_all().unwrap();
        ballast
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.mounted));
    }
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn f2_a_power_cut_takes_nothing_that_was_acknowledged() {
    let cuts = if std::env::var_os("PRECINCT_SOAK").is_some() { 100 } else { 10 };
    let Some(disk) = LoopDisk::new(if cuts > 10 { 512 } else { 256 }) else { return };
    let house = House::open_on(&disk.data(), &[]);
    let acknowledged = Acknowledged::default();
    let next = Arc::new(AtomicU64::new(1));
    let senders: Vec<_> = (0..3)
        .map(|_| {
            let (acknowledged, next, address) = (Arc::clone(&acknowledged), Arc::clone(&next), house.dicom);
            std::thread::spawn(move || send_until_it_dies(address, &acknowledged, &next))
        })
        .collect();
    house.wait_until("something is stored", |_| !acknowledged.lock().unwrap().is_empty());
    let mut least = 0;
    for cut in 0..cuts {
        std::thread::sleep(Duration::from_micros(30_000 + cut * 7919 % 50_000));
        house.signal("STOP");
        // Everything in this list was answered before the stop.
        let promised = acknowledged.lock().unwrap().clone();
        let after = disk.after_a_power_cut();
        let survivor = House::open_on(&after.data(), &[]);
        // At risk is what was just promised; what earlier cuts have shown is looked at again ten times in all.
        let looks_at_all = cut % (cuts / 10) == 0 || cut + 1 == cuts;
        for (uid, digest) in &promised[if looks_at_all { 0 } else { least }..] {
            assert_eq!(digest_of(&survivor, uid), Some(*digest), "cut {cut}: {uid} was acknowledged");
        }
        if looks_at_all {
            check_all_that_is_there(&survivor);
        }
        assert!(promised.len() > least, "cut {cut}: something went on");
        least = promised.len();
        drop(survivor);
        house.signal("CONT");
    }
    // What is stopped dies all the same.
    drop(house);
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn f3_a_full_disk_refuses_and_serves_and_takes_again_when_there_is_room() {
    let Some(disk) = LoopDisk::new(64) else { return };
    let house = House::open_on(&disk.data(), &[]);
    let mut scu = Scu::associate(house.dicom);
    assert_eq!(scu.store("2.25.1", &data_set(&ct("2.25.1", 1))).0, 0);
    let ballast = disk.fill(200_000);
    let large = vec![0; 400_000];
    assert_eq!(scu.store("2.25.2", &large).0, 0xA700);
    assert_eq!(scu.store("2.25.3", &data_set(&ct("2.25.3", 3))).0, 0xA700, "the last of it is kept free");
    let answer = house.post("/api/v1/import?name=x.j2k", &crate::pictures::tiny());
    assert_eq!(answer.status, 507);
    assert_eq!(house.jpip("target=2.25.1&fsiz=16,16").end, 1, "what is there is served");
    assert_eq!(std::fs::read_dir(house.data().join("tmp")).unwrap().count(), 0);
    std::fs::remove_file(ballast).unwrap();
    house.wait_until("there is room again", |house| {
        house.post("/api/v1/import?name=x.j2k", &crate::pictures::tiny()).status == 201
    });
    assert_eq!(scu.store("2.25.3", &data_set(&ct("2.25.3", 3))).0, 0);
    check_all_that_is_there(&house);
}

#[test]
fn f16_a_disk_that_is_nearly_full_takes_nothing_more() {
    let Some(disk) = LoopDisk::new(100) else { return };
    let house = House::open_on(&disk.data(), &[]);
    let mut scu = Scu::associate(house.dicom);
    assert_eq!(scu.store("2.25.1", &data_set(&ct("2.25.1", 1))).0, 0);
    // Some MB are free, and are kept free for the catalog and for what is being served.
    let ballast = disk.fill(4 << 20);
    house.wait_until("the disk is seen to be nearly full", |_| {
        Scu::associate(house.dicom).store("2.25.2", &data_set(&ct("2.25.2", 2))).0 == 0xA700
    });
    assert_eq!(house.jpip("target=2.25.1&fsiz=16,16").end, 1);
    std::fs::remove_file(ballast).unwrap();
    house.wait_until("there is room again", |_| {
        Scu::associate(house.dicom).store("2.25.3", &data_set(&ct("2.25.3", 3))).0 == 0
    });
}

#[test]
fn f7_a_read_only_file_system_is_refused_at_start_with_words() {
    let Some(disk) = LoopDisk::new(64) else { return };
    drop(House::open_on(&disk.data(), &[]));
    disk.remount("ro");
    let data = disk.data();
    let options = ["serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let output = crate::house::run(&options);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("Read-only") && words.contains("data"), "{words}");
}

/// A library for `LD_PRELOAD`, made from C.
fn library(folder: &Path, source: &str) -> PathBuf {
    let (code, library) = (folder.join("shim.c"), folder.join("shim.so"));
    std::fs::write(&code, source).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&code).arg("-ldl").status();
    assert!(built.unwrap().success());
    library
}

/// Makes fsync fail with EIO while the file that `FAIL_FSYNC` names exists.
const FAILING_FSYNC: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <stdlib.h>
    #include <unistd.h>
    static int fails(void) {
        const char *trigger = getenv("FAIL_FSYNC");
        if (trigger && access(trigger, F_OK) == 0) { errno = EIO; return 1; }
        return 0;
    }
    int fsync(int fd) {
        int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
        return fails() ? -1 : real(fd);
    }
    int fdatasync(int fd) {
        int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
        return fails() ? -1 : real(fd);
    }
"#;

/// Puts the clock on the wall, and no other, forward by as many seconds as the file that `CLOCK_SHIFT` names says.
const SHIFTED_CLOCK: &str = r#"
    #define _GNU_SOURCE
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    int clock_gettime(clockid_t clock, struct timespec *now) {
        int status = (int)syscall(SYS_clock_gettime, clock, now);
        const char *name = getenv("CLOCK_SHIFT");
        FILE *file = clock == CLOCK_REALTIME && name ? fopen(name, "r") : NULL;
        long shift = 0;
        if (file) {
            if (fscanf(file, "%ld", &shift) == 1) now->tv_sec += shift;
            fclose(file);
        }
        return status;
    }
"#;

#[test]
fn f4_an_object_that_cannot_be_read_fails_alone() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let house = House::open_on(&data, &[]);
    let store = |house: &House, n: u64| {
        let uid = format!("2.25.{n}");
        Scu::associate(house.dicom).store(&uid, &data_set(&ct(&uid, n))).0
    };
    assert_eq!(store(&house, 1), 0);
    let folders = std::fs::read_dir(data.join("objects")).unwrap().map(|folder| folder.unwrap().path());
    let objects = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|object| object.unwrap().path()));
    let [object] = objects.collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(store(&house, 2), 0);
    drop(house);
    // It opens, it has a length, and every read of it fails.
    std::fs::remove_file(&object).unwrap();
    std::fs::create_dir(&object).unwrap();
    let house = House::open_on(&data, &[]);
    for path in ["/jpip?target=2.25.1&fsiz=16,16", "/api/v1/instances/2.25.1/file"] {
        let status = house.get(path).status;
        assert!(matches!(status, 500 | 503), "{path}: {status}");
    }
    assert_eq!(house.jpip("target=2.25.2&fsiz=16,16").end, 1);
    assert_eq!(store(&house, 3), 0);
}

#[test]
fn f10_a_clock_that_jumps_by_a_day_ends_no_session_and_refuses_no_object() {
    let folder = TempDir::new().unwrap();
    let (library, shift) = (library(folder.path(), SHIFTED_CLOCK), folder.path().join("shift"));
    let variables = [("LD_PRELOAD", library.to_str().unwrap()), ("CLOCK_SHIFT", shift.to_str().unwrap())];
    let house = House::open_on(&folder.path().join("data"), &variables);
    let mut scu = Scu::associate(house.dicom);
    assert_eq!(scu.store("2.25.1", &data_set(&ct("2.25.1", 1))).0, 0);
    let opened = house.get("/jpip?target=2.25.1&fsiz=16,16&cnew=http");
    let channel = opened.header("JPIP-cnew").unwrap().split(&[',', '=']).nth(1).unwrap().to_owned();
    for (n, seconds) in [(2, 86_400), (3, -86_400), (4, 0)] {
        std::fs::write(&shift, seconds.to_string()).unwrap();
        let answer = house.get(&format!("/jpip?cid={channel}&fsiz=16,16"));
        assert_eq!(answer.status, 200, "{seconds}: {}", answer.text());
        let uid = format!("2.25.{n}");
        assert_eq!(scu.store(&uid, &data_set(&ct(&uid, n))).0, 0, "{seconds}");
        assert_eq!(house.jpip(&format!("target={uid}&fsiz=16,16")).end, 1, "{seconds}");
    }
    let day_of = |answer: &crate::house::Answer| answer.header("Date").map(str::to_owned);
    std::fs::write(&shift, "86400").unwrap();
    house.wait_until("the server sees the other day", |house| day_of(&house.get("/healthz")) != day_of(&opened));
}

#[test]
fn f5_after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let folder = TempDir::new().unwrap();
    let (library, trigger) = (library(folder.path(), FAILING_FSYNC), folder.path().join("trigger"));
    let variables = [("LD_PRELOAD", library.to_str().unwrap()), ("FAIL_FSYNC", trigger.to_str().unwrap())];
    let data = folder.path().join("data");
    let house = House::open_on(&data, &variables);
    let store = |house: &House, n: u64| {
        let uid = format!("2.25.{n}");
        Scu::associate(house.dicom).store(&uid, &data_set(&ct(&uid, n))).0
    };
    assert_eq!(store(&house, 1), 0);
    std::fs::write(&trigger, "").unwrap();
    assert_eq!(store(&house, 2), 0x0110);
    std::fs::remove_file(&trigger).unwrap();
    // The kernel may have dropped the pages: a sync that succeeds now would prove nothing.
    assert_eq!(store(&house, 3), 0x0110);
    assert_eq!(house.post("/api/v1/import?name=x.j2k", &crate::pictures::tiny()).status, 503);
    assert!(house.get("/readyz").text().contains("nothing is taken in"), "{}", house.get("/readyz").text());
    assert_eq!(house.jpip("target=2.25.1&fsiz=16,16").end, 1);
    drop(house);
    let house = House::open_on(&data, &variables);
    assert_eq!(house.get("/api/v1/instances/2.25.1").status, 200);
    assert_eq!([store(&house, 2), store(&house, 3)], [0, 0]);
}

#[test]
fn f6_a_catalog_that_is_locked_refuses_for_the_moment_and_loses_nothing() {
    let house = House::open();
    assert_eq!(Scu::associate(house.dicom).store("2.25.1", &data_set(&ct("2.25.1", 1))).0, 0);
    // Somebody's shell holds the database for longer than anybody waits.
    let mut shell = Command::new("python3")
        .args(["-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()"])
        .arg(house.data().join("catalog.sqlite"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    assert_eq!(Scu::associate(house.dicom).store("2.25.2", &data_set(&ct("2.25.2", 2))).0, 0xA700);
    assert_eq!(house.jpip("target=2.25.1&fsiz=16,16").end, 1, "questions are answered meanwhile");
    shell.stdin.take().unwrap().flush().unwrap();
    shell.wait().unwrap();
    assert_eq!(Scu::associate(house.dicom).store("2.25.2", &data_set(&ct("2.25.2", 2))).0, 0);
    check_all_that_is_there(&house);
}

#[test]
fn f15_a_backup_made_while_objects_arrive_can_be_restored() {
    let house = House::open();
    let acknowledged = Acknowledged::default();
    let next = Arc::new(AtomicU64::new(1));
    let sender = {
        let (acknowledged, next, address) = (Arc::clone(&acknowledged), Arc::clone(&next), house.dicom);
        std::thread::spawn(move || send_until_it_dies(address, &acknowledged, &next))
    };
    house.wait_until("something is stored", |_| acknowledged.lock().unwrap().len() > 20);
    let promised = acknowledged.lock().unwrap().clone();
    // As the guide says: the catalog first, because bytes come before rows.
    let (backup, data) = (TempDir::new().unwrap(), house.data());
    let catalog = Command::new("python3")
        .args(["-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))"])
        .args([data.join("catalog.sqlite"), backup.path().join("catalog.sqlite")])
        .status();
    assert!(catalog.unwrap().success());
    for name in ["VERSION", "objects", "index"] {
        assert!(run(Command::new("cp").arg("-r").arg(data.join(name)).arg(backup.path())), "{name}");
    }
    let restored = House::open_on(backup.path(), &[]);
    for (uid, digest) in &promised {
        assert_eq!(digest_of(&restored, uid), Some(*digest), "{uid}");
    }
    check_all_that_is_there(&restored);
    drop(house);
    sender.join().unwrap();
}

#[test]
fn f17_a_damaged_catalog_is_told_with_the_way_out_and_made_again_from_the_objects() {
    let house = House::open();
    for n in 1..=3 {
        let uid = format!("2.25.{n}");
        assert_eq!(Scu::associate(house.dicom).store(&uid, &data_set(&ct(&uid, n))).0, 0);
    }
    house.signal("TERM");
    let (_, folder) = house.wait();
    let data = folder.path().join("data");
    let catalog = data.join("catalog.sqlite");
    let mut bytes = std::fs::read(&catalog).unwrap();
    bytes[..4096].fill(0xa5);
    std::fs::write(&catalog, bytes).unwrap();
    let fsck = |options: &[&str]| {
        let output = crate::house::run(&[&["fsck", "--data", data.to_str().unwrap()], options].concat());
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (status, words) = fsck(&[]);
    assert!(status == Some(2) && words.contains("fsck --repair"), "{words}");
    std::fs::rename(&catalog, data.join("damaged.sqlite")).unwrap();
    let (status, words) = fsck(&["--repair"]);
    assert!(status == Some(0) && words.contains("3 put right"), "{words}");
    let house = House::open_in(folder, &[]);
    check_all_that_is_there(&house);
    assert_eq!(house.jpip("target=2.25.3&fsiz=16,16").end, 1);
}
