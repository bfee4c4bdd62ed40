//! What an operator may set: command line, then environment, then TOML file, then the defaults given here.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use figment::{
    Figment,
    providers::{Format as _, Toml},
};
use serde::Deserialize;

pub use dicom_destination::DicomDestination;
pub use dicom_peer::DicomPeer;
pub use dicom_tls::DicomTls;
pub use network::Network;
pub use transfer_syntax_wish::TransferSyntaxWish;
pub use virtual_precincts::VirtualPrecincts;

use crate::storage::S3Place;
use crate::worker::derive::Derive;
use dicom_peer::ae_title_of;

mod dicom_destination;
mod dicom_peer;
mod dicom_tls;
mod network;
mod transfer_syntax_wish;
mod virtual_precincts;

/// Where the stored objects and the catalog are; taken by `serve` and by `import`.
#[derive(Debug, Clone, Default, Args)]
pub struct DataArgs {
    /// Data directory; created if it does not exist [default: ./data]
    #[arg(long, value_name = "DIR", env = "PRECINCT_DATA")]
    pub data: Option<PathBuf>,
    /// Catalog: `sqlite` (inside the data directory), `sqlite:PATH`, or `postgres://USER@HOST/DATABASE`, whose password is
    /// better in the environment (PGPASSWORD) or a configuration file [default: sqlite]
    #[arg(long, value_name = "URL", env = "PRECINCT_DATABASE")]
    pub database: Option<String>,
    /// Store of objects and indexes: a folder, or `s3://bucket/prefix` with credentials and endpoint in the variables
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` [default: the data directory]
    #[arg(long, value_name = "URL", env = "PRECINCT_STORE")]
    pub store: Option<String>,
    /// TOML file with any of these settings; its keys are the flag names with `_` for `-`
    #[arg(long, value_name = "FILE", env = "PRECINCT_CONFIG")]
    pub config: Option<PathBuf>,
}

/// The flags of `precinct serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub data: DataArgs,
    /// Address to listen on for HTTP; port 0 picks a free port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "PRECINCT_HTTP", value_parser = address)]
    pub http: Option<SocketAddr>,
    /// Address to listen on for DICOM associations; port 0 picks a free port [default: 127.0.0.1:11112]
    #[arg(long, value_name = "ADDR", env = "PRECINCT_DICOM", value_parser = address)]
    pub dicom: Option<SocketAddr>,
    /// Address to listen on for the connections of JPIP's http-tcp transport; port 0 picks a free port [default: the HTTP
    /// address, port 0]
    #[arg(long, value_name = "ADDR", env = "PRECINCT_JPIP_TCP", value_parser = address)]
    pub jpip_tcp: Option<SocketAddr>,
    /// Address for the datagrams of JPIP's http-udp transport; port 0 picks a free port [default: the HTTP address, port
    /// 0]
    #[arg(long, value_name = "ADDR", env = "PRECINCT_JPIP_UDP", value_parser = address)]
    pub jpip_udp: Option<SocketAddr>,
    /// AE title by which senders must call [default: PRECINCT]
    #[arg(long, value_name = "TITLE", env = "PRECINCT_AE_TITLE")]
    pub ae_title: Option<String>,
    /// Who may send when the DICOM address is not loopback: a network, or the AE title of a sender in it, as
    /// CT1@10.0.0.0/8; may be repeated
    #[arg(long, value_name = "[TITLE@]NETWORK", env = "PRECINCT_DICOM_ALLOW", value_delimiter = ',')]
    pub dicom_allow: Vec<DicomPeer>,
    /// Where objects may be sent by C-MOVE, and whom a storage commitment is reported to, as SINK=10.0.0.1:104; may be
    /// repeated
    #[arg(long, value_name = "TITLE=HOST:PORT", env = "PRECINCT_DICOM_DESTINATION", value_delimiter = ',')]
    pub dicom_destination: Vec<DicomDestination>,
    /// Transfer syntax that is taken before others where a sender offers several, by its UID, perhaps for one SOP class
    /// only; may be repeated, the most wanted first [default: HTJ2K, JPEG 2000, native, others]
    #[arg(long, value_name = "[CLASS=]UID", env = "PRECINCT_DICOM_PREFER", value_delimiter = ',')]
    pub dicom_prefer: Vec<TransferSyntaxWish>,
    /// Certificate of the server, and those up to its authority, as PEM: DICOM associations are then secured by TLS,
    /// without exception
    #[arg(long, value_name = "FILE", env = "PRECINCT_DICOM_TLS_CERT")]
    pub dicom_tls_cert: Option<PathBuf>,
    /// Key of that certificate, as PEM; nobody but owner and group may read it
    #[arg(long, value_name = "FILE", env = "PRECINCT_DICOM_TLS_KEY")]
    pub dicom_tls_key: Option<PathBuf>,
    /// Certificates of authorities, as PEM: only peers that have a certificate of them are let in, and called
    #[arg(long, value_name = "FILE", env = "PRECINCT_DICOM_TLS_CA")]
    pub dicom_tls_ca: Option<PathBuf>,
    /// DICOM associations held at a time; more are rejected for the moment [default: 64]
    #[arg(long, value_name = "N", env = "PRECINCT_MAX_ASSOCIATIONS")]
    pub max_associations: Option<usize>,
    /// Base of the URLs that are handed out, as clients see it [default: http:// and the HTTP address]
    #[arg(long, value_name = "URL", env = "PRECINCT_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Web origin whose pages may read answers, besides localhost; may be repeated
    #[arg(long, value_name = "ORIGIN", env = "PRECINCT_CORS_ORIGIN", value_delimiter = ',')]
    pub cors_origin: Vec<String>,
    /// Network that may connect when the address is not loopback, as 10.0.0.0/8; may be repeated
    #[arg(long, value_name = "NETWORK", env = "PRECINCT_HTTP_ALLOW", value_delimiter = ',')]
    pub http_allow: Vec<Network>,
    /// Let anybody connect on addresses that are not loopback
    #[arg(long, env = "PRECINCT_INSECURE", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub insecure: Option<bool>,
    /// Largest object that may be imported or stored, in bytes [default: 68719476736]
    #[arg(long, value_name = "BYTES", env = "PRECINCT_MAX_IMPORT_BYTES")]
    pub max_import_bytes: Option<u64>,
    /// Connections held at a time; more are answered 503 [default: 4096]
    #[arg(long, value_name = "N", env = "PRECINCT_MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,
    /// JPIP channels held at a time; more are answered 503 [default: 20000]
    #[arg(long, value_name = "N", env = "PRECINCT_MAX_CHANNELS")]
    pub max_channels: Option<usize>,
    /// Present images that have one precinct per resolution level with small ones, so that a window costs little:
    /// auto, or off for the stored layout [default: auto]
    #[arg(long, value_name = "WHEN", env = "PRECINCT_VIRTUAL_PRECINCTS")]
    pub virtual_precincts: Option<VirtualPrecincts>,
    /// What is made of pixel data that is not JPEG 2000, so that it can be asked for by JPIP: ht (HTJ2K), j2k (JPEG 2000
    /// Part 1), or off; the instance itself stays as it was received [default: ht]
    #[arg(long, value_name = "KIND", env = "PRECINCT_DERIVE")]
    pub derive: Option<Derive>,
    /// Form of the log on standard error; what is logged is set by `PRECINCT_LOG`, as in `info,server::http=debug`
    #[arg(long, value_name = "FORMAT", env = "PRECINCT_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Form of the log on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// Where the catalog is.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file; in its usual place inside the data directory if no path is given.
    Sqlite(Option<PathBuf>),
    /// A PostgreSQL database, by its URL, which may hold a password.
    Postgres(String),
}

