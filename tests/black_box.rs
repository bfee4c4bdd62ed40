//! The built binary seen from outside: sockets, exit statuses, files, signals. Nothing of the crates is called but what
//! makes test data, and the TLS of a test's own connections.

#[path = "black_box/backup.rs"]
mod backup;
#[path = "black_box/captures.rs"]
mod captures;
#[path = "black_box/client_points.rs"]
mod client_points;
#[path = "black_box/client_streams.rs"]
mod client_streams;
#[path = "black_box/coding.rs"]
mod coding;
#[path = "black_box/command_line.rs"]
mod command_line;
#[path = "black_box/crash.rs"]
mod crash;
#[path = "black_box/databases.rs"]
mod databases;
#[path = "black_box/deletion.rs"]
mod deletion;
#[path = "black_box/derived.rs"]
mod derived;
#[path = "black_box/dicom_commitment.rs"]
mod dicom_commitment;
#[path = "black_box/dicom_in.rs"]
mod dicom_in;
#[path = "black_box/dicom_out.rs"]
mod dicom_out;
#[path = "black_box/dicom_queries.rs"]
mod dicom_queries;
#[path = "black_box/dicom_tls.rs"]
mod dicom_tls;
#[path = "black_box/frames.rs"]
mod frames;
#[path = "black_box/hostile_files.rs"]
mod hostile_files;
#[path = "black_box/house.rs"]
mod house;
#[path = "black_box/http2.rs"]
mod http2;
#[path = "black_box/http_faults.rs"]
mod http_faults;
#[path = "black_box/jpt.rs"]
mod jpt;
#[path = "black_box/layouts.rs"]
mod layouts;
#[path = "black_box/listing.rs"]
mod listing;
#[path = "black_box/media.rs"]
mod media;
#[path = "black_box/metadata.rs"]
mod metadata;
#[path = "black_box/openapi.rs"]
mod openapi;
#[path = "black_box/outgoing.rs"]
mod outgoing;
#[path = "black_box/peers.rs"]
mod peers;
#[path = "black_box/pictures.rs"]
mod pictures;
#[path = "black_box/process.rs"]
mod process;
#[path = "black_box/scu.rs"]
mod scu;
#[path = "black_box/searches.rs"]
mod searches;
#[path = "black_box/series.rs"]
mod series;
#[path = "black_box/sessions.rs"]
mod sessions;
#[path = "black_box/stow.rs"]
mod stow;
#[path = "black_box/stream.rs"]
mod stream;
#[path = "black_box/text_search.rs"]
mod text_search;
#[path = "black_box/transcode.rs"]
mod transcode;
#[path = "black_box/transports.rs"]
mod transports;
#[path = "black_box/upkeep.rs"]
mod upkeep;
#[path = "black_box/wado.rs"]
mod wado;
#[path = "black_box/whole_images.rs"]
mod whole_images;
