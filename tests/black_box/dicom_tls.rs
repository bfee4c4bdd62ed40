//! Associations secured by TLS: who is let in, and who is not. Fault D13.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::dicom_in::ct;
use crate::dicom_out::{dcmtk, dcmtk_at};
use crate::house::House;
use crate::scu::{Scu, request};

/// Authorities and certificates of them, made by openssl.
struct Papers {
    folder: TempDir,
}

impl Papers {
    fn new() -> Self {
        let papers = Self { folder: TempDir::new().unwrap() };
        fs::write(papers.path("extensions"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        papers.authority("authority");
        papers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn authority(&self, name: &str) {
        let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        let options = format!("{request} -subj /CN={name} -keyout {name}.key -out {name}.pem");
        openssl(self.folder.path(), &options);
    }

    /// A certificate of `authority`, good for so many days from now.
    fn certificate(&self, name: &str, authority: &str, days: i32) {
        let request = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(self.folder.path(), &format!("{request} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        let sign = format!("x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial");
        openssl(self.folder.path(), &format!("{sign} -days {days} -extfile extensions -out {name}.pem"));
    }

    /// What the server is told.
    fn options(&self, name: &str) -> [String; 6] {
        let (certificate, key) = (self.text(&format!("{name}.pem")), self.text(&format!("{name}.key")));
        let flags = ["--dicom-tls-cert", "--dicom-tls-key", "--dicom-tls-ca"].map(str::to_owned);
        let [cert_flag, key_flag, authority_flag] = flags;
        [cert_flag, certificate, key_flag, key, authority_flag, self.text("authority.pem")]
    }
}

fn openssl(folder: &Path, options: &str) {
    let output = Command::new("openssl").args(options.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{options}: {}", String::from_utf8_lossy(&output.stderr));
}

fn open_with(options: &[String]) -> House {
    House::open_with(&options.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn d13_only_who_has_a_good_certificate_is_let_in() {
    let papers = Papers::new();
    papers.authority("stranger");
    for (name, authority, days) in
        [("server", "authority", 2), ("good", "authority", 2), ("expired", "authority", -1), ("foreign", "stranger", 2)]
    {
        papers.certificate(name, authority, days);
    }
    let mut house = open_with(&papers.options("server"));
    let trust = papers.text("authority.pem");
    let with = |name: &str| {
        let (key, certificate) = (papers.text(&format!("{name}.key")), papers.text(&format!("{name}.pem")));
        dcmtk("echoscu", &house, &["+tls", &key, &certificate, "+cf", &trust])
    };
    let (content, words) = with("good");
    assert!(content, "{words}");
    for name in ["expired", "foreign"] {
        let (content, words) = with(name);
        assert!(!content, "{name}: {words}");
    }
    let (content, words) = dcmtk("echoscu", &house, &["+tla", "+cf", &trust]);
    assert!(!content, "without a certificate: {words}");
    let (content, words) = dcmtk("echoscu", &house, &[]);
    assert!(!content, "without TLS: {words}");
    // One who does not trust the server is not let down either.
    let (key, certificate) = (papers.text("good.key"), papers.text("good.pem"));
    let (content, _) = dcmtk("echoscu", &house, &["+tls", &key, &certificate, "+cf", &papers.text("stranger.pem")]);
    assert!(!content);
    // Older than TLS 1.2 is not spoken.
    let address = house.dicom.to_string();
    let speak = |version: &str| {
        let flag = format!("-tls{}", version.replace('.', "_"));
        let options = ["s_client", "-connect", &address, &flag, "-cert", &certificate, "-key", &key, "-CAfile", &trust];
        let output = Command::new("openssl").args(options).stdin(std::process::Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains(&format!("New, TLSv{version}, Cipher is"))
    };
    assert_eq!(["1.1", "1.2", "1.3"].map(speak), [false, true, true]);
    house.wait_until("all have ended", |house| house.get("/metrics").text().contains("precinct_dicom_associations 0"));
    assert!(house.is_alive());
}

#[test]
fn objects_move_from_house_to_house_over_tls() {
    let papers = Papers::new();
    papers.certificate("one", "authority", 2);
    papers.certificate("two", "authority", 2);
    let other = open_with(&[&papers.options("two")[..], &["--ae-title".to_owned(), "SECOND".to_owned()]].concat());
    let destinations =
        ["--dicom-destination".to_owned(), format!("SECOND=tls://{},PLAIN={}", other.dicom, other.dicom)];
    let house = open_with(&[&papers.options("one")[..], &destinations].concat());
    house.import("a", &ct("2.25.10", 1));
    // movescu of dcmtk speaks no TLS.
    let tunnel = tunnel_to(house.dicom, &papers, "one");
    let moved = |destination: &str| {
        let keys = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=2.25.1"];
        dcmtk_at("movescu", tunnel, &[&["-aem", destination][..], &keys].concat())
    };
    let (content, words) = moved("SECOND");
    assert!(content, "{words}");
    assert_eq!(other.get("/api/v1/instances/2.25.10").status, 200);
    let (_, words) = moved("PLAIN");
    assert!(words.contains("OutOfResources"), "the other one wants TLS: {words}");
}

/// An address at which what is said in the clear goes on by TLS, with this certificate.
fn tunnel_to(address: SocketAddr, papers: &Papers, name: &str) -> SocketAddr {
    let path = |name: String| papers.path(&name);
    let (certificate, key) = (path(format!("{name}.pem")), path(format!("{name}.key")));
    let tls = server::config::DicomTls::load(&certificate, &key, Some(&papers.path("authority.pem"))).unwrap();
    let connector = tokio_rustls::TlsConnector::from(tls.connector.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tunnel = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            while let Ok((plain, _)) = listener.accept() {
                plain.set_nonblocking(true).unwrap();
                let mut plain = tokio::net::TcpStream::from_std(plain).unwrap();
                let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
                let mut secured = connector.connect(address.ip().into(), tcp).await.unwrap();
                let _ended = tokio::io::copy_bidirectional(&mut plain, &mut secured).await;
            }
        });
    });
    tunnel
}

#[test]
fn d3_d5_what_is_no_handshake_ends() {
    let papers = Papers::new();
    papers.certificate("server", "authority", 2);
    let mut house = open_with(&papers.options("server")[..4]);
    let mut plain = Scu::connect(house.dicom);
    plain.send(1, &request("PRECINCT", "TEST"));
    // An alert, or nothing; never an association.
    assert!(plain.receive().is_none_or(|(kind, _)| kind != 2));
    let mut silent = Scu::connect(house.dicom);
    assert_eq!(silent.receive(), None, "after half a minute");
    house.wait_until("they have ended", |house| house.get("/metrics").text().contains("precinct_dicom_associations 0"));
    assert!(house.is_alive());
    // Without an authority whoever wants to be is secured.
    let (content, words) = dcmtk("echoscu", &house, &["+tla", "+cf", &papers.text("authority.pem")]);
    assert!(content, "{words}");
}

#[test]
fn a_server_that_cannot_keep_its_word_does_not_start() {
    let papers = Papers::new();
    papers.certificate("server", "authority", 2);
    papers.certificate("other", "authority", 2);
    let refused = |options: &[&str]| {
        let data = papers.text("data");
        let fixed = ["serve", "--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0", "--data", &data];
        let output = crate::house::run(&[&fixed[..], options].concat());
        assert!(!output.status.success(), "{options:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (certificate, key, other) = (papers.text("server.pem"), papers.text("server.key"), papers.text("other.key"));
    let words = refused(&["--dicom-tls-cert", &certificate]);
    assert!(words.contains("dicom-tls-key"), "{words}");
    let words = refused(&["--dicom-tls-ca", &certificate]);
    assert!(words.contains("go together"), "{words}");
    let words = refused(&["--dicom-tls-cert", &certificate, "--dicom-tls-key", &other]);
    assert!(words.contains("is not the key of"), "{words}");
    let words = refused(&["--dicom-destination", "SINK=tls://127.0.0.1:1"]);
    assert!(words.contains("needs --dicom-tls-cert"), "{words}");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let words = refused(&["--dicom-tls-cert", &certificate, "--dicom-tls-key", &key]);
    assert!(words.contains("everybody can read"), "{words}");
}
