//! What a client takes: the query parameter `accept` and the header field of that name [PS3.18 8.3.3.1, 8.3.4.1].

use dicom_bridge::{
    TransferSyntax,
    media_type::MediaType,
    model::ModelForm,
    outgoing::{EXPLICIT_LITTLE, Outgoing, OutgoingForm},
};
use http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;

use crate::http::error::Problem;

/// What a client takes, what it likes best first.
#[derive(Debug)]
pub(super) struct Accepted {
    offers: Vec<Offer>,
}

/// One media type that a client takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// Whether it is to come in a body of several parts.
    pub(super) is_multipart: bool,
    /// Of the body, or of its parts.
    pub(super) media_type: MediaType,
    pub(super) transfer: Transfer,
}

/// The transfer syntax that a client takes [PS3.18 8.7.3.5].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Transfer {
    /// It does not say.
    Usual,
    /// `*`.
    Any,
    /// This one.
    Named(String),
}

/// The media types of attributes.
pub(super) const JSON: &str = "application/dicom+json";
pub(super) const XML: &str = "application/dicom+xml";

/// More than that nobody means.
const MAX_OFFERS: usize = 64;

impl Accepted {
    /// What stands in the query goes before what stands in the header; a client that says nothing takes everything.
    pub(super) fn of(headers: &HeaderMap, query: Option<&str>) -> Self {
        let mut offers = Vec::new();
        let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        // A plus sign is one: it belongs to names of media types.
        let queried = pairs.find(|(name, _)| *name == "accept").map(|(_, value)| percent_decode_str(value));
        add(
            &mut offers,
            queried.as_ref().and_then(|text| text.clone().decode_utf8().ok()).as_deref().unwrap_or_default(),
        );
        for value in headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
            add(&mut offers, value);
        }
        let says_nothing = queried.is_none() && !headers.contains_key(header::ACCEPT);
        if says_nothing {
            add(&mut offers, "*/*");
        }
        Self { offers }
    }

    /// The form in which attributes are sent.
    ///
    /// # Errors
    ///
    /// 406 if the client takes neither.
    pub(super) fn model_form(&self) -> Result<ModelForm, Problem> {
        let form = self.choose(|offer| match offer.is_multipart {
            // Whoever takes anything gets what every client reads.
            _ if offer.media_type.essence() == "*/*" => Some(ModelForm::Json),
            false if offer.media_type.covers(JSON) || offer.media_type.covers("application/json") => {
                Some(ModelForm::Json)
            }
            true if offer.media_type.covers(XML) => Some(ModelForm::Xml),
            _ => None,
        });
        form.ok_or_else(|| {
            let words = "attributes come as application/dicom+json, or as application/dicom+xml in multipart/related";
            Problem::new(StatusCode::NOT_ACCEPTABLE, words)
        })
    }

    /// The first offer for which `choose` finds something.
    pub(super) fn choose<T>(&self, choose: impl FnMut(&Offer) -> Option<T>) -> Option<T> {
        self.offers.iter().find_map(choose)
    }

    pub(super) fn offers(&self) -> &[Offer] {
        &self.offers
    }
}

/// Adds a list in the order of its weights [RFC 9110 12.4.2].
fn add(offers: &mut Vec<Offer>, list: &str) {
    let weight = |media_type: &MediaType| match media_type.parameter("q").map(str::parse::<f32>) {
        Some(Ok(weight)) => weight.clamp(0.0, 1.0),
        Some(Err(_)) | None => 1.0,
    };
    let mut wanted: Vec<_> =
        MediaType::parse_list(list).take(MAX_OFFERS).map(|wanted| (weight(&wanted), wanted)).collect();
    wanted.retain(|(weight, _)| *weight > 0.0);
    wanted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    offers.extend(wanted.iter().filter_map(|(_, wanted)| Offer::of(wanted)));
    offers.truncate(MAX_OFFERS);
}

impl Offer {
    fn of(wanted: &MediaType) -> Option<Self> {
        let transfer = match wanted.parameter("transfer-syntax") {
            None => Transfer::Usual,
            Some("*") => Transfer::Any,
            Some(uid) => Transfer::Named(uid.to_owned()),
        };
        let is_multipart = matches!(wanted.essence(), "multipart/related" | "multipart/*" | "*/*");
        let parts =
            if is_multipart { MediaType::parse(wanted.parameter("type").unwrap_or("*/*"))? } else { wanted.clone() };
        Some(Self { is_multipart, media_type: parts, transfer })
    }
}