/// Without the URL, for its password's sake.
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres"),
        }
    }
}

/// Settings of the stored data, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSettings {
    /// The data directory.
    pub data: PathBuf,
    /// The catalog.
    pub database: Database,
    /// Folder of objects and indexes if it is not the data directory.
    pub store: Option<PathBuf>,
    /// Bucket of objects and indexes; there is no folder of them then.
    pub bucket: Option<S3Place>,
}

/// Settings of the server, complete and checked.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    pub data: DataSettings,
    pub http: SocketAddr,
    pub jpip_tcp: SocketAddr,
    pub jpip_udp: SocketAddr,
    pub dicom: DicomSettings,
    /// Without a slash at the end.
    pub public_url: Option<String>,
    pub cors_origins: Vec<String>,
    /// Who may connect; empty = anybody (loopback only, or `--insecure`).
    pub http_allow: Vec<Network>,
    pub max_import_bytes: u64,
    pub max_connections: usize,
    pub max_channels: usize,
    pub virtual_precincts: VirtualPrecincts,
    pub derive: Derive,
    pub log_format: LogFormat,
}

/// Settings of the DICOM service, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DicomSettings {
    pub address: SocketAddr,
    pub ae_title: String,
    /// Who may send; empty = anybody (loopback only, or `--insecure`).
    pub allow: Vec<DicomPeer>,
    /// Whom we may call.
    pub destinations: Vec<DicomDestination>,
    /// Which transfer syntaxes are taken of those that are offered.
    pub prefer: Vec<TransferSyntaxWish>,
    pub tls: Option<DicomTls>,
    pub max_associations: usize,
}

