//! `type=raw` and the media types of whole images: what is stored comes back byte for byte, and a frame as a file that
//! other software reads. `upload`: a whole image on the way in.

use std::fs;
use std::process::Command;

use codestream::testkit::{files, tiny_codestream};
use dicom_bridge::write::OffsetTable;

use crate::house::{Answer, House, channel_of};
use crate::jpt::test_data;
use crate::pictures;
use crate::stream::Response;
use crate::transports::{auxport, chunks, connect};

/// The body of a 200 of this media type, whose length was told.
#[track_caller]
fn whole(house: &House, query: &str, media_type: &str) -> Vec<u8> {
    let answer = house.get(&format!("/jpip?{query}"));
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    assert_eq!(answer.header("Content-Type"), Some(media_type), "{query}");
    assert_eq!(answer.header("Content-Length"), Some(answer.body.len().to_string().as_str()), "{query}");
    assert!(answer.header("JPIP-tid").is_some(), "{query}");
    answer.body
}

/// A frame of three components without a transform between them, or of one.
fn frame(components: usize, seed: u64) -> Vec<u8> {
    tiny_codestream().size(48, 40).components(components).levels(2).seed(seed).build()
}

fn dicom(uid: &str, syntax: &str, photometric: &str, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut object = pictures::object(uid, syntax, frames.len());
    object.attributes().put(0x0028_0004, "CS", photometric);
    object.encapsulate(frames, OffsetTable::Basic, 1).unwrap()
}

/// What OpenJPEG's own program makes of a file: the samples, and what it says of the boxes.
fn decoded(house: &House, name: &str, bytes: &[u8]) -> Vec<u8> {
    let file = house.folder().join(name);
    let samples = house.folder().join("samples.raw");
    fs::write(&file, bytes).unwrap();
    let _none = fs::remove_file(&samples);
    let done = Command::new("opj_decompress").arg("-i").arg(&file).arg("-o").arg(&samples).output().unwrap();
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stdout));
    fs::read(&samples).unwrap()
}

pub(crate) fn has_openjpeg() -> bool {
    let is_there = Command::new("opj_decompress").arg("-h").output().is_ok();
    assert!(is_there || std::env::var_os("CI").is_none(), "no opj_decompress");
    is_there
}

/// Contents of the first box of this type, found by its name.
fn contents<'a>(file: &'a [u8], name: &[u8; 4]) -> &'a [u8] {
    let at = file.windows(4).position(|four| four == name).unwrap_or_else(|| panic!("no such box"));
    let len = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    &file[at + 4..at - 4 + len]
}

#[test]
fn annex_g_and_k_chunks_hold_messages_and_no_whole_image() {
    let house = House::with_files(&[("a.j2k", pictures::precincts())]);
    for transport in ["http-tcp", "http-udp"] {
        // No channel is granted with a whole image, so it comes over HTTP.
        let alone = house.get(&format!("/jpip?target=a.j2k&type=raw&cnew={transport}"));
        assert_eq!((alone.status, alone.header("JPIP-cnew")), (200, None));
        assert!(alone.body == pictures::precincts());
        let opened = house.get(&format!("/jpip?target=a.j2k&len=0&cnew={transport}"));
        let cid = channel_of(&opened).unwrap();
        for types in ["raw", "image/j2c", "image/jp2,raw"] {
            let refused = house.get(&format!("/jpip?cid={cid}&type={types}"));
            assert_eq!((refused.status, refused.header("JPIP-qid")), (415, None), "{types}: {}", refused.text());
        }
        // The channel goes on, and takes what fits it where the client has a choice.
        let granted = house.get(&format!("/jpip?cid={cid}&type=raw,jpp-stream&fsiz=64,64"));
        assert_eq!((granted.status, granted.body.len()), (200, 0));
        assert_eq!(granted.header("Content-Type"), Some("image/jpp-stream"));
        if transport == "http-tcp" {
            let mut tcp = connect(auxport(&opened), &format!("{cid}\r\n"));
            // The first response was given up for the newer one, which was asked for while nobody was there.
            let responses = [(); 2].map(|()| chunks(&mut tcp, usize::MAX).concat());
            assert_eq!(Response::read(&responses[1]).end, 2);
        }
    }
}