impl Transfer {
    /// The form in which an object is sent to who takes this, if there is one.
    ///
    /// Who names no transfer syntax is meant to get Explicit VR Little Endian. Native objects are; of compressed ones that
    /// can only be said once they are decompressed, and until then they go as they are stored, which is what viewers
    /// that name none expect.
    pub(super) fn form(&self, outgoing: &Outgoing<'_>) -> Option<OutgoingForm> {
        match self {
            Self::Named(uid) => outgoing.choose(&[uid]).ok(),
            Self::Usual if outgoing.stored.is_native() => outgoing.choose(&[EXPLICIT_LITTLE]).ok(),
            Self::Usual | Self::Any => Some(OutgoingForm::AsStored(outgoing.stored.clone())),
        }
    }

    /// Whether it names a transfer syntax of objects that refer to their pixel data.
    pub(super) fn is_jpip_referenced(&self) -> bool {
        matches!(self, Self::Named(uid) if TransferSyntax::from_uid(uid).is_jpip_referenced())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn offers(header: &'static str, query: Option<&str>) -> Vec<(bool, String, Transfer)> {
        let mut headers = HeaderMap::new();
        if !header.is_empty() {
            headers.insert(header::ACCEPT, HeaderValue::from_static(header));
        }
        let accepted = Accepted::of(&headers, query);
        let offers = accepted.offers.into_iter();
        offers.map(|offer| (offer.is_multipart, offer.media_type.essence().to_owned(), offer.transfer)).collect()
    }

    #[test]
    fn weights_order_and_nothing_is_everything() {
        let all = || (true, "*/*".to_owned(), Transfer::Usual);
        assert_eq!(offers("", None), [all()]);
        assert_eq!(offers("", Some("x=y")), [all()]);
        assert_eq!(
            offers(
                "image/jp2;q=0.2, image/jpx;q=0, multipart/related; type=\"application/dicom\"; transfer-syntax=*",
                None
            ),
            [(true, "application/dicom".to_owned(), Transfer::Any), (false, "image/jp2".to_owned(), Transfer::Usual)]
        );
        assert_eq!(offers("nonsense", None), []);
    }

    #[test]
    fn the_query_goes_before_the_header() {
        let found = offers("*/*", Some("accept=application/dicom+json&accept=image/jp2"));
        assert_eq!(found[0], (false, "application/dicom+json".to_owned(), Transfer::Usual));
        assert_eq!(found[1].1, "*/*");
        let encoded = offers("", Some("accept=image%2Fjp2%3B%20transfer-syntax%3D1.2.840.10008.1.2.4.90"));
        assert_eq!(encoded, [(false, "image/jp2".to_owned(), Transfer::Named("1.2.840.10008.1.2.4.90".to_owned()))]);
    }

    #[test]
    fn only_native_objects_are_written_anew() {
        let form = |stored: &str, transfer: Transfer| {
            let stored = &TransferSyntax::from_uid(stored);
            let form = transfer.form(&Outgoing { stored, referable: None, prefers_referenced: false })?;
            let uid = form.transfer_syntax().uid().to_owned();
            Some((matches!(form, OutgoingForm::AsStored(_)), uid))
        };
        let named = |uid: &str| Transfer::Named(uid.to_owned());
        let as_stored = |uid: &str| Some((true, uid.to_owned()));
        let explicit = Some((false, EXPLICIT_LITTLE.to_owned()));
        for native in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"] {
            assert_eq!(form(native, Transfer::Usual), explicit);
            assert_eq!(form(native, named(EXPLICIT_LITTLE)), explicit);
            assert_eq!(form(native, Transfer::Any), as_stored(native));
            assert_eq!(form(native, named(native)), as_stored(native));
            assert_eq!(form(native, named("1.2.840.10008.1.2.4.90")), None);
        }
        for other in ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.94", "1.3.6.1"] {
            assert_eq!(form(other, Transfer::Usual), as_stored(other));
            assert_eq!(form(other, named(EXPLICIT_LITTLE)), None);
        }
        assert_eq!(form(EXPLICIT_LITTLE, Transfer::Usual), as_stored(EXPLICIT_LITTLE));
    }
}
