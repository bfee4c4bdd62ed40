//! `precinct fetch URL`: a JPIP client that writes what a window shows.

mod auxiliary;
mod conversation;
mod exchange;
mod jp2;
mod output;
mod picture;
mod region;
mod trace;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use codestream::MainHeader;
use jpip::client::{ReassembleOptions, RequestBuilder, reassemble};
use jpip::request::channel::Transport;
use jpip::request::return_type::StreamType;
use jpip::{BinKey, CodestreamId};
use reqwest::Url;

use self::conversation::{Completion, Conversation};
use self::output::{Form, OutputFile};
use self::region::Region;
use self::trace::Trace;

/// Fetch a window of an image by JPIP and write it to a file
///
/// Fields that the URL already has (`?target=…&fsiz=…&layers=…`) are kept; the flags override them. Without
/// `--fsiz` the whole frame is fetched at full size.
#[derive(Debug, Args)]
#[command(after_help = "What -o writes, by its ending:\n  \
    .j2k        the codestream put together from what arrived; packets that did not arrive are empty\n  \
    .jp2        the same in a JP2 file, with the header boxes that the server sent\n  \
    .png        1 to 4 components of up to 16 bits; deeper than 8 bits gives a 16-bit file\n  \
    .pgm, .ppm  1 or 3 components of up to 16 bits; deeper than 8 bits gives two bytes a sample, big-endian\n  \
    .raw        the samples and nothing else, row by row, little-endian, 1, 2 or 4 bytes each by the deepest\n              \
    component; interleaved, or one plane after the other where components differ in size\n\n\
    Samples keep their values: a 12-bit image fills the lower 12 bits of a 16-bit PNG. Signed samples are as they\n\
    are in .raw (two's complement), and are raised by half their range in .png, .pgm and .ppm (-32768 becomes 0).\n\
    Sub-sampled components are repeated to full size in .png and .ppm. No colour conversion is done beyond the\n\
    codestream's own component transform.\n\n\
    Exit status: 0 the window is complete; 3 it is not (a len= in the URL was reached, or the server stopped), what\n\
    arrived was written; 1 error.\n\n\
    Examples:\n  \
    precinct fetch http://127.0.0.1:8080/jpip/scan.j2k -o scan.png\n  \
    precinct fetch http://127.0.0.1:8080/jpip/with-regions.jp2 --roi island -o island.png\n  \
    precinct fetch 'http://127.0.0.1:8080/jpip?target=1.2.3.4' --stream 7 --fsiz 512,512 -o frame7.pgm\n  \
    precinct fetch http://127.0.0.1:8080/jpip/scan.j2k --transport http-udp -o scan.png\n  \
    precinct fetch http://127.0.0.1:8080/jpip/wsi.jp2 --fsiz 4096,4096 --roff 1000,1000 --rsiz 256,256 -o part.ppm --trace")]
pub(super) struct FetchArgs {
    /// Address of the image: `/jpip/NAME` or `/jpip?target=NAME` of a server, with any JPIP fields
    url: String,
    /// Size to which the whole image is scaled; the server takes the next resolution level
    #[arg(long, value_name = "W,H[,round-down|round-up|closest]")]
    fsiz: Option<String>,
    /// Upper left corner of the wanted region, in the frame of --fsiz
    #[arg(long, value_name = "X,Y")]
    roff: Option<String>,
    /// Size of the wanted region, in the frame of --fsiz
    #[arg(long, value_name = "W,H")]
    rsiz: Option<String>,
    /// Codestream: a DICOM frame counts from 1, a codestream of a file from 0
    #[arg(long, value_name = "N")]
    stream: Option<u64>,
    /// Most quality layers
    #[arg(long, value_name = "N")]
    layers: Option<u32>,
    /// Named region of interest, at full size, in place of --fsiz, --roff and --rsiz
    #[arg(long, value_name = "NAME")]
    roi: Option<String>,
    /// Fetch a JPT-stream (whole tiles) instead of a JPP-stream (precincts)
    #[arg(long)]
    jpt: bool,
    /// Open a session, so that the server remembers what it has sent
    #[arg(long)]
    session: bool,
    /// How the data come: in the answers to the requests, over a connection of their own, or in datagrams; the last two
    /// open a session
    #[arg(long, value_name = "NAME", value_parser = ["http", "http-tcp", "http-udp"])]
    transport: Option<String>,
    /// File to write: .j2k, .jp2, .png, .pgm, .ppm or .raw
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print every request, answer and message on standard output
    #[arg(long)]
    trace: bool,
}

/// Fetches the window and writes it.
///
/// # Errors
///
/// Whatever keeps the window from being asked for, answered or written; a window that is only incomplete is
/// an exit status.
pub(super) async fn run(args: FetchArgs) -> anyhow::Result<ExitCode> {
    let output = args.output.clone().map(OutputFile::new).transpose()?;
    let mut url = Url::parse(&args.url).with_context(|| format!("{} is no URL", args.url))?;
    let mut request = args.request(url.query().unwrap_or_default());
    url.set_query(None);
    url.set_fragment(None);
    let wanted = jpip::Request::parse(request.to_query().as_bytes(), None)?;
    let region = wanted.roi.as_deref();

    let transport = match args.transport.as_deref() {
        Some("http-tcp") => Some(Transport::HttpTcp),
        Some("http-udp") => Some(Transport::HttpUdp),
        _ => (args.session || request.has("cnew")).then_some(Transport::Http),
    };
    let mut conversation = Conversation::new(url, transport, Trace::new(args.trace))?;
    if wanted.fsiz.is_none() && region.is_none() {
        let id = wanted_codestream(&wanted);
        let size = full_size(&mut conversation, &request, id).await?;
        request.set_pair("fsiz", size);
    }
    let completion = conversation.fetch(&request).await?;
    conversation.close(&request).await;
    if let Some(name) = region {
        let is_known = conversation.window().roi.as_deref().is_some_and(|answer| !answer.starts_with("roi=no-roi"));
        anyhow::ensure!(is_known || wanted.fsiz.is_some(), "the server knows no region \"{name}\" of this image");
        if !is_known {
            eprintln!(
                "precinct fetch: the server knows no region \"{name}\"; the window that was asked for is fetched"
            );
        }
    }

    let wanted = jpip::Request::parse(request.to_query().as_bytes(), None)?;
    if let Completion::Incomplete(reason) = &completion {
        eprintln!("precinct fetch: the window is incomplete: {reason}");
    }
    match output {
        Some(output) => write(&conversation, &wanted, output).await?,
        None if std::io::stdout().is_terminal() && !args.trace => {
            eprintln!("{} bytes received; name a file with -o to keep them", conversation.received());
        }
        None => {}
    }
    Ok(match completion {
        Completion::Complete => ExitCode::SUCCESS,
        Completion::Incomplete(_) => ExitCode::from(INCOMPLETE),
    })
}

impl FetchArgs {
    /// The fields of the URL with those of the flags over them.
    fn request(&self, query: &str) -> RequestBuilder {
        let mut request = RequestBuilder::from_query(query);
        let pairs = [("fsiz", &self.fsiz), ("roff", &self.roff), ("rsiz", &self.rsiz), ("roi", &self.roi)];
        for (name, value) in pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            request.set(name, value);
        }
        let numbers = [("stream", self.stream), ("layers", self.layers.map(u64::from))];
        for (name, value) in numbers.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            request.set(name, &value.to_string());
        }
        // This client reads streams of messages only, whatever else the URL asks for.
        let asked = jpip::Request::parse(request.to_query().as_bytes(), None).unwrap_or_default();
        let stream = match asked.stream_type() {
            Ok(stream) if !self.jpt || stream.is_jpt() => stream,
            _ if self.jpt => StreamType::Jpt { extended: false },
            _ => StreamType::default(),
        };
        request.set("type", stream.content_type().trim_start_matches("image/"));
        request
    }
}

