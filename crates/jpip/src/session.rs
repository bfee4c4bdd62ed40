//! Sessions and their channels [15444-9 B, C.3]: who may speak, about what, and until when.
//!
//! A session is whatever value the server keeps for one client (its cache models live there); a channel adds
//! a target and a name. The table holds no time and no randomness of its own: both are arguments, time as
//! the duration since the server started.

use std::collections::HashMap;
use std::time::Duration;

use thiserror::Error;

use crate::request::channel::CloseList;

/// Bounds of the table of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLimits {
    /// Channels in all.
    pub max_channels: usize,
    /// Channels of one session.
    pub max_channels_per_session: usize,
    /// A channel that nobody used for so long is closed; clients seldom close theirs.
    pub idle: Duration,
}

impl Default for ChannelLimits {
    fn default() -> Self {
        Self { max_channels: 20_000, max_channels_per_session: 32, idle: Duration::from_secs(600) }
    }
}

/// Why a channel is not opened, found or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such channel, any more or for this client; which of these is not told.
    #[error("the channel does not exist")]
    NoSuchChannel,
    /// The server holds as many channels as it may.
    #[error("too many channels are open")]
    TooManyChannels,
    /// The session holds as many channels as it may.
    #[error("too many channels are open in this session")]
    TooManyInSession,
}

/// The table of channels. `S` is the session's value, `T` the channel's target; both are cheap handles.
#[derive(Debug)]
pub struct Channels<S, T> {
    limits: ChannelLimits,
    channels: HashMap<String, Channel<T>>,
    sessions: HashMap<u64, Session<S>>,
    next_session: u64,
}

#[derive(Debug)]
struct Channel<T> {
    session: u64,
    target: T,
    last_used: Duration,
}

#[derive(Debug)]
struct Session<S> {
    value: S,
    /// The names of its channels; a session without any is gone.
    channels: Vec<String>,
}

impl<S: Clone, T: Clone> Channels<S, T> {
    /// An empty table.
    #[must_use]
    pub fn new(limits: ChannelLimits) -> Self {
        Self { limits, channels: HashMap::new(), sessions: HashMap::new(), next_session: 0 }
    }

    /// Opens a session with one channel and returns the channel's name, `node.` and 32 hex digits.
    ///
    /// # Errors
    ///
    /// - [`Refusal::TooManyChannels`] if the table is full of channels that are in use.
    pub fn open_session(
        &mut self,
        now: Duration,
        random: [u8; 16],
        node: &str,
        session: S,
        target: T,
    ) -> Result<String, Refusal> {
        self.make_room(now)?;
        let cid = name(node, random);
        let number = self.next_session;
        self.next_session += 1;
        self.sessions.insert(number, Session { value: session, channels: vec![cid.clone()] });
        self.channels.insert(cid.clone(), Channel { session: number, target, last_used: now });
        Ok(cid)
    }

    /// Opens another channel in the session of channel `of`.
    ///
    /// # Errors
    ///
    /// - [`Refusal::NoSuchChannel`] if `of` does not exist.
    /// - [`Refusal::TooManyInSession`], [`Refusal::TooManyChannels`] if there is no room.
    pub fn open_channel(&mut self, now: Duration, random: [u8; 16], of: &str, target: T) -> Result<String, Refusal> {
        self.touch(now, of).ok_or(Refusal::NoSuchChannel)?;
        self.make_room(now)?;
        let number = self.channels.get(of).ok_or(Refusal::NoSuchChannel)?.session;
        let session = self.sessions.get_mut(&number).ok_or(Refusal::NoSuchChannel)?;
        if session.channels.len() >= self.limits.max_channels_per_session {
            return Err(Refusal::TooManyInSession);
        }
        let node = of.rsplit_once('.').map_or("", |(node, _)| node);
        let cid = name(node, random);
        session.channels.push(cid.clone());
        self.channels.insert(cid.clone(), Channel { session: number, target, last_used: now });
        Ok(cid)
    }

