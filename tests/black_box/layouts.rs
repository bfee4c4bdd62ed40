//! `--virtual-precincts`: what a window costs, what it decodes to, and under which identifier.

use openjpeg::{EncodeParameters, Image, encode};
use tempfile::TempDir;

use crate::house::{House, run};
use crate::jpt::compare_pictures;
use crate::stream::{Cache, MAIN_HEADER, Response, TILE};

/// 1.4 Mpixel in one precinct a resolution level.
fn large() -> Vec<u8> {
    let mut noise = 5u32;
    let samples = (0..1300 * 1100u32).map(|at| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i32::try_from((at % 1300 / 8 + at / 1300 / 9 + (noise >> 28)) % 256).unwrap()
    });
    let image = Image::from_interleaved(1300, 1100, 1, (8, false), &samples.collect::<Vec<_>>()).unwrap();
    encode(&image, &EncodeParameters { threads: 2, ..EncodeParameters::default() }).unwrap()
}

#[test]
fn a_window_is_cheap_by_default_and_the_stored_layout_is_there_when_asked_for() {
    let query = "target=a.j2k&fsiz=1300,1100&roff=500,400&rsiz=200,200";
    let (mut bodies, mut tids, mut pictures) = (Vec::new(), Vec::new(), Vec::new());
    for options in [&[][..], &["--virtual-precincts", "off"]] {
        let house = House::open_in(TempDir::new().unwrap(), options);
        let said = house.import("a.j2k", &large());
        let response = house.jpip(query);
        assert_eq!(response.end, 2);
        bodies.push(response.len);
        let answer = house.get(&format!("/jpip?{query}&tid=0"));
        let tid = said["tid"].as_str().unwrap().to_owned();
        assert!(answer.head.contains(&tid), "import and JPIP name the same identifier: {}", answer.head);
        let listed = house.get("/api/v1/targets").json();
        assert_eq!(listed["items"][0]["tid"], tid.as_str());
        tids.push(tid);
        let out = house.folder().join("out.raw");
        let url = format!("{}/jpip?target=a.j2k", house.url());
        let window = ["--fsiz", "1300,1100", "--roff", "500,400", "--rsiz", "200,200"];
        let done = run(&[&["fetch", &url, "-o", out.to_str().unwrap()][..], &window].concat());
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        pictures.push(std::fs::read(out).unwrap());
    }
    assert!(bodies[0] * 4 < bodies[1], "{bodies:?}");
    assert_ne!(tids[0], tids[1]);
    assert!(pictures[0] == pictures[1] && !pictures[0].is_empty());
}

/// What the tile data-bin of a single tile holds: the resolution numbers and lengths of its tile-parts, and how many
/// are announced.
fn tile_parts(mut bytes: &[u8]) -> Vec<(u8, usize, u8)> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[..6], [0xff, 0x90, 0, 10, 0, 0], "SOT of tile 0");
        let len = u32::from_be_bytes(bytes[6..10].try_into().unwrap()) as usize;
        parts.push((bytes[10], len, bytes[11]));
        bytes = &bytes[len..];
    }
    parts
}

#[test]
fn a_virtual_target_comes_as_tile_parts_by_resolution_levels() {
    let original = large();
    let house = House::with_files(&[("a.j2k", original.clone())]);
    let ask = |size: &str| house.jpip(&format!("target=a.j2k&type=jpt-stream&fsiz={size}"));
    let (half, whole) = (ask("650,550"), ask("1300,1100"));
    let tile = |response: &Response| Cache::of(response).bins[&(TILE, 0, 0)].clone();
    let (half_tile, is_complete) = tile(&half);
    let (whole_tile, whole_is_complete) = tile(&whole);
    assert!(!is_complete && whole_is_complete);
    assert!(whole_tile.starts_with(&half_tile) && half_tile.len() * 2 < whole_tile.len());
    let parts = tile_parts(&whole_tile);
    assert_eq!(parts.iter().map(|part| part.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert!(parts.iter().all(|part| [0, 6].contains(&part.2)), "{parts:?}");
    assert_eq!(tile_parts(&half_tile), parts[..5], "all but the highest resolution level");
    assert_eq!((half.end, whole.end), (2, 1));
    // The main header is that of the layout that the tile-parts are in: RPCL, and as in the JPP-stream.
    let header = |response: &Response| Cache::of(response).bins[&(MAIN_HEADER, 0, 0)].0.clone();
    let main = header(&whole);
    let cod = main.windows(2).position(|two| two == [0xff, 0x52]).unwrap();
    assert_eq!((main[cod + 4] & 1, main[cod + 5]), (1, 2), "precincts are told, and RPCL");
    assert_eq!(main, header(&house.jpip("target=a.j2k&fsiz=1300,1100")));
    // And the pictures are those of the file.
    compare_pictures(&house, "a.j2k", &original, &[]);
    compare_pictures(&house, "a.j2k", &original, &["--session"]);
}