#[test]
fn c_7_3_files_come_back_as_they_are_stored_whatever_layout_is_shown() {
    // 1024 × 1024 in one precinct a resolution level: shown with other precincts, returned as it is.
    let large = tiny_codestream().size(1024, 1024).levels(3).build();
    let (jp2, jpx) = (files::jp2_file(&large), pictures::jpx(3));
    let files = [("a.j2k", large.clone()), ("a.jp2", jp2.clone()), ("a.jpx", jpx.clone())];
    for options in [&[][..], &["--virtual-precincts", "off"]] {
        let house = House::open_with(options);
        for (name, bytes) in &files {
            house.import(name, bytes);
        }
        assert!(whole(&house, "target=a.jp2&type=raw", "image/jp2") == jp2);
        assert!(whole(&house, "target=a.jp2&type=image/jp2", "image/jp2") == jp2);
        assert!(whole(&house, "target=a.jp2&type=IMAGE/J2C", "image/j2c") == large);
        assert!(whole(&house, "target=a.j2k&type=raw", "image/j2c") == large);
        assert!(whole(&house, "target=a.j2k&type=image/j2c", "image/j2c") == large);
        assert!(whole(&house, "target=a.jpx&type=image/jp2,raw", "image/jpx") == jpx);
        let second = tiny_codestream().seed(2).build();
        assert!(whole(&house, "target=a.jpx&stream=1&type=image/j2c", "image/j2c") == second);
        let made = whole(&house, "target=a.j2k&type=image/jp2", "image/jp2");
        assert!(contents(&made, b"jp2c") == large && made.ends_with(&large));
        assert_eq!(contents(&made, b"ftyp"), b"jp2 \0\0\0\0jp2 ");
        if has_openjpeg() {
            assert!(decoded(&house, "made.jp2", &made) == decoded(&house, "plain.j2k", &large));
        }
    }
}

#[test]
fn c_7_3_a_frame_is_a_file_with_the_right_colour_and_depth() {
    let house = House::open();
    let (grey, colour) = ([frame(1, 1), frame(1, 2)], [frame(3, 3)]);
    house.import("", &dicom("2.25.1", "1.2.840.10008.1.2.4.90", "MONOCHROME2", &grey));
    house.import("", &dicom("2.25.2", "1.2.840.10008.1.2.4.90", "RGB", &colour));
    house.import("", &dicom("2.25.3", "1.2.840.10008.1.2.4.90", "YBR_FULL", &colour));
    for (target, codestream, space, components) in [
        ("2.25.1&stream=1", &grey[0], 17, 1),
        ("2.25.1", &grey[0], 17, 1),
        ("2.25.1&stream=2", &grey[1], 17, 1),
        ("2.25.2", &colour[0], 16, 3),
        ("2.25.3", &colour[0], 18, 3),
    ] {
        let made = whole(&house, &format!("target={target}&type=image/jp2"), "image/jp2");
        assert!(whole(&house, &format!("target={target}&type=raw"), "image/jp2") == made, "{target}");
        let alone = whole(&house, &format!("target={target}&type=image/j2c"), "image/j2c");
        assert!(&alone == codestream && contents(&made, b"jp2c") == alone, "{target}");
        // The depth byte of SIZ is that of the header box.
        let header = [&[0, 0, 0, 40, 0, 0, 0, 48, 0, components][..], &[codestream[42], 7, 0, 0]].concat();
        assert_eq!(contents(&made, b"ihdr"), header, "{target}");
        assert_eq!(contents(&made, b"colr"), [1, 0, 0, 0, 0, 0, space], "{target}");
        let bin_0 = house.jpip(&format!("target={target}&metareq=[*]!!")).messages.remove(0).body;
        assert!(bin_0.windows(23).any(|boxes| boxes.ends_with(contents(&made, b"colr"))), "as in metadata-bin 0");
        if has_openjpeg() && space != 18 {
            assert!(decoded(&house, "made.jp2", &made) == decoded(&house, "plain.j2k", codestream), "{target}");
        }
    }
    // One file holds one frame, and the answer says which.
    let first = house.get("/jpip?target=2.25.1&stream=1-2&type=image/jp2");
    assert_eq!((first.status, first.header("JPIP-stream")), (200, Some("1")));
    assert_eq!(house.get("/jpip?target=2.25.1&stream=9&type=image/jp2").status, 404);
    // The frames of a series likewise.
    let series = "series/1.2.826.0.1.3680043.10.99.2";
    let listed = house.get(&format!("/jpip?target={series}&stream=4&type=image/jp2"));
    assert_eq!(listed.status, 200, "{}", listed.text());
    assert_eq!(contents(&listed.body, b"colr")[6], 18, "each frame has the colour of its own instance");
}