impl Default for DicomSettings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 11_112)),
            ae_title: "PRECINCT".to_owned(),
            allow: Vec::new(),
            destinations: Vec::new(),
            prefer: Vec::new(),
            tls: None,
            max_associations: 64,
        }
    }
}

/// The TOML file: every key is a flag name with `_`, and no other key is taken.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSettings {
    data: Option<PathBuf>,
    database: Option<String>,
    store: Option<String>,
    http: Option<SocketAddr>,
    dicom: Option<SocketAddr>,
    jpip_tcp: Option<SocketAddr>,
    jpip_udp: Option<SocketAddr>,
    ae_title: Option<String>,
    #[serde(default)]
    dicom_allow: Vec<DicomPeer>,
    #[serde(default)]
    dicom_destination: Vec<DicomDestination>,
    #[serde(default)]
    dicom_prefer: Vec<TransferSyntaxWish>,
    dicom_tls_cert: Option<PathBuf>,
    dicom_tls_key: Option<PathBuf>,
    dicom_tls_ca: Option<PathBuf>,
    max_associations: Option<usize>,
    public_url: Option<String>,
    #[serde(default)]
    cors_origin: Vec<String>,
    #[serde(default)]
    http_allow: Vec<Network>,
    insecure: Option<bool>,
    max_import_bytes: Option<u64>,
    max_connections: Option<usize>,
    max_channels: Option<usize>,
    virtual_precincts: Option<VirtualPrecincts>,
    derive: Option<Derive>,
    log_format: Option<LogFormat>,
}

impl FileSettings {
    fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the configuration file {} cannot be read", path.display()))?;
        Figment::from(Toml::string(&text)).extract().map_err(|error: figment::Error| {
            // Its own words name the file and the profile in terms of the library.
            let key = if error.path.is_empty() { String::new() } else { error.path.join(".") + ": " };
            anyhow!("the configuration file {} is not right: {key}{}", path.display(), error.kind)
        })
    }
}

impl DataArgs {
    /// The complete settings: flag or environment, then file, then default.
    ///
    /// # Errors
    ///
    /// If the file is unreadable or wrong, or names a database or store of a kind that does not exist.
    pub fn settle(&self) -> anyhow::Result<DataSettings> {
        let file = FileSettings::read(self.config.as_deref())?;
        self.settle_with(&file)
    }

    fn settle_with(&self, file: &FileSettings) -> anyhow::Result<DataSettings> {
        let data = self.data.clone().or_else(|| file.data.clone()).unwrap_or_else(|| PathBuf::from("data"));
        let database = self.database.as_deref().or(file.database.as_deref()).unwrap_or("sqlite");
        let database = database_of(database)?;
        let store = self.store.as_deref().or(file.store.as_deref());
        let (store, bucket) = match store.map(|store| store.strip_prefix("file://").unwrap_or(store)) {
            Some(url) if url.starts_with("s3://") => {
                (None, Some(url.parse::<S3Place>().context("--store takes a folder or s3://bucket/prefix")?))
            }
            Some(store) if store.is_empty() || store.contains("://") => {
                bail!("--store takes a folder or s3://bucket/prefix")
            }
            folder => (folder.map(PathBuf::from), None),
        };
        Ok(DataSettings { data, database, store, bucket })
    }
}

