//! One C-STORE that we ask for: the announcement, the data set as it is read, the response.

use bytes::Bytes;
use catalog::InstanceRow;
use dicom_bridge::dimse::StoreAnnouncement;
use futures_util::StreamExt as _;

use super::link::{Break, Link};
use super::outgoing_form::OutgoingForm;

/// Sends an instance; the status that the peer answers with.
///
/// # Errors
///
/// If the association breaks off. An object that cannot be read to its end breaks it off, too: half a data set cannot
/// be taken back.
pub(super) async fn send(
    link: &mut Link,
    instance: &InstanceRow,
    form: OutgoingForm,
    originator: Option<(&str, u16)>,
) -> Result<u16, Break> {
    let OutgoingForm { context, mut data_set } = form;
    link.association().store(
        context,
        &StoreAnnouncement {
            sop_class_uid: &instance.sop_class_uid,
            sop_instance_uid: &instance.sop_instance_uid,
            originator,
        },
    );
    // The last piece is marked as such, so each is held back until the next one is there.
    let mut held: Option<Bytes> = None;
    while let Some(piece) = data_set.next().await {
        pass_on(link, context, &mut held, piece?).await?;
    }
    link.association().send_data(context, &held.unwrap_or_default(), true);
    link.flush().await?;
    link.response().await
}

async fn pass_on(link: &mut Link, context: u8, held: &mut Option<Bytes>, next: Bytes) -> Result<(), Break> {
    if let Some(piece) = held.replace(next) {
        link.association().send_data(context, &piece, false);
        link.flush().await?;
    }
    Ok(())
}
