//! The commands: exit statuses, what goes to which stream, and files that come out.

use std::fs;
use std::process::Output;

use tempfile::TempDir;

use crate::house::{House, run};
use crate::pictures;

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn version_and_help() {
    let version = run(&["--version"]);
    assert_eq!(code(&version), 0);
    let text = String::from_utf8(version.stdout).unwrap();
    assert!(text.starts_with("precinct ") && text.contains("index") && text.contains("schema"), "{text}");
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for command in ["serve", "import", "delete", "fetch", "index", "inspect", "transcode", "add-xml", "fsck", "doctor"]
    {
        assert!(help.contains(command), "{help}");
        assert_eq!(code(&run(&[command, "--help"])), 0);
    }
    assert_ne!(code(&run(&["serve", "--no-such-flag"])), 0);
}

#[test]
fn import_exits_0_when_all_is_there_1_when_something_was_refused_2_when_nothing_was_done() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("a.j2k");
    fs::write(&file, pictures::tiny()).unwrap();
    let bad = folder.path().join("bad.j2k");
    fs::write(&bad, b"\xff\x4f\xff\x51 and no more").unwrap();
    let text = folder.path().join("text.txt");
    fs::write(&text, "hello").unwrap();
    let import = |paths: &[&std::path::Path]| {
        let mut arguments = vec!["import", "--data", data.to_str().unwrap()];
        arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
        run(&arguments)
    };
    assert_eq!(code(&import(&[&file])), 0);
    assert_eq!(code(&import(&[&file])), 0, "there already");
    let partly = import(&[&file, &bad]);
    assert_eq!(code(&partly), 1);
    assert!(stderr(&partly).contains("bad.j2k"), "{}", stderr(&partly));
    assert_eq!(code(&import(&[&text])), 1, "named by itself, it is refused and not passed over");
    assert_eq!(code(&import(&[&folder.path().join("missing.j2k")])), 2);
    let house = House::open_in(folder, &[]);
    assert_eq!(house.jpip("target=a.j2k&fsiz=16,16").end, 1);
}

#[test]
fn import_refuses_a_data_directory_that_a_server_holds() {
    let house = House::open();
    let file = house.folder().join("a.j2k");
    fs::write(&file, pictures::tiny()).unwrap();
    let done = run(&["import", "--data", house.data().to_str().unwrap(), file.to_str().unwrap()]);
    assert_eq!(code(&done), 2, "{}", stderr(&done));
    assert!(stderr(&done).contains("in use"), "{}", stderr(&done));
}