fn database_of(text: &str) -> anyhow::Result<Database> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(Database::Postgres(text.to_owned()));
    }
    let wrong = "--database takes `sqlite`, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`";
    match text.strip_prefix("sqlite").context(wrong)? {
        "" => Ok(Database::Sqlite(None)),
        rest => {
            let path = rest.strip_prefix(':').context(wrong)?;
            let path = path.strip_prefix("//").unwrap_or(path);
            ensure!(!path.is_empty(), wrong);
            Ok(Database::Sqlite(Some(PathBuf::from(path))))
        }
    }
}

impl ServeArgs {
    /// The complete settings: flag or environment, then file, then default.
    ///
    /// # Errors
    ///
    /// If the file is unreadable or wrong, if a value is out of range, or if the address is open to the network
    /// and nothing says to whom.
    pub fn settle(&self) -> anyhow::Result<ServeSettings> {
        let file = FileSettings::read(self.data.config.as_deref())?;
        let http = self.http.or(file.http).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        let insecure = self.insecure.or(file.insecure).unwrap_or(false);
        let http_allow = if self.http_allow.is_empty() { file.http_allow.clone() } else { self.http_allow.clone() };
        let jpip_tcp = self.jpip_tcp.or(file.jpip_tcp).unwrap_or_else(|| SocketAddr::new(http.ip(), 0));
        let jpip_udp = self.jpip_udp.or(file.jpip_udp).unwrap_or_else(|| SocketAddr::new(http.ip(), 0));
        let open = [http, jpip_tcp, jpip_udp].into_iter().find(|address| !is_loopback(address.ip()));
        if let Some(open) = open.filter(|_| http_allow.is_empty() && !insecure) {
            bail!(
                "{open} is open to the network: name who may connect with --http-allow NETWORK (http_allow in the \
                 configuration file), or give --insecure to let anybody"
            );
        }
        let public_url = self.public_url.clone().or_else(|| file.public_url.clone()).map(checked_url).transpose()?;
        let cors = if self.cors_origin.is_empty() { file.cors_origin.clone() } else { self.cors_origin.clone() };
        let cors_origins = cors.into_iter().map(checked_origin).collect::<anyhow::Result<_>>()?;
        let max_connections = self.max_connections.or(file.max_connections).unwrap_or(4096);
        let max_channels = self.max_channels.or(file.max_channels).unwrap_or(20_000);
        ensure!(max_connections > 0 && max_channels > 0, "at least one connection and one channel must be allowed");
        Ok(ServeSettings {
            data: self.data.settle_with(&file)?,
            http,
            jpip_tcp,
            jpip_udp,
            dicom: self.settle_dicom(&file, insecure)?,
            public_url,
            cors_origins,
            http_allow,
            max_import_bytes: self.max_import_bytes.or(file.max_import_bytes).unwrap_or(64 << 30),
            max_connections,
            max_channels,
            virtual_precincts: self.virtual_precincts.or(file.virtual_precincts).unwrap_or_default(),
            derive: self.derive.or(file.derive).unwrap_or_default(),
            log_format: self.log_format.or(file.log_format).unwrap_or_default(),
        })
    }
}

impl ServeArgs {
    fn settle_dicom(&self, file: &FileSettings, insecure: bool) -> anyhow::Result<DicomSettings> {
        let default = DicomSettings::default();
        let address = self.dicom.or(file.dicom).unwrap_or(default.address);
        let allow = if self.dicom_allow.is_empty() { file.dicom_allow.clone() } else { self.dicom_allow.clone() };
        if !is_loopback(address.ip()) && allow.is_empty() && !insecure {
            bail!(
                "{address} is open to the network: name who may send with --dicom-allow TITLE@NETWORK (dicom_allow in \
                 the configuration file), or give --insecure to let anybody"
            );
        }
        let destinations = match self.dicom_destination.as_slice() {
            [] => file.dicom_destination.clone(),
            flags => flags.to_vec(),
        };
        for (at, destination) in destinations.iter().enumerate() {
            let title = &destination.ae_title;
            let is_first = destinations.iter().position(|other| other.ae_title == *title) == Some(at);
            ensure!(is_first, "the DICOM destination {title} is given twice");
        }
        let tls = self.settle_dicom_tls(file)?;
        if let Some(secured) = destinations.iter().find(|destination| destination.is_secured) {
            let can_call = tls.as_ref().is_some_and(|tls| tls.connector.is_some());
            ensure!(can_call, "the DICOM destination {} needs --dicom-tls-cert, -key and -ca", secured.ae_title);
        }
        let prefer = if self.dicom_prefer.is_empty() { file.dicom_prefer.clone() } else { self.dicom_prefer.clone() };
        let ae_title = self.ae_title.clone().or_else(|| file.ae_title.clone()).unwrap_or(default.ae_title);
        let max_associations = self.max_associations.or(file.max_associations).unwrap_or(default.max_associations);
        ensure!(max_associations > 0, "at least one association must be allowed");
        Ok(DicomSettings {
            address,
            ae_title: ae_title_of(&ae_title).map_err(|e| anyhow!(e))?,
            allow,
            destinations,
            prefer,
            tls,
            max_associations,
        })
    }

