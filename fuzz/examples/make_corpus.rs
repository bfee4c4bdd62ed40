//! Writes fuzz/corpus anew: a few small inputs for each target, so that fuzzing begins inside the formats.
//!
//! `cd fuzz && cargo run --example make_corpus`. The result is committed.

use std::error::Error;
use std::fs;
use std::path::Path;

use codestream::testkit::{TileParts, files, tiny_codestream};
use dicom_bridge::write::{NewObject, OffsetTable};

fn main() -> Result<(), Box<dyn Error>> {
    let tiny = tiny_codestream;
    let codestreams = [
        ("plain", tiny().build()),
        ("rpcl_precincts", tiny().size(40, 24).levels(2).rpcl().precincts(&[(3, 3), (3, 3), (3, 3)]).build()),
        ("layers_sop_eph", tiny().size(24, 24).layers(3).rlcp().sop().eph().build()),
        ("tiles_pcrl", tiny().size(40, 40).tiles(3, 3).components(2).pcrl().build()),
        ("ppm", tiny().size(32, 32).tiles(2, 2).ppm().build()),
        ("ppt", tiny().size(32, 32).tiles(2, 2).ppt().eph().build()),
        ("plt_psot_zero", tiny().size(24, 24).plt().psot_zero().build()),
        ("subsampled_cprl", tiny().size(24, 24).subsampling(&[(1, 1), (2, 2), (2, 2)]).cprl().build()),
        ("ht", tiny().size(32, 32).levels(2).ht().rpcl().build()),
        ("bypass_termall", tiny().size(24, 24).style(0x05).without_eoc().build()),
    ];
    // One byte that says where the body is cut comes first.
    for (name, body) in [
        ("two_parts", "\x05--b\r\nContent-Type: a/b\r\n\r\nA\r\n-\r\n--b\r\n\r\nB\r\n--b--\r\n"),
        ("empty_parts", "\x01x\r\n--b\r\nA: b\r\n\r\n--b\t\r\n\r\n\r\n--b--"),
    ] {
        write("multipart", name, body.as_bytes())?;
    }
    for (name, bytes) in &codestreams {
        write("codestream_index", name, bytes)?;
    }
    // Three bytes that choose the layout come first.
    for (choice, (name, bytes)) in (0u8..).zip(&codestreams) {
        write("relayout", name, &[&[choice.wrapping_mul(37), 0x33, 0x77], bytes.as_slice()].concat())?;
    }
    let plain = &codestreams[0].1;
    for (name, bytes) in [
        ("jp2", files::jp2_file(plain)),
        ("jph", files::jph_file(&codestreams[8].1)),
        ("jpx", files::jpx_file(&[plain.clone(), codestreams[1].1.clone()])),
        ("fragments", files::fragmented_jpx_file(plain, 40)),
        ("nested", files::jp2_file(&files::boxed(*b"asoc", &files::boxed(*b"lbl ", b"x")))),
    ] {
        write("boxes", name, &bytes)?;
    }

    for (name, query) in [
        ("first", "target=a.jp2&type=jpp-stream&tid=0&stream=0&len=10240&qid=1&cnew=http"),
        ("window", "cid=0.9f3c&wait=yes&fsiz=640,480,closest&rsiz=64,64&roff=10,20&layers=2&len=2147483647&qid=7"),
        ("model", "fsiz=64,64&model=[0-2],Hm,H*,M0,[1],P0:20,t0c0-2r0-1:L2,-P67,Ht3&need=P1-5,Hm"),
        ("tpmodel", "tpmodel=[0],4.0-4.2,-5.1&type=jpt-stream;ttype=ext,image/jp2&mset=0-3"),
        ("metareq", "metareq=[xml_;asoc/w!]R0D3,[roid/w;lbl_:64],[*:r/a]!!&stream=0-9:2,11-"),
        ("context", "context=jpxl%3C0-3%3E[s0i1],mj2t<1+now>[track]&roi=island&srate=2.5&comps=0,2-4"),
        ("session", "cclose=*&cid=A.b&handled&pref=fullwindow/r,meta:orig;meta:incr&cap=cc.x&csf=density:1.5;1;2"),
        ("old", "stream=0:5&subtarget=10-20&align=yes&quality=50&drate=1.5&upload=image/jp2&twait=4"),
        ("post", "target=x&fsiz=9,9\0model=Hm,P*&len=1"),
    ] {
        write("jpip_query", name, query.as_bytes())?;
    }

    let text = files::boxed(*b"xml ", b"<?xml version=\"1.0\"?><a/>");
    let region = files::boxed(*b"roid", &[&[1u8, 1, 0, 0][..], &[0, 0, 0, 9].repeat(4)].concat());
    let inner = files::boxed(*b"asoc", &[region, files::boxed(*b"lbl ", b"x"), text.clone()].concat());
    let outer = files::boxed(*b"asoc", &[files::boxed(*b"nlst", &[1, 0, 0, 0]), inner, text].concat());
    for (name, query) in [
        ("all", "[*]!!"),
        ("depth", "[xml_/a;asoc:r/w!]R0D3"),
        ("limits", "[roid/w;lbl_:2],[xml_:0/sg]R1D0,[*:r/a]R2"),
        ("octal", "[\\141soc]"),
    ] {
        write("metareq", name, &[query.as_bytes(), &[0], &outer].concat())?;
    }
    for (name, document) in [
        ("openjpip", "<?xml version=\"1.0\"?>\n<roi name=\"island\" x=\"1890\" y=\"1950\" w=\"770\" h=\"310\"/>"),
        ("wrapped", "<a><!-- c --><roi name='b&amp;&#x41;' x='1' y='2' w='3' h='4'></roi><![CDATA[x]]></a>"),
        ("irt", "<irt refimg=\"n\" m1=\"1\" m2=\"0\" m3=\"-1e1\" m4=\"0\" m5=\"1\" m6=\"0\" m7=\"0\" m8=\"0\" m9=\"1\"/>"),
        ("doctype", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"),
    ] {
        write("annotations", name, document.as_bytes())?;
    }

    // A response as a server sends it: metadata-bin 0, main header, tile header, precincts, end; the first byte is
    // the length of the pieces it is cut into.
    let mut response = vec![7u8, 0x70, 0x08, 0x00, 0x00, 0x00];
    let header = plain.windows(2).position(|two| two == [0xff, 0x90]).ok_or("no SOT")?;
    response.extend_from_slice(&[0x50, 0x06, 0x00]);
    vbas(header, &mut response);
    response.extend_from_slice(&plain[..header]);
    response.extend_from_slice(&[0x50, 0x02, 0x00, 0x00]);
    response.extend_from_slice(&[0x50, 0x00, 0x00, 0x01, 0x00]);
    response.extend_from_slice(&[0x21, 0x00, 0x03, 1, 2, 3, 0x31, 0x03, 0x01, 4]);
    response.extend_from_slice(&[0x00, 0x02, 0x00]);
    write("jpp_reader", "response", &response)?;
    write("jpp_reader", "nothing_new", &[1, 0x00, 0x02, 0x00])?;
    write("jpp_reader", "extended", &[3, 0x70, 0x01, 0x00, 0x00, 0x02, 0x05, 9, 9, 0x00, 0x01, 0x00])?;

    // Two chunks as a server sends them; a greeting, three chunks made, sent and acknowledged.
    write("http_tcp_framing", "chunks", &[5, 0, 11, 1, 2, 3, 4, 5, 6, 9, 9, 9, 0, 8, 0, 0, 0, 0, 0, 0])?;
    write("http_tcp_framing", "channel", b"\x03n1.ab\r\n\x01\x02\x03\x40\xff\xff\x80\x40\xff")?;
    // A hello, the probe's answer, chunks made and acknowledged, one given up; and chunks as a client gets them.
    write("udp_framing", "channel", b"\x87n1.ab\r\n\x20\x00\x00\x01\x20\x40\x20\x61\x20")?;
    write("udp_framing", "chunks", b"\x89\0\x01\0\x07\0\0\0\0m\x88\x10\x01\0\x07\0\0\x02\0")?;
    // Tiles behind one of the target's own main headers (second byte), as a server sends them in class 4 and 5.
    for (name, kind, codestream) in [
        ("plain", 1, tiny().size(24, 24).tiles(2, 2).layers(2)),
        ("ppm", 2, tiny().size(24, 24).tiles(2, 2).layers(2).ppm().packed_segment(9).tile_parts(TileParts::Every(2))),
        ("ppt", 4, tiny().size(24, 24).tiles(2, 2).layers(2).sop().eph().ppt()),
    ] {
        let built = codestream.build_with_truth();
        let mut response = vec![200, kind];
        for class in [4, 5] {
            for part in built.tile_parts.iter().filter(|part| part.tile % 2 == class % 2) {
                let bytes = &built.bytes[part.span.offset as usize..part.span.end() as usize];
                let same = built.tile_parts.iter().filter(|other| other.tile == part.tile);
                let before = same.take_while(|other| *other != part).map(|other| other.span.len).sum::<u64>();
                response.extend_from_slice(&[0x60 | part.tile as u8, class as u8, 0]);
                vbas(before as usize, &mut response);
                vbas(bytes.len(), &mut response);
                if class == 5 {
                    response.push(1);
                }
                response.extend_from_slice(bytes);
            }
        }
        response.extend_from_slice(&[0, 2, 0]);
        write("jpt_reader", name, &response)?;
    }

    for (name, syntax, frames, table, fragments) in [
        ("one", "1.2.840.10008.1.2.4.90", 1, OffsetTable::Basic, 1),
        ("three", "1.2.840.10008.1.2.4.90", 3, OffsetTable::Basic, 2),
        ("no_table", "1.2.840.10008.1.2.4.201", 2, OffsetTable::Empty, 1),
        ("extended", "1.2.840.10008.1.2.4.91", 2, OffsetTable::Extended, 1),
        ("wrong_table", "1.2.840.10008.1.2.4.91", 2, OffsetTable::Verbatim(vec![4, 5_000]), 1),
    ] {
        let mut object = NewObject::new("1.2.840.10008.5.1.4.1.1.7", "1.2.3.4", syntax);
        object
            .attributes()
            .put(0x0020_000d, "UI", "1.2.3.1")
            .put(0x0020_000e, "UI", "1.2.3.2")
            .put(0x0028_0008, "IS", &frames.to_string())
            .put(0x0028_0010, "US", "16")
            .put(0x0028_0011, "US", "16");
        let frames = vec![plain.clone(); frames];
        write("dataset_scan", name, &object.encapsulate(&frames, table, fragments)?)?;
    }
    write("dataset_scan", "no_pixels", &NewObject::new("1.2.3", "1.2.3.5", "1.2.840.10008.1.2.1").to_bytes()?)?;
    write("dataset_scan", "deflated", &NewObject::new("1.2.3", "1.2.3.6", "1.2.840.10008.1.2.1.99").to_bytes()?)?;
    Ok(())
}

fn vbas(value: usize, out: &mut Vec<u8>) {
    for shift in (0..4).rev() {
        let group = value >> (7 * shift);
        if group > 0 || shift == 0 {
            out.push((group & 0x7f) as u8 | if shift > 0 { 0x80 } else { 0 });
        }
    }
}

fn write(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