#[test]
fn c_7_3_ht_frames_are_jph_and_what_does_not_fit_is_415() {
    let Some(root) = test_data() else { return };
    let ht = fs::read(root.join("real/ojph/simple_enc_rev53_64x64_16bit_gray.j2c")).unwrap();
    let jph = fs::read(root.join("real/ojph/simple_dec_rev53_64x64_16bit_gray.jph")).unwrap();
    let house = House::with_files(&[("a.j2k", pictures::tiny()), ("a.jph", jph.clone()), ("ht.j2c", ht.clone())]);
    house.import("", &dicom("2.25.4", "1.2.840.10008.1.2.4.201", "MONOCHROME2", std::slice::from_ref(&ht)));
    assert!(whole(&house, "target=a.jph&type=raw", "image/jph") == jph);
    assert!(whole(&house, "target=a.jph&type=image/jp2,image/jph", "image/jph") == jph);
    for target in ["2.25.4", "ht.j2c"] {
        assert!(whole(&house, &format!("target={target}&type=image/jphc"), "image/jphc") == ht);
        let made = whole(&house, &format!("target={target}&type=image/jp2,image/jph"), "image/jph");
        assert_eq!(contents(&made, b"ftyp"), b"jph \0\0\0\0jph ");
        assert!(contents(&made, b"jp2c") == ht);
        assert_eq!(contents(&made, b"ihdr")[10], 15, "16 bits");
    }
    for query in [
        "target=2.25.4&type=image/jp2",
        "target=2.25.4&type=image/j2c",
        "target=ht.j2c&type=image/jp2,image/jpeg",
        "target=a.j2k&type=image/jph",
        "target=a.j2k&type=image/jphc",
        "target=a.jph&type=image/jp2",
        "target=a.j2k&type=image/jpeg",
    ] {
        assert_eq!(house.get(&format!("/jpip?{query}")).status, 415, "{query}");
    }
    // A stream that comes first, or is the first that fits, is what is given.
    for types in ["jpp-stream,raw", "image/jph,jpp-stream", "image/jpeg,jpp-stream,image/j2c"] {
        let answer = house.get(&format!("/jpip?target=a.j2k&type={types}&fsiz=16,16"));
        assert_eq!(answer.header("Content-Type"), Some("image/jpp-stream"), "{types}");
    }
}

#[test]
fn whole_images_leave_channels_as_they_are() {
    let house = House::with_files(&[("a.jp2", pictures::jp2())]);
    let cid = house.channel("a.jp2");
    let all = "fsiz=256,256&rsiz=256,256&roff=0,0&qid=3";
    let image = house.get(&format!("/jpip?cid={cid}&type=raw&{all}"));
    assert_eq!((image.status, image.body == pictures::jp2()), (200, true));
    assert_eq!(image.header("JPIP-qid"), Some("3"));
    assert_eq!(image.header("JPIP-fsiz"), Some("256,256"));
    let stateless = house.jpip(&format!("target=a.jp2&{all}"));
    let first = house.jpip(&format!("cid={cid}&{all}"));
    assert_eq!(first.messages.len(), stateless.messages.len(), "nothing was noted as delivered");
    assert_eq!(house.get(&format!("/jpip?cid={cid}&type=raw")).body, pictures::jp2(), "nor left out as held");
    assert!(house.jpip(&format!("cid={cid}&{all}")).messages.is_empty());
    // No channel comes with it, and one that is closed is closed.
    let none = house.get("/jpip?target=a.jp2&type=raw&cnew=http");
    assert_eq!((none.status, none.header("JPIP-cnew")), (200, None));
    assert_eq!(house.get(&format!("/jpip?cid={cid}&type=raw&fsiz=1,1&cclose=*")).body, pictures::jp2());
    assert_eq!(house.get(&format!("/jpip?cid={cid}&type=raw")).status, 503);
}

#[test]
fn c_6_1_len_is_enough_for_the_whole_image_or_nothing_comes() {
    let house = House::with_files(&[("a.jp2", pictures::jp2())]);
    let len = pictures::jp2().len();
    let get = |limit: usize| house.get(&format!("/jpip?target=a.jp2&type=raw&len={limit}"));
    assert_eq!(get(len).body, pictures::jp2());
    let less = get(len - 1);
    assert_eq!((less.status, less.body.len()), (200, 0));
    assert_eq!(less.header("JPIP-len"), Some(len.to_string().as_str()));
    assert_eq!(get(0).header("JPIP-len"), None);
    let mut connection = house.connect();
    let head = connection.exchange("HEAD", "/jpip?target=a.jp2&type=raw", &[], &[]);
    assert_eq!(head.header("Content-Length"), Some(len.to_string().as_str()));
    assert_eq!(connection.get("/healthz").status, 200, "the connection goes on");
}

fn upload(house: &House, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    house.connect().exchange("POST", &format!("/jpip{query}"), headers, body)
}

