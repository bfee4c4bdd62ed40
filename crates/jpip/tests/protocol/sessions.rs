//! Channels over a simulated clock, pre-emption, and the order of commit and plan.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use codestream::SparseBytes;
use codestream::testkit::tiny_codestream;
use jpip::request::channel::CloseList;
use jpip::session::{ChannelLimits, Channels, Refusal};
use jpip::{CacheModel, CodestreamId, EorReason, Request, ResponsePlan};

use super::pair::*;

/// A session's value: its cache model, shared by its channels.
type Session = Rc<RefCell<CacheModel>>;

#[test]
fn two_channels_of_a_session_share_one_cache() {
    let server = server(&tiny_codestream().size(64, 64).levels(2).precincts(&[(4, 4)]));
    let mut channels = Channels::<Session, u32>::new(ChannelLimits::default());
    let session = Rc::new(RefCell::new(CacheModel::new(&server.limits)));
    let now = Duration::from_secs(5);
    let first = channels.open_session(now, [1; 16], "node", session, 1).unwrap();
    let second = channels.open_channel(now, [2; 16], &first, 1).unwrap();
    let mut store = new_store();
    for (cid, window) in [(&first, "fsiz=64,64&rsiz=20,20"), (&second, "fsiz=64,64"), (&first, "fsiz=64,64")] {
        let (session, _) = channels.touch(now, cid).unwrap();
        let (body, _) = server.in_session(window, &mut session.borrow_mut());
        receive(&mut store, &body);
        if cid == &first && window == "fsiz=64,64" {
            assert_eq!(body, [0, 1, 0], "the other channel brought the rest");
        }
    }
    server.check_precincts(&store, CodestreamId(0));
    assert_eq!(channels.close(&CloseList::All, Some(&first)), Ok(2));
    assert!(channels.touch(now, &second).is_none());
}

#[test]
fn clients_that_never_close_are_forgotten() {
    let mut channels = Channels::<(), ()>::new(ChannelLimits { max_channels: 50, ..ChannelLimits::default() });
    for second in 0..10_000u64 {
        let now = Duration::from_secs(second * 20);
        let random = u128::from(second).to_be_bytes();
        assert!(channels.open_session(now, random, "n", (), ()).is_ok(), "at {second}");
        channels.expire(now);
        assert!(channels.len() <= 31);
    }
    assert_eq!(channels.open_channel(Duration::ZERO, [0; 16], "n.0", ()), Err(Refusal::NoSuchChannel));
}

#[test]
fn a_newer_request_ends_the_older_at_a_message_boundary() {
    let mut server = server(&tiny_codestream().size(200, 200).levels(3).precincts(&[(4, 4)]));
    server.budget = 500;
    let mut model = CacheModel::new(&server.limits);
    let request = Request::parse(b"fsiz=200,200", None).unwrap();
    let mut plan = ResponsePlan::new(&request, server.target.clone(), &server.limits).unwrap();
    let mut index = SparseBytes::new(server.index_len());
    server.open_all(&mut plan, &mut index);
    let mut body = Vec::new();
    assert_eq!(server.batch(&mut plan, &mut index, &model, &mut body), None);
    assert_eq!(server.batch(&mut plan, &mut index, &model, &mut body), None);
    plan.preempt();
    assert_eq!(server.batch(&mut plan, &mut index, &model, &mut body), Some(EorReason::WindowChange));
    assert_eq!(body[body.len() - 3..], [0, 3, 0]);
    plan.commit(&mut model);
    let mut store = new_store();
    assert_eq!(receive(&mut store, &body), Some(EorReason::WindowChange));
    let (rest, _) = server.in_session("fsiz=200,200", &mut model);
    receive(&mut store, &rest);
    server.check_precincts(&store, CodestreamId(0));
    let whole = server.stateless("fsiz=200,200").body.len();
    assert!(body.len() + rest.len() < whole + 40, "nothing came twice");
}
