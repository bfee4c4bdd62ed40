//! All attributes of instances, bulk data but named [PS3.18 10.4.1.1.2].

use std::{
    io::{self, Write},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::Response,
};
use bytes::Bytes;
use catalog::InstanceRow;
use dicom_bridge::{
    ScanLimits,
    model::{ModelForm, write_model},
};
use futures_util::stream::{self, StreamExt as _};
use http::HeaderMap;

use super::instances::{Instances, Places, instance_url, read};
use crate::{
    app::App,
    http::{
        dicomweb::{
            accept::{Accepted, JSON, XML},
            body::{self, Part},
        },
        error::Problem,
    },
};

/// Objects that are read at the same time for one answer.
const AT_ONCE: usize = 4;

/// Bytes of the attributes of one instance; one that has more is not an object that a viewer could show.
const MAX_BYTES: usize = 64 << 20;

/// `GET …/metadata`: an array of DICOM JSON, or XML in a body of several parts.
pub(super) async fn retrieve(
    State(app): State<Arc<App>>,
    places: Places,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = Instances::find(&app, &read(places)?).await?;
    let form = Accepted::of(&headers, query.as_deref()).model_form()?;
    let models = found.stream().map(move |row| {
        let app = Arc::clone(&app);
        async move {
            let row = row.map_err(|_logged| io::Error::other("the catalog does not answer"))?;
            let location = instance_url(&app, &row);
            let bytes = model(&app, row, form, format!("{location}/bulkdata/")).await?;
            Ok::<_, io::Error>((location, bytes))
        }
    });
    let models = models.buffered(AT_ONCE);
    match form {
        ModelForm::Json => {
            let mut divider = "[";
            let pieces = models.map(Some).chain(stream::iter([None])).map(move |model| match model {
                Some(model) => model.map(|(_, bytes)| {
                    let before = std::mem::replace(&mut divider, ",\n");
                    Bytes::from([before.as_bytes(), &bytes].concat())
                }),
                None => Ok(Bytes::from_static(b"]")),
            });
            body::response(JSON, Body::from_stream(pieces))
        }
        ModelForm::Xml => {
            let parts = models.map(|model| {
                let (location, bytes) = model?;
                let bytes = stream::iter([Ok(Bytes::from(bytes))]).boxed();
                Ok(Part { content_type: XML.to_owned(), location, bytes })
            });
            body::multipart(XML, parts.boxed())
        }
    }
}

async fn model(app: &App, row: InstanceRow, form: ModelForm, bulk_base: String) -> io::Result<Vec<u8>> {
    let storage = app.storage().clone();
    let work = tokio::task::spawn_blocking(move || {
        let object = storage.open_object(&row.object_key).map_err(io::Error::other)?;
        let mut out = Bounded(Vec::new());
        write_model(&*object, &ScanLimits::default(), form, &bulk_base, &mut out).map_err(io::Error::other)?;
        Ok(out.0)
    });
    let written = work.await.map_err(io::Error::other)?;
    written.inspect_err(|error: &io::Error| tracing::error!(%error, "a stored object cannot be read for a client"))
}

/// Bytes up to a limit.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MAX_BYTES.saturating_sub(self.0.len()) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
