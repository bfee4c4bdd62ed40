//! `--virtual-precincts`: what a window costs, what it decodes to, and under which identifier.

use openjpeg::{EncodeParameters, Image, encode};
use tempfile::TempDir;

use crate::house::{House, run};

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
