//! The sub-operations of a retrieval: one instance after the other, counted, and given up when the peer cancels.

use std::collections::VecDeque;

use catalog::InstanceRow;
use dicom_bridge::dimse::{Answer, Progress, Request, Status};
use dicom_bridge::write::NewAttributes;

use crate::app::App;
use crate::dimse::link::{Break, Link};
use crate::dimse::outgoing_form::{Unsendable, outgoing_form};
use crate::dimse::sending::send;

/// What is left to be sent, and what became of the rest.
pub(super) struct SubOperations<'a> {
    app: &'a App,
    request: &'a Request,
    waiting: VecDeque<InstanceRow>,
    completed: u16,
    warning: u16,
    failed: Vec<String>,
    is_cancelled: bool,
}

/// On which association instances go out.
pub(super) enum Carrier<'a> {
    /// That of the request: a C-GET.
    Same,
    /// Another one, at the wish of this peer: a C-MOVE.
    Other { link: &'a mut Link, originator: (&'a str, u16) },
}

impl<'a> SubOperations<'a> {
    pub(super) fn new(app: &'a App, request: &'a Request, instances: Vec<InstanceRow>) -> Self {
        let waiting = instances.into();
        Self { app, request, waiting, completed: 0, warning: 0, failed: Vec::new(), is_cancelled: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &InstanceRow> {
        self.waiting.iter()
    }

    /// Counts all that is left as failed.
    pub(super) fn give_up(&mut self) {
        self.failed.extend(self.waiting.drain(..).map(|instance| instance.sop_instance_uid));
    }

    /// Sends one instance after the other and says how far it has come. When the other association breaks off, what is
    /// left has failed.
    ///
    /// # Errors
    ///
    /// If the association of the request breaks off.
    pub(super) async fn run(&mut self, link: &mut Link, mut carrier: Carrier<'_>) -> Result<(), Break> {
        while let Some(instance) = self.waiting.pop_front() {
            if link.is_cancelled().await? {
                self.waiting.push_front(instance);
                self.is_cancelled = true;
                return Ok(());
            }
            let sent = match &mut carrier {
                Carrier::Same => self.send_one(link, &instance, None).await.map_err(|reason| (reason, true)),
                Carrier::Other { link: other, originator } => {
                    self.send_one(other, &instance, Some(*originator)).await.map_err(|reason| (reason, false))
                }
            };
            match sent {
                Ok(()) => {}
                Err((reason, true)) => return Err(reason),
                Err((reason, false)) => {
                    tracing::warn!(%reason, left = self.waiting.len(), "the association with a destination broke off");
                    self.failed.push(instance.sop_instance_uid);
                    self.give_up();
                    return Ok(());
                }
            }
            if !self.waiting.is_empty() {
                let progress = Some(self.progress());
                link.association().answer(self.request, &Answer { progress, ..Answer::of(Status::Pending) });
                link.flush().await?;
            }
        }
        Ok(())
    }

    async fn send_one(
        &mut self,
        link: &mut Link,
        instance: &InstanceRow,
        originator: Option<(&str, u16)>,
    ) -> Result<(), Break> {
        let uid = || instance.sop_instance_uid.clone();
        let form = match outgoing_form(self.app, instance, link.association().contexts()).await {
            Ok(form) => form,
            Err(Unsendable::NotTaken) => {
                tracing::debug!("an instance is in no transfer syntax that the peer takes");
                self.failed.push(uid());
                return Ok(());
            }
            Err(reason) => {
                tracing::error!(object.key = %instance.object_key, %reason, "an instance cannot be sent");
                self.failed.push(uid());
                return Ok(());
            }
        };
        match send(link, instance, form, originator).await? {
            0 => self.completed = self.completed.saturating_add(1),
            // Coerced, discarded elements, not as its class says: it is there all the same [PS3.4 B.2.3].
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => self.warning = self.warning.saturating_add(1),
            status => {
                tracing::warn!(peer.address = %link.address(), status, "a peer did not take an instance");
                self.failed.push(uid());
            }
        }
        Ok(())
    }

    /// The last response.
    pub(super) async fn finish(self, link: &mut Link) -> Result<(), Break> {
        self.finish_with(link, None).await
    }

    /// The last response, with a comment.
    pub(super) async fn finish_with(self, link: &mut Link, comment: Option<&str>) -> Result<(), Break> {
        let progress = self.progress();
        let status = match (self.is_cancelled, progress.failed, progress.completed + progress.warning) {
            (true, _, _) => Status::Cancelled,
            (false, 0, _) => Status::Success,
            (false, _, 0) => Status::CannotPerformSubOperations,
            (false, _, _) => Status::SubOperationsFailed,
        };
        let Progress { completed, failed, warning, remaining } = progress;
        tracing::info!(
            peer.address = %link.address(), status = status.code(), completed, failed, warning, remaining, "retrieval"
        );
        let data_set = failed_list(&self.failed, &self.request.transfer_syntax_uid);
        let answer = Answer { status, comment, progress: Some(progress), data_set: data_set.as_deref() };
        link.association().answer(self.request, &answer);
        Ok(link.flush().await?)
    }

    fn progress(&self) -> Progress {
        let count = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        Progress {
            remaining: count(self.waiting.len()),
            completed: self.completed,
            failed: count(self.failed.len()),
            warning: self.warning,
        }
    }
}

/// Failed SOP Instance UID List (0008,0058), as many of them as a value of VR UI has room for.
fn failed_list(failed: &[String], transfer_syntax_uid: &str) -> Option<Vec<u8>> {
    if failed.is_empty() {
        return None;
    }
    let mut list = String::new();
    for uid in failed {
        if list.len() + 1 + uid.len() > MAX_LIST {
            break;
        }
        if !list.is_empty() {
            list.push('\\');
        }
        list.push_str(uid);
    }
    let mut attributes = NewAttributes::new();
    attributes.put(0x0008_0058, "UI", &list);
    // The transfer syntax is one that was negotiated: it can be written.
    attributes.to_data_set(transfer_syntax_uid).ok()
}

/// Bytes of a value whose length has 16 bits, and is even.
const MAX_LIST: usize = 65_534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_failures_is_cut_where_it_must_be() {
        let explicit = "1.2.840.10008.1.2.1";
        assert_eq!(failed_list(&[], explicit), None);
        let two = failed_list(&["1.2".into(), "1.3".into()], explicit).unwrap();
        assert_eq!(two, [&[8, 0, 0x58, 0, b'U', b'I', 8, 0][..], b"1.2\\1.3\0"].concat());
        let many = vec!["1.2.840.".to_owned() + &"9".repeat(50); 2000];
        let len = failed_list(&many, explicit).unwrap().len();
        assert!((65_000..=65_542).contains(&len), "{len}");
    }
}