#[test]
fn annex_e_a_whole_image_is_uploaded_and_is_a_target_from_then_on() {
    let house = House::open();
    let type_of = [("Content-Type", "image/jp2")];
    let first = upload(&house, "?target=new.jp2&upload=image/jp2&qid=5", &type_of, &pictures::jp2());
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(first.json()["target"], "new.jp2");
    assert_eq!(first.header("JPIP-qid"), Some("5"));
    let tid = house.get("/jpip?target=new.jp2&fsiz=8,8").header("JPIP-tid").unwrap().to_owned();
    assert_eq!(first.header("JPIP-tid"), Some(tid.as_str()));
    assert_eq!(first.json()["tid"], tid.as_str());
    assert!(whole(&house, "target=new.jp2&type=raw", "image/jp2") == pictures::jp2());
    // The same again is there already; another image under the name has another identifier; the path names it too.
    assert_eq!(upload(&house, "?target=new.jp2&upload=image/jp2", &type_of, &pictures::jp2()).status, 200);
    let second = upload(&house, "/new.jp2?upload=image/j2c", &[], &pictures::tiny());
    assert_eq!(second.status, 201, "{}", second.text());
    assert_ne!(second.header("JPIP-tid"), Some(tid.as_str()));
    assert!(whole(&house, "target=new.jp2&type=raw", "image/j2c") == pictures::tiny());
    // An instance is called by its UID.
    let instance = upload(&house, "?target=x&upload=application/dicom", &[], &pictures::dicom("2.25.9", 1));
    assert_eq!((instance.status, instance.json()["target"].as_str()), (201, Some("2.25.9")));
    let other = dicom("2.25.9", "1.2.840.10008.1.2.4.90", "MONOCHROME2", &[frame(1, 9)]);
    assert_eq!(upload(&house, "?target=x&upload=application/dicom", &[], &other).status, 409);
}

#[test]
fn annex_e_parts_of_images_and_other_types_are_refused_with_a_reason() {
    let house = House::with_files(&[("a.jp2", pictures::jp2())]);
    let (jp2, tiny) = (pictures::jp2(), pictures::tiny());
    for (query, body, status, words) in [
        ("?target=a.jp2&upload=jpp-stream", &tiny, 501, "partial uploads"),
        ("?target=a.jp2&upload=image/jpt-stream", &tiny, 501, "partial uploads"),
        ("?target=a.jp2&upload=image/jp2&fsiz=8,8&roff=0,0&rsiz=4,4", &jp2, 501, "partial uploads"),
        ("?target=a.jp2&upload=image/jp2&subtarget=0-9", &jp2, 501, "partial uploads"),
        ("?target=a.jp2&upload=image/png", &jp2, 415, "media type"),
        ("?target=a.jp2&upload=image/j2c", &jp2, 415, "media type"),
        ("?target=a.jp2&upload=application/dicom", &jp2, 415, "media type"),
        ("?upload=image/jp2", &jp2, 400, "target"),
        ("?target=series/1.2&upload=image/jp2", &jp2, 422, "name"),
        ("?target=b.jp2&upload=image/jp2&cid=n1.00", &jp2, 503, "channel"),
    ] {
        let answer = upload(&house, query, &[], body);
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert!(answer.text().contains(words), "{query}: {}", answer.text());
    }
    let damaged = upload(&house, "?target=b.jp2&upload=image/jp2", &[], &jp2[..40]);
    assert_eq!(damaged.status, 422, "{}", damaged.text());
    // A GET has no image, nor has a form.
    assert_eq!(house.get("/jpip?target=a.jp2&upload=image/jp2").status, 400);
    assert_eq!(upload(&house, "", &[], b"target=a.jp2&upload=image/jp2").status, 400);
    assert!(whole(&house, "target=a.jp2&type=raw", "image/jp2") == jp2, "nothing has changed");
    let small = House::open_with(&["--max-import-bytes", "1000"]);
    assert_eq!(upload(&small, "?target=b.j2k&upload=raw", &[], &pictures::noise(64)).status, 413);
}

#[test]
fn e26_pages_of_other_sites_upload_nothing() {
    let house = House::open();
    for headers in [[("Origin", "https://evil.example")], [("Sec-Fetch-Site", "cross-site")]] {
        let answer = upload(&house, "?target=a.j2k&upload=image/j2c", &headers, &pictures::tiny());
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    assert_eq!(house.get("/jpip?target=a.j2k").status, 404);
    let own = [("Origin", "http://127.0.0.1:3000")];
    assert_eq!(upload(&house, "?target=a.j2k&upload=image/j2c", &own, &pictures::tiny()).status, 201);
}