    fn settle_dicom_tls(&self, file: &FileSettings) -> anyhow::Result<Option<DicomTls>> {
        let certificate = self.dicom_tls_cert.as_ref().or(file.dicom_tls_cert.as_ref());
        let key = self.dicom_tls_key.as_ref().or(file.dicom_tls_key.as_ref());
        let authorities = self.dicom_tls_ca.as_ref().or(file.dicom_tls_ca.as_ref());
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                Ok(Some(DicomTls::load(certificate, key, authorities.map(PathBuf::as_path))?))
            }
            (None, None) if authorities.is_none() => Ok(None),
            _ => bail!("--dicom-tls-cert and --dicom-tls-key go together, and --dicom-tls-ca with them"),
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_error| "not an IP address and a port, as 127.0.0.1:8080 or [::1]:0".to_owned())
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn checked_url(url: String) -> anyhow::Result<String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.context("--public-url begins with http:// or https://")?;
    let plain = rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b',' | b'"' | b'<' | b'>'));
    ensure!(plain && !rest.starts_with('/') && !rest.is_empty(), "--public-url is a host and a path, without a query");
    Ok(url.trim_end_matches('/').to_owned())
}

fn checked_origin(origin: String) -> anyhow::Result<String> {
    let origin = origin.trim_end_matches('/').to_ascii_lowercase();
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let plain = rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'/'));
    ensure!(plain, "--cors-origin is a scheme, a host and perhaps a port, as https://viewer.example:8443");
    Ok(origin)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn settle(args: ServeArgs, toml: &str) -> anyhow::Result<ServeSettings> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(toml.as_bytes()).unwrap();
        let data = DataArgs { config: Some(file.path().to_owned()), ..args.data };
        ServeArgs { data, ..args }.settle()
    }

    #[test]
    fn defaults_hold_where_nothing_is_said() {
        let settings = settle(ServeArgs::default(), "").unwrap();
        assert_eq!(settings.http, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(
            (settings.jpip_tcp, settings.jpip_udp),
            ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap())
        );
        assert_eq!(
            settings.data,
            DataSettings { data: "data".into(), database: Database::Sqlite(None), store: None, bucket: None }
        );
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let args = ServeArgs { http: Some("127.0.0.1:1".parse().unwrap()), ..ServeArgs::default() };
        let settings = settle(args, "http = \"127.0.0.1:2\"\ndata = \"/d\"\nlog_format = \"json\"").unwrap();
        assert_eq!(settings.http.port(), 1);
        assert_eq!(settings.data.data, Path::new("/d"));
        assert_eq!(settings.log_format, LogFormat::Json);
    }

    #[test]
    fn an_unknown_key_of_the_file_is_an_error_that_names_it() {
        let error = settle(ServeArgs::default(), "htpp = \"127.0.0.1:2\"").unwrap_err();
        assert!(format!("{error:#}").contains("htpp"), "{error:#}");
        let error = settle(ServeArgs::default(), "max_channels = \"many\"").unwrap_err();
        assert!(format!("{error:#}").contains("max_channels"), "{error:#}");
        assert!(settle(ServeArgs::default(), "http = ").is_err());
    }

    #[test]
    fn an_address_open_to_the_network_needs_a_word() {
        let open = || ServeArgs { http: Some("0.0.0.0:80".parse().unwrap()), ..ServeArgs::default() };
        assert!(settle(open(), "").unwrap_err().to_string().contains("--insecure"));
        settle(open(), "insecure = true").unwrap();
        let settings = settle(open(), "http_allow = [\"10.0.0.0/8\"]").unwrap();
        assert_eq!(settings.http_allow.len(), 1);
        for args in [
            ServeArgs { jpip_tcp: Some("0.0.0.0:0".parse().unwrap()), ..ServeArgs::default() },
            ServeArgs { jpip_udp: Some("[::]:0".parse().unwrap()), ..ServeArgs::default() },
        ] {
            assert!(settle(args.clone(), "").unwrap_err().to_string().contains("--insecure"));
            settle(args, "http_allow = [\"10.0.0.0/8\"]").unwrap();
        }
        let v6 = ServeArgs { http: Some("[::1]:80".parse().unwrap()), ..ServeArgs::default() };
        settle(v6, "").unwrap();
    }

    #[test]
    fn a_dicom_address_open_to_the_network_needs_a_word_too() {
        let open = || ServeArgs { dicom: Some("0.0.0.0:104".parse().unwrap()), ..ServeArgs::default() };
        assert!(settle(open(), "").unwrap_err().to_string().contains("--dicom-allow"));
        settle(open(), "insecure = true").unwrap();
        let settings = settle(open(), "dicom_allow = [\"CT1@10.0.0.0/8\"]\nae_title = \" ARCHIVE \"").unwrap();
        assert_eq!((settings.dicom.allow.len(), settings.dicom.ae_title.as_str()), (1, "ARCHIVE"));
        assert_eq!(settle(ServeArgs::default(), "").unwrap().dicom, DicomSettings::default());
        assert!(settle(ServeArgs::default(), "ae_title = \"far too long for one\"").is_err());
    }

    #[test]
    fn dicom_destinations_are_tables_of_the_file_or_flags() {
        let toml = "[[dicom_destination]]\nae_title = \"SINK\"\naddress = \"pacs.example:104\"\n\
                    [[dicom_destination]]\nae_title = \"OTHER\"\naddress = \"[::1]:11112\"";
        let settings = settle(ServeArgs::default(), toml).unwrap();
        let titles: Vec<_> = settings.dicom.destinations.iter().map(|entry| entry.ae_title.as_str()).collect();
        assert_eq!(titles, ["SINK", "OTHER"]);
        let args = ServeArgs { dicom_destination: vec!["A=h:1".parse().unwrap()], ..ServeArgs::default() };
        assert_eq!(settle(args, toml).unwrap().dicom.destinations.len(), 1);
        let twice = toml.replace("OTHER", "SINK");
        assert!(settle(ServeArgs::default(), &twice).unwrap_err().to_string().contains("twice"));
        let wrong = "[[dicom_destination]]\nae_title = \"SINK\"\naddress = \"pacs\"";
        assert!(settle(ServeArgs::default(), wrong).is_err());
    }

    #[test]
    fn only_what_exists_is_taken_as_database_and_store() {
        let with = |database: &str, store: &str| {
            let data = DataArgs { database: Some(database.into()), store: Some(store.into()), ..DataArgs::default() };
            data.settle()
        };
        assert_eq!(with("sqlite:/x/c.db", "file:///s").unwrap().database, Database::Sqlite(Some("/x/c.db".into())));
        let remote = with("postgres://user:secret@h/d", "s").unwrap();
        assert_eq!(remote.database, Database::Postgres("postgres://user:secret@h/d".into()));
        assert!(!format!("{remote:?}").contains("secret"));
        for wrong in ["mysql://h/d", "sqlite:", "sqlitefile", "postgres"] {
            assert!(with(wrong, "s").is_err(), "{wrong}");
        }
        let bucket = with("sqlite", "s3://bucket/a/b").unwrap();
        assert_eq!((bucket.store, bucket.bucket.unwrap().to_string()), (None, "s3://bucket/a/b".to_owned()));
        for (store, word) in [("s3://ab", "3 to 63"), ("gs://bucket", "s3://"), ("file://", "folder"), ("", "folder")] {
            let refused = format!("{:#}", with("sqlite", store).unwrap_err());
            assert!(refused.contains("--store") && refused.contains(word), "{refused}");
        }
    }
}
