//! `precinct serve`.

use std::{io::Write as _, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Stored},
    config::ServeArgs,
    dimse,
    http::{Service, listener},
    listening::listen,
    telemetry, transport,
};

/// How long requests and indexing may go on after the first signal.
const DRAIN: Duration = Duration::from_secs(30);

/// Serve a data directory over HTTP, JPIP and DICOM
///
/// Everything that was imported or sent by C-STORE is listed at `/`, and each target can be asked for at `/jpip`.
/// Standard output carries one line, `ready http=ADDR dicom=ADDR jpip-tcp=ADDR jpip-udp=ADDR`, once requests are accepted; the log goes to standard
/// error. SIGTERM and SIGINT let running requests finish (30 s at most); a second one ends at once.
#[derive(Debug, Args)]
#[command(after_help = "Each setting: flag, then environment variable, then configuration file, then default.\n\n\
    Examples:\n  \
    precinct serve                                         ./data at http://127.0.0.1:8080/\n  \
    precinct serve --data /srv/images --http 127.0.0.1:0   on a free port; the ready line names it\n  \
    precinct serve --dicom 0.0.0.0:104 --ae-title ARCHIVE --dicom-allow CT1@10.1.0.0/16\n  \
    precinct serve --http 0.0.0.0:80 --http-allow 10.0.0.0/8 --public-url https://images.example/precinct\n  \
    PRECINCT_LOG=debug precinct serve --config /etc/precinct.toml --log-format json")]
pub(super) struct Serve {
    #[command(flatten)]
    args: ServeArgs,
}

/// Serves until a signal comes.
pub(super) fn run(serve: &Serve) -> anyhow::Result<ExitCode> {
    let settings = serve.args.settle()?;
    telemetry::start_logging(settings.log_format, "info")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    let done = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
        let stored = Stored::open(&settings.data).await?;
        let http = settings.http;
        let listener = listen(http).with_context(|| format!("{http} cannot be listened on"))?;
        let address = listener.local_addr().context("the address is not known")?;
        let dicom = settings.dicom.address;
        let dicom = listen(dicom).with_context(|| {
            format!("{dicom} cannot be listened on for DICOM; --dicom takes another address, with port 0 any free port")
        })?;
        let dicom_address = dicom.local_addr().context("the DICOM address is not known")?;
        let (jpip_tcp, jpip_udp) = (settings.jpip_tcp, settings.jpip_udp);
        let connections = listen(jpip_tcp)
            .with_context(|| format!("{jpip_tcp} cannot be listened on for JPIP; --jpip-tcp takes another address"))?;
        let datagrams = transport::udp::Socket::bind(jpip_udp)
            .await
            .with_context(|| format!("{jpip_udp} cannot be bound for JPIP; --jpip-udp takes another address"))?;
        let (jpip_tcp, datagrams) =
            (connections.local_addr().context("the address is not known")?, Arc::new(datagrams));
        let jpip_udp = datagrams.address();
        let app = App::new(settings, stored, address);
        app.transports().offer_tcp(jpip_tcp);
        app.transports().offer_udp(Arc::clone(&datagrams));
        let service = Arc::new(Service::new(Arc::clone(&app)).await?);
        app.start();
        let drain = CancellationToken::new();
        let serving = tokio::spawn(listener::serve(listener, service, drain.clone()));
        let storing = tokio::spawn(dimse::serve(dicom, Arc::clone(&app), drain.clone()));
        let by_tcp = tokio::spawn(transport::tcp::serve(connections, Arc::clone(&app), drain.clone()));
        let by_udp = tokio::spawn(transport::udp::serve(datagrams, Arc::clone(&app), drain.clone()));
        announce(&format!("ready http={address} dicom={dicom_address} jpip-tcp={jpip_tcp} jpip-udp={jpip_udp}"))?;
        let ae_title = &app.settings().dicom.ae_title;
        tracing::info!(http.address = %address, dicom.address = %dicom_address, dicom.ae_title = ae_title, "serving");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("finishing running requests");
        app.start_draining();
        drain.cancel();
        let ended = async {
            // A connection that panicked has been logged; the others have ended all the same.
            let _all = tokio::join!(serving, storing, by_tcp, by_udp);
            app.close().await;
        };
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep(DRAIN) => tracing::warn!("requests or indexing were still running after 30 s"),
            _ = terminate.recv() => tracing::warn!("ended by a second signal"),
            _ = interrupt.recv() => tracing::warn!("ended by a second signal"),
        }
        anyhow::Ok(ExitCode::SUCCESS)
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

fn announce(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("standard output is closed")
}