    /// The session and target of a channel that is used now; `None` if there is none of this name.
    pub fn touch(&mut self, now: Duration, cid: &str) -> Option<(S, T)> {
        if self.channels.get(cid).is_some_and(|channel| self.is_idle(channel, now)) {
            self.remove(cid);
        }
        let channel = self.channels.get_mut(cid)?;
        channel.last_used = channel.last_used.max(now);
        let session = self.sessions.get(&channel.session)?;
        Some((session.value.clone(), channel.target.clone()))
    }

    /// Closes channels, all of one session: that of channel `by` if the request came on one. Returns how
    /// many were closed; on a refusal none is.
    ///
    /// # Errors
    ///
    /// - [`Refusal::NoSuchChannel`] if one of them does not exist or belongs to another session.
    pub fn close(&mut self, list: &CloseList, by: Option<&str>) -> Result<usize, Refusal> {
        let names = self.closing(list, by)?;
        Ok(names.iter().filter(|cid| self.remove(cid)).count())
    }

    /// The channels that [`Channels::close`] would close.
    ///
    /// # Errors
    ///
    /// As [`Channels::close`].
    pub fn closing(&self, list: &CloseList, by: Option<&str>) -> Result<Vec<String>, Refusal> {
        let session_of = |cid: &str| self.channels.get(cid).map(|channel| channel.session);
        match list {
            CloseList::All => {
                let number = by.and_then(session_of).ok_or(Refusal::NoSuchChannel)?;
                Ok(self.sessions.get(&number).map(|session| session.channels.clone()).unwrap_or_default())
            }
            CloseList::Channels(names) => {
                let first = by.or(names.first().map(String::as_str));
                let number = first.and_then(session_of).ok_or(Refusal::NoSuchChannel)?;
                if names.iter().any(|cid| session_of(cid) != Some(number)) {
                    return Err(Refusal::NoSuchChannel);
                }
                Ok(names.clone())
            }
        }
    }

    /// Closes every channel that has been idle for too long and returns how many.
    pub fn expire(&mut self, now: Duration) -> usize {
        let idle: Vec<String> = self
            .channels
            .iter()
            .filter(|(_, channel)| self.is_idle(channel, now))
            .map(|(cid, _)| cid.clone())
            .collect();
        idle.iter().filter(|cid| self.remove(cid)).count()
    }

    /// Closes the channels whose target is one of those, of whatever session, and returns how many.
    pub fn close_where(&mut self, is_one: impl Fn(&T) -> bool) -> usize {
        let meant = self.channels.iter().filter(|(_, channel)| is_one(&channel.target));
        let meant: Vec<String> = meant.map(|(cid, _)| cid.clone()).collect();
        meant.iter().filter(|cid| self.remove(cid)).count()
    }

    fn make_room(&mut self, now: Duration) -> Result<(), Refusal> {
        if self.channels.len() < self.limits.max_channels {
            return Ok(());
        }
        self.expire(now);
        if self.channels.len() < self.limits.max_channels { Ok(()) } else { Err(Refusal::TooManyChannels) }
    }

    fn remove(&mut self, cid: &str) -> bool {
        let Some(channel) = self.channels.remove(cid) else { return false };
        if let Some(session) = self.sessions.get_mut(&channel.session) {
            session.channels.retain(|name| name != cid);
            if session.channels.is_empty() {
                self.sessions.remove(&channel.session);
            }
        }
        true
    }

    /// Number of open channels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether no channel is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Number of sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    fn is_idle(&self, channel: &Channel<T>, now: Duration) -> bool {
        now.saturating_sub(channel.last_used) >= self.limits.idle
    }
}

