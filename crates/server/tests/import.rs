//! `precinct import` into a data directory: exit status, names, what is said.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use assert_cmd::Command;
use catalog::{Catalog, State};
use codestream::testkit::{files, tiny_codestream};
use server::data_dir::DataDir;

/// The exit status, standard output and standard error of an import.
fn import(data: &Path, paths: &[&Path]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_precinct"));
    let done = command.arg("import").arg("--data").arg(data).args(paths).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

async fn targets(data: &Path) -> Vec<(String, State)> {
    let data = DataDir::open(data).unwrap();
    let catalog = Catalog::open(&format!("sqlite:{}", data.catalog_file().display())).await.unwrap();
    let page = catalog.list_targets(None, 100, None).await.unwrap();
    catalog.close().await;
    page.items.into_iter().map(|row| (row.target, row.state)).collect()
}

#[tokio::test]
async fn folders_and_files_are_taken_under_their_names_and_indexed_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (data, images) = (folder.path().join("data"), folder.path().join("images"));
    fs::create_dir_all(images.join("b")).unwrap();
    fs::write(images.join("b/x.j2k"), tiny_codestream().build()).unwrap();
    fs::write(images.join("a.jp2"), files::jp2_file(&tiny_codestream().build())).unwrap();
    fs::write(images.join("notes.txt"), "nothing to see").unwrap();
    let alone = folder.path().join("alone.j2k");
    fs::write(&alone, tiny_codestream().seed(2).build()).unwrap();

    let (status, out, err) = import(&data, &[&images, &alone]);
    assert_eq!((status, out.trim(), err.as_str()), (Some(0), "3 imported, 1 passed over", ""));
    let names = ["a.jp2", "b/x.j2k", "alone.j2k"].map(|name| (name.to_owned(), State::Indexed));
    assert_eq!(targets(&data).await, names);

    let (status, out, _) = import(&data, &[&images]);
    assert_eq!((status, out.trim()), (Some(0), "0 imported, 2 already there, 1 passed over"));
}

#[tokio::test]
async fn each_refusal_is_said_with_its_reason_and_the_rest_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (data, images) = (folder.path().join("data"), folder.path().join("images"));
    fs::create_dir(&images).unwrap();
    let good = tiny_codestream().build();
    fs::write(images.join("bad.j2k"), &good[..20]).unwrap();
    fs::write(images.join("empty.jp2"), "").unwrap();
    fs::write(images.join("good.j2k"), &good).unwrap();
    fs::write(images.join("1.2.3"), &good).unwrap();
    let (status, out, err) = import(&data, &[&images]);
    assert_eq!((status, out.trim()), (Some(1), "1 imported, 3 refused"));
    assert_eq!(err.lines().count(), 3, "{err}");
    for words in
        ["1.2.3: refused: the name has the form of a UID", "bad.j2k: refused: damaged: ", "empty.jp2: refused: "]
    {
        assert!(err.contains(words), "{words}: {err}");
    }
    assert_eq!(targets(&data).await, [("good.j2k".to_owned(), State::Indexed)]);
}

#[test]
fn nothing_to_do_or_a_held_directory_is_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let (data, empty) = (folder.path().join("data"), folder.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    assert_eq!(import(&data, &[&folder.path().join("missing")]).0, Some(2));
    assert!(!data.exists(), "no data directory is made for nothing");
    assert_eq!(import(&data, &[&empty]).0, Some(2));
    let held = DataDir::open(&data).unwrap();
    let (status, _, err) = import(&data, &[&empty]);
    assert_eq!(status, Some(2));
    assert!(err.contains("in use by another precinct process") && err.contains("data"), "{err}");
    drop(held);
}

#[test]
fn a_store_that_is_the_data_directory_by_another_path_is_not_locked_twice() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("x.j2k");
    fs::write(&image, tiny_codestream().build()).unwrap();
    for (store, status) in [("data", "1 imported"), ("./data/", "1 already there"), ("data/../data", "1 already there")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_precinct"));
        command.current_dir(folder.path()).args(["import", "--data", "data", "--store", store]).arg(&image);
        let done = command.output().unwrap();
        let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
        assert!(done.status.success() && out.contains(status), "{store}: {out}{err}");
    }
    assert!(!folder.path().join("data/data").exists());
}

#[test]
fn the_data_directory_is_not_imported_into_itself() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.j2k"), tiny_codestream().build()).unwrap();
    for said in ["1 imported\n", "0 imported, 1 already there\n"] {
        let done =
            Command::new(env!("CARGO_BIN_EXE_precinct")).current_dir(folder.path()).args(["import", "."]).output();
        let done = done.unwrap();
        assert_eq!((done.status.code(), String::from_utf8(done.stdout).unwrap().as_str()), (Some(0), said));
    }
}

#[test]
fn a_server_that_says_yes_to_anything_has_taken_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("x.j2k");
    fs::write(&image, tiny_codestream().build()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = vec![0; 64 * 1024];
        let _ = socket.read(&mut request).unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").unwrap();
        let _ = socket.read(&mut request);
    });
    let done =
        Command::new(env!("CARGO_BIN_EXE_precinct")).args(["import", "--to", &base]).arg(&image).output().unwrap();
    answering.join().unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{err}");
    assert!(err.contains("does not answer as a precinct server"), "{err}");
}