#[test]
fn fetch_writes_what_the_extension_says() {
    let noise = pictures::noise(128);
    let house = House::with_files(&[("noise.j2k", noise.clone())]);
    let url = format!("{}/jpip?target=noise.j2k", house.url());
    let out = |name: &str| house.folder().join(name).to_str().unwrap().to_owned();
    for name in ["a.png", "a.pgm", "a.raw", "a.j2k", "a.jp2"] {
        let done = run(&["fetch", &url, "-o", &out(name)]);
        assert_eq!(code(&done), 0, "{name}: {}", stderr(&done));
    }
    assert!(fs::read(out("a.png")).unwrap().starts_with(b"\x89PNG"));
    let pgm = fs::read(out("a.pgm")).unwrap();
    assert!(pgm.starts_with(b"P5\n128 128\n65535\n"), "{:?}", &pgm[..20]);
    let original = openjpeg::decode(&noise, &openjpeg::DecodeParameters::default()).unwrap();
    let samples: Vec<u8> =
        original.components[0].samples.iter().flat_map(|sample| (*sample as u16).to_be_bytes()).collect();
    assert_eq!(&pgm[pgm.len() - samples.len()..], samples);
    assert_eq!(fs::read(out("a.raw")).unwrap().len(), samples.len());
    let whole = openjpeg::decode(&fs::read(out("a.j2k")).unwrap(), &openjpeg::DecodeParameters::default()).unwrap();
    assert_eq!(whole.components[0].samples, original.components[0].samples);
    assert_eq!(&fs::read(out("a.jp2")).unwrap()[4..8], b"jP  ");
    // The codestream is a function of the data-bins alone.
    run(&["fetch", &url, "--session", "-o", &out("b.j2k")]);
    assert_eq!(fs::read(out("a.j2k")).unwrap(), fs::read(out("b.j2k")).unwrap());
    // A window.
    let done = run(&["fetch", &url, "--fsiz", "64,64", "--roff", "10,20", "--rsiz", "30,20", "-o", &out("w.pgm")]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(fs::read(out("w.pgm")).unwrap().starts_with(b"P5\n30 20\n65535\n"));
    // Fields of the URL stay, flags win over them.
    let done = run(&["fetch", &format!("{url}&fsiz=64,64&roff=1,1&rsiz=9,9"), "--rsiz", "7,5", "-o", &out("v.pgm")]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(fs::read(out("v.pgm")).unwrap().starts_with(b"P5\n7 5\n65535\n"));
}

#[test]
fn fetch_exits_1_when_there_is_nothing_and_3_when_the_window_is_incomplete() {
    let house = House::with_files(&[("a.j2k", pictures::noise(64))]);
    let out = house.folder().join("x.j2k");
    let out = out.to_str().unwrap();
    let missing = run(&["fetch", &format!("{}/jpip?target=nothing", house.url()), "-o", out]);
    assert_eq!(code(&missing), 1);
    assert!(!stderr(&missing).is_empty());
    assert_eq!(code(&run(&["fetch", "http://127.0.0.1:1/jpip", "-o", out])), 1);
    assert_eq!(code(&run(&["fetch", "not a url", "-o", out])), 1);
    // A byte limit of the user's own leaves the window incomplete; what came is written all the same.
    let cut = run(&["fetch", &format!("{}/jpip?target=a.j2k&len=3000", house.url()), "-o", out]);
    assert_eq!(code(&cut), 3, "{}", stderr(&cut));
    assert!(fs::read(out).unwrap().starts_with(b"\xff\x4f"));
}

#[test]
fn fetch_traces_every_message() {
    let house = House::with_files(&[("a.j2k", pictures::precincts())]);
    let out = house.folder().join("x.j2k");
    let done = run(&["fetch", &format!("{}/jpip", house.url()), "--trace", "-o", out.to_str().unwrap()]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    let trace = stderr(&done) + &String::from_utf8_lossy(&done.stdout);
    assert!(trace.lines().count() > 85, "{trace}");
}

#[test]
fn index_and_inspect_tell_what_is_in_a_file() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("a.jp2"), pictures::jp2()).unwrap();
    fs::write(path("a.dcm"), pictures::dicom("1.2.3.4", 2)).unwrap();
    fs::write(path("text"), "hello").unwrap();
    let json = run(&["index", &path("a.jp2"), "--json"]);
    assert_eq!(code(&json), 0, "{}", stderr(&json));
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(value.to_string().contains("packets"), "{value}");
    for file in ["a.jp2", "a.dcm"] {
        for command in ["index", "inspect"] {
            let done = run(&[command, &path(file)]);
            assert_eq!(code(&done), 0, "{command} {file}: {}", stderr(&done));
            assert!(!done.stdout.is_empty());
        }
    }
    let embedded = run(&["index", &path("a.jp2"), "--embed", &path("out.jp2")]);
    assert_eq!(code(&embedded), 0, "{}", stderr(&embedded));
    let out = fs::read(path("out.jp2")).unwrap();
    for name in [b"iptr", b"cidx", b"fidx"] {
        assert!(out.windows(4).any(|four| four == name));
    }
    // Index boxes that are in a file are compared with what its codestream says.
    let said = |file: &str| String::from_utf8(run(&["index", &path(file)]).stdout).unwrap();
    assert!(said("out.jp2").contains("its index boxes agree"), "{}", said("out.jp2"));
    assert!(!said("a.jp2").contains("index boxes"), "{}", said("a.jp2"));
    let (mut lying, last) = (out.clone(), out.windows(4).rposition(|four| four == b"faix").unwrap());
    // Its first cell follows version, NMAX and M.
    lying[last + 4 + 9 + 3] ^= 1;
    fs::write(path("lying.jp2"), lying).unwrap();
    assert!(
        said("lying.jp2").contains("its index boxes are wrong: ppix, component 0, tile 0"),
        "{}",
        said("lying.jp2")
    );
    for command in ["index", "inspect"] {
        assert_eq!(code(&run(&[command, &path("text")])), 1);
        assert_eq!(code(&run(&[command, &path("missing")])), 1);
    }
}