/// The node's name leads, so that a load balancer can route on it.
fn name(node: &str, random: [u8; 16]) -> String {
    format!("{node}.{:032x}", u128::from_be_bytes(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(max_channels: usize) -> Channels<&'static str, u32> {
        Channels::new(ChannelLimits { max_channels, max_channels_per_session: 3, idle: Duration::from_secs(10) })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn all(names: &[&str]) -> CloseList {
        CloseList::Channels(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn b_2_a_session_lives_as_long_as_one_of_its_channels() {
        let mut channels = table(9);
        let first = channels.open_session(at(0), [1; 16], "n1", "ann", 7).unwrap();
        assert_eq!(first, format!("n1.{}", "01".repeat(16)));
        let second = channels.open_channel(at(1), [2; 16], &first, 8).unwrap();
        assert!(second.starts_with("n1."));
        assert_eq!(channels.touch(at(2), &second), Some(("ann", 8)));
        assert_eq!(channels.close(&all(&[&first]), None), Ok(1));
        assert_eq!(channels.touch(at(2), &first), None);
        assert_eq!((channels.len(), channels.session_count()), (1, 1));
        assert_eq!(channels.close(&CloseList::All, Some(&second)), Ok(1));
        assert_eq!((channels.len(), channels.session_count()), (0, 0));
    }

    #[test]
    fn c_3_4_channels_of_another_session_are_not_closed() {
        let mut channels = table(9);
        let ann = channels.open_session(at(0), [1; 16], "n", "ann", 1).unwrap();
        let bob = channels.open_session(at(0), [2; 16], "n", "bob", 1).unwrap();
        let refused = Err(Refusal::NoSuchChannel);
        assert_eq!(channels.close(&all(&[&bob]), Some(&ann)), refused);
        assert_eq!(channels.close(&all(&[&ann, &bob]), None), refused);
        assert_eq!(channels.close(&all(&[&ann, "n.x"]), None), refused);
        assert_eq!(channels.close(&CloseList::All, None), refused);
        assert_eq!(channels.close(&CloseList::All, Some("n.x")), refused);
        assert_eq!(channels.len(), 2);
    }

    #[test]
    fn channels_of_a_target_that_is_gone_are_closed_in_every_session() {
        let mut channels = table(9);
        let ann = channels.open_session(at(0), [1; 16], "n", "ann", 7).unwrap();
        let other = channels.open_channel(at(0), [2; 16], &ann, 8).unwrap();
        let bob = channels.open_session(at(0), [3; 16], "n", "bob", 7).unwrap();
        assert_eq!(channels.close_where(|target| *target == 7), 2);
        assert_eq!((channels.touch(at(1), &ann), channels.touch(at(1), &bob)), (None, None));
        assert_eq!(channels.touch(at(1), &other), Some(("ann", 8)));
        assert_eq!(channels.session_count(), 1);
    }

    #[test]
    fn idle_channels_expire() {
        let mut channels = table(9);
        let old = channels.open_session(at(0), [1; 16], "n", "ann", 1).unwrap();
        let used = channels.open_session(at(0), [2; 16], "n", "bob", 1).unwrap();
        assert!(channels.touch(at(9), &used).is_some());
        assert_eq!(channels.touch(at(10), &old), None, "expired even before it is swept");
        assert_eq!(channels.expire(at(18)), 0);
        assert_eq!(channels.expire(at(19)), 1);
        assert!(channels.is_empty());
    }

    #[test]
    fn e14_the_number_of_channels_is_limited() {
        let mut channels = table(4);
        let first = channels.open_session(at(0), [1; 16], "n", "ann", 1).unwrap();
        channels.open_channel(at(0), [2; 16], &first, 1).unwrap();
        channels.open_channel(at(0), [3; 16], &first, 1).unwrap();
        assert_eq!(channels.open_channel(at(0), [4; 16], &first, 1), Err(Refusal::TooManyInSession));
        channels.open_session(at(5), [5; 16], "n", "bob", 1).unwrap();
        assert_eq!(channels.open_session(at(9), [6; 16], "n", "eve", 1), Err(Refusal::TooManyChannels));
        assert!(channels.open_session(at(10), [7; 16], "n", "eve", 1).is_ok(), "idle ones give way");
        assert_eq!(channels.open_channel(at(10), [8; 16], &first, 1), Err(Refusal::NoSuchChannel));
    }
}
