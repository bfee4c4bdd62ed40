//! Stored instances on their way out, whoever asks for them: what can be made of one, and its bytes.

use std::io;

use catalog::{InstanceRow, State};
use codestream::Limits;
use dicom_bridge::outgoing::{OutgoingForm, OutgoingObject};
use dicom_bridge::referenced::Referable;
use dicom_bridge::{ScanLimits, TransferSyntax, scan};
use futures_util::stream::StreamExt as _;

use crate::app::App;
use crate::storage::StorageError;
use crate::written::{Bytestream, written};

/// What a JPIP Referenced object can say of the instance; `None` if there can be none, or it cannot be read now.
pub(crate) async fn referable(app: &App, row: &InstanceRow) -> Option<Referable> {
    let stored = TransferSyntax::from_uid(&row.transfer_syntax_uid);
    if row.state == State::Unservable || !stored.is_encapsulated() {
        return None;
    }
    let (storage, key) = (app.storage().clone(), row.object_key);
    let work = tokio::task::spawn_blocking(move || {
        let object = storage.open_object(&key).ok()?;
        let scanned = scan(&*object, &ScanLimits::default()).ok()?;
        Referable::of_stored(&*object, &scanned, &Limits::default()).ok()
    });
    work.await.ok().flatten()
}

/// The instance as a file in this form.
///
/// # Errors
///
/// - [`StorageError`] if the object is not there; what fails later comes in the stream.
pub(crate) async fn file(app: &App, row: &InstanceRow, form: OutgoingForm) -> Result<Bytestream, StorageError> {
    if matches!(form, OutgoingForm::AsStored(_)) {
        let (_len, stream) = app.storage().stream_object(&row.object_key).await?;
        return Ok(stream.map(|bytes| bytes.map_err(io::Error::other)).boxed());
    }
    let (class, instance) = (row.sop_class_uid.clone(), row.sop_instance_uid.clone());
    Ok(bytes_of(app, row, form, move |object, out| object.write_file(&class, &instance, out)))
}

/// The data set of the instance in this form, as a message has it.
///
/// # Errors
///
/// - [`io::Error`] if the object cannot be read; what fails later comes in the stream.
pub(crate) async fn data_set(app: &App, row: &InstanceRow, form: OutgoingForm) -> io::Result<Bytestream> {
    let (storage, key, asked) = (app.storage().clone(), row.object_key, form.clone());
    let work = tokio::task::spawn_blocking(move || {
        let source = storage.open_object(&key).map_err(io::Error::other)?;
        let limits = &ScanLimits::default();
        let object = OutgoingObject { source: &*source, form: &asked, pixel_data_provider_url: "", limits };
        let range = object.stored_data_set().map_err(io::Error::other)?;
        Ok::<_, io::Error>((source, range))
    });
    // What lies there as it goes out needs no thread while it does.
    match work.await.map_err(io::Error::other)?? {
        (source, Some(range)) => Ok(source.stream(vec![range]).boxed()),
        (_, None) => Ok(bytes_of(app, row, form, |object, out| object.write_data_set(out))),
    }
}

fn bytes_of(
    app: &App,
    row: &InstanceRow,
    form: OutgoingForm,
    write: impl FnOnce(&OutgoingObject<'_>, &mut dyn io::Write) -> Result<(), dicom_bridge::ObjectError> + Send + 'static,
) -> Bytestream {
    let (storage, key, url) = (app.storage().clone(), row.object_key, app.jpip_url(&row.sop_instance_uid));
    written(move |out| -> anyhow::Result<()> {
        let source = storage.open_object(&key)?;
        let limits = &ScanLimits::default();
        let object = OutgoingObject { source: &*source, form: &form, pixel_data_provider_url: &url, limits };
        Ok(write(&object, out)?)
    })
}
