use codestream::{Limits, MainHeader};
use openjpeg::{EncodeParameters, Image, encode};

use super::*;

/// A 4:2:0 image with an offset on the reference grid.
fn image() -> Image {
    let (x0, y0, width, height) = (5u32, 3u32, 61u32, 47u32);
    let component = |index: u32, step: u32| {
        let (cx0, cy0) = (x0.div_ceil(step), y0.div_ceil(step));
        let (w, h) = ((x0 + width).div_ceil(step) - cx0, (y0 + height).div_ceil(step) - cy0);
        let sample = |at: u32| i32::try_from((at % w * 7 + at / w * 5 + at * at % 11 + index * 40) % 256).unwrap_or(0);
        Component {
            width: w,
            height: h,
            dx: step,
            dy: step,
            precision: 8,
            signed: false,
            samples: (0..w * h).map(sample).collect(),
        }
    };
    Image { width, height, x0, y0, components: vec![component(0, 1), component(1, 2), component(2, 2)] }
}

fn whole(siz: &Siz, discard_levels: u8) -> Region {
    let scale = |edge: u32| edge.div_ceil(1 << discard_levels);
    Region { discard_levels, x0: scale(siz.xosiz), y0: scale(siz.yosiz), x1: scale(siz.xsiz), y1: scale(siz.ysiz) }
}

fn crop(plane: &Plane, from: (u32, u32), size: (u32, u32)) -> Vec<i32> {
    let rows = plane.samples.chunks(plane.width as usize).skip(from.1 as usize).take(size.1 as usize);
    rows.flat_map(|row| row.iter().skip(from.0 as usize).take(size.0 as usize).copied().collect::<Vec<_>>()).collect()
}

#[test]
fn a_window_is_the_crop_of_the_whole_at_its_size() {
    let codestream = encode(&image(), &EncodeParameters { levels: 3, ..EncodeParameters::default() }).expect("encoded");
    let sot = codestream.windows(2).position(|marker| marker == [0xFF, 0x90]).expect("a tile-part");
    let (header, _) = MainHeader::parse(&codestream[..sot], &Limits::default()).expect("a main header");
    let siz = header.siz();
    for discard_levels in 0..=3 {
        let all = whole(siz, discard_levels);
        let full = decode(&codestream, siz, &all).expect("decoded");
        assert_eq!((full.width, full.height), siz.reduced_size(discard_levels));
        for (x, y, width, height) in [(0, 0, 1, 1), (1, 1, 3, 2), (2, 3, 4, 1), (0, 2, 7, 3)] {
            let (x0, y0) = (all.x0 + x, all.y0 + y);
            let region = Region { x0, y0, x1: (x0 + width).min(all.x1), y1: (y0 + height).min(all.y1), ..all };
            let part = decode(&codestream, siz, &region).expect("decoded");
            for (part, full) in part.full_planes().iter().zip(full.full_planes()) {
                let expect = crop(&full, (x, y), (region.x1 - x0, region.y1 - y0));
                assert_eq!(part.samples, expect, "{region:?}");
            }
        }
    }
}

#[test]
fn own_planes_of_the_whole_image_are_the_components() {
    let image = image();
    let codestream = encode(&image, &EncodeParameters { levels: 3, ..EncodeParameters::default() }).expect("encoded");
    let sot = codestream.windows(2).position(|marker| marker == [0xFF, 0x90]).expect("a tile-part");
    let (header, _) = MainHeader::parse(&codestream[..sot], &Limits::default()).expect("a main header");
    let picture = decode(&codestream, header.siz(), &whole(header.siz(), 0)).expect("decoded");
    // The covering rule begins one sample before the component where its first sample lies right of the image's
    // edge; that sample does not exist, so the nearest one stands in and nothing is doubled.
    for (plane, component) in picture.own_planes().iter().zip(&image.components) {
        assert_eq!((plane.width, plane.height), (component.width, component.height));
        assert_eq!(plane.samples, component.samples);
    }
    assert!(picture.full_planes().iter().all(|plane| (plane.width, plane.height) == (61, 47)));
}