/// The codestream whose picture is written: the first one asked for.
fn wanted_codestream(wanted: &jpip::Request) -> CodestreamId {
    CodestreamId(wanted.stream.first().map_or(0, |range| range.range.first))
}

/// Asks for the headers alone and returns the size of the image.
async fn full_size(
    conversation: &mut Conversation,
    request: &RequestBuilder,
    id: CodestreamId,
) -> anyhow::Result<(u32, u32)> {
    let mut headers_only = request.clone();
    headers_only.remove("roff").remove("rsiz").remove("len");
    let completion = conversation.fetch(&headers_only).await?;
    let Some(header) = main_header(conversation, id)? else {
        match completion {
            Completion::Incomplete(reason) => anyhow::bail!("the main header did not arrive: {reason}"),
            Completion::Complete => anyhow::bail!("the server sent no main header of codestream {}", id.0),
        }
    };
    Ok(header.siz().reduced_size(0))
}

fn main_header(conversation: &Conversation, id: CodestreamId) -> anyhow::Result<Option<MainHeader>> {
    let Some(bin) = conversation.store().bin(&BinKey::main_header(id)).filter(|bin| bin.is_complete()) else {
        return Ok(None);
    };
    let (header, _) = MainHeader::parse(&bin.prefix(), &codestream::Limits::default())?;
    Ok(Some(header))
}

async fn write(conversation: &Conversation, wanted: &jpip::Request, output: OutputFile) -> anyhow::Result<()> {
    let id = wanted_codestream(wanted);
    let header = main_header(conversation, id)?;
    let header = header.with_context(|| format!("the main header of codestream {} did not arrive", id.0))?;
    let codestream = reassemble(conversation.store(), id, &ReassembleOptions::default())?.codestream;
    let bytes = match output.form() {
        Form::Codestream => codestream,
        Form::Jp2 => jp2::wrap(conversation.store(), &header, &codestream)?,
        Form::Pixels(form) => {
            let region = Region::served(wanted, conversation.window(), &header)?;
            ensure_decodable(&header, &region)?;
            // Decoding takes seconds for a large window; the runtime's threads are not for that.
            tokio::task::spawn_blocking(move || {
                let picture = picture::decode(&codestream, header.siz(), &region)?;
                form.encode(&picture)
            })
            .await??
        }
    };
    output.write(&bytes).await
}

/// Refuses a size that OpenJPEG cannot decode: it leaves out resolution levels of all components or of none.
fn ensure_decodable(header: &MainHeader, region: &Region) -> anyhow::Result<()> {
    let components = 0..header.siz().component_count();
    let levels = components.map(|component| header.coding().component(component).levels).min().unwrap_or(0);
    anyhow::ensure!(
        region.discard_levels <= levels,
        "a component of this image has only {levels} decomposition levels, so it cannot be decoded at 1/{} of its \
         size; ask for a larger --fsiz, or write .j2k",
        1u64 << region.discard_levels.min(32)
    );
    Ok(())
}

/// Exit status of a window that could not be completed.
const INCOMPLETE: u8 = 3;
