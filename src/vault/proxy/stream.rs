//! An answer on its way: its body comes in pieces, each without the secrets, while the call is decided about again and again.
//!
//! 1. The host asks for one piece after another and says what time it is. A piece that is waited for comes with the next question.
//! 2. Within the freshness bound and a second after a party was stopped nothing leaves any more: the stream is cut, and the caller sees that it
//!    was (docs/requirements.md R233). Where this cannot be checked, it is cut, too.
//! 3. However it ends, one event tells.

use super::inject::Injection;
use super::link::Link;
use super::scrub::Scrubber;
use crate::audit;
use crate::config::Config;
use crate::context::{Cx, Peer};
use crate::error::{Error, Fault, Reason, Result};
use crate::model::{ConnectedAccount, Connection, Event, EventType, id};
use crate::ports::{Chunks, Hold, Now, Pending, World};
use crate::store;
use crate::store::accounts::Place;
use crate::vault::accounts;
use crate::vault::lease;
use crate::vault::permit::{Trail, Use};
use crate::vault::provider;
use futures_util::future::{Either, select};
use futures_util::stream::StreamExt;
use std::cell::Cell;
use std::rc::Rc;

/// How many bytes a body has at most, in each direction.
pub const MAX_BYTES: u64 = 104_857_600;
/// How long a call may take, its answer included, in milliseconds.
pub const MAX_MILLIS: u64 = 900_000;

/// The shortest pause between two decisions, in milliseconds.
const LEAST_INTERVAL_MILLIS: u64 = 1_000;

/// The longest one: a token that is revoked in its last moment is remembered for longer (`revocation/kill.rs`).
const LONGEST_INTERVAL_MILLIS: u64 = 10_000;

/// How often a call that lasts is decided again, and how old the records of that decision are at the most: half of the freshness bound each.
pub fn interval_millis(config: &Config) -> u64 {
    (config.freshness_millis() / 2).clamp(LEAST_INTERVAL_MILLIS, LONGEST_INTERVAL_MILLIS)
}

/// What a call that has left is known by.
pub(super) struct Started {
    /// The event that it has begun.
    pub(super) event: Event,
    /// How many bytes have been sent.
    pub(super) sent: Rc<Cell<u64>>,
    /// How long it takes by now, as far as the pauses tell.
    pub(super) millis: u64,
}

/// How calls go through a connection; refused where they do not.
pub(super) fn injection(connection: &Connection) -> Result<Injection> {
    let provider = provider::find(&connection.kind).ok_or(Fault::Broken("a stored kind is unknown"))?;
    match provider.inject {
        Some(inject) => inject(&connection.settings.config),
        None => Err(Reason::CallNotAllowed.because("connections of this kind are not called through the proxy")),
    }
}

/// What an event tells of an error.
pub(super) fn told(error: &Error) -> (&'static str, Option<String>) {
    match error {
        Error::Refused(refusal) => (refusal.reason.as_str(), refusal.detail.clone()),
        Error::Fault(_) => ("Unchecked", Some(error.to_string())),
    }
}

/// An answer of a service whose body is on its way.
pub struct Proxied {
    /// The status.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// How long the body will be, where the service says it.
    pub length: Option<u64>,
    wanted: Use,
    query: String,
    connection: Rc<Connection>,
    account: Option<Rc<ConnectedAccount>>,
    tenant: String,
    peer: Peer,
    event: Option<Event>,
    body: Option<(Chunks, Scrubber)>,
    is_ended: bool,
    /// The service's end of a WebSocket.
    pub(super) link: Option<Link>,
    pub(super) sent: Rc<Cell<u64>>,
    pub(super) received: u64,
    pub(super) began: Now,
    checked: Now,
    /// Keeps the request running until its event is recorded.
    held: Option<Hold>,
    /// What is left of a pause that was waited for together with something else: a call needs one timer, and not one for each piece.
    pub(super) pause: Option<Pending<'static, ()>>,
}

/// What a question for more has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Pulled {
    /// A piece.
    Piece(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The end.
    End,
    /// The stream is cut: what has come is not all.
    Cut,
}

impl Proxied {
    /// A call that is about to leave, with this query, through that connection with that account.
    pub(super) fn new(
        cx: &Cx<'_>,
        wanted: Use,
        query: String,
        (connection, account): (Rc<Connection>, Option<Rc<ConnectedAccount>>),
    ) -> Self {
        Self {
            status: 0,
            headers: Vec::new(),
            length: None,
            wanted,
            query,
            connection,
            account,
            tenant: cx.tenant.id.clone(),
            peer: cx.peer.clone(),
            event: None,
            body: None,
            is_ended: false,
            link: None,
            sent: Rc::default(),
            received: 0,
            began: cx.now,
            checked: cx.now,
            held: None,
            pause: None,
        }
    }

    /// The head of its answer is there.
    pub(super) fn answered(
        &mut self,
        started: &Started,
        (status, headers, length): (u16, Vec<(String, String)>, Option<u64>),
        body: Option<(Chunks, Scrubber)>,
    ) {
        (self.status, self.headers, self.length, self.body) = (status, headers, length, body);
        (self.event, self.sent) = (Some(started.event.clone()), started.sent.clone());
    }

    /// The same, which lasts although its caller may go.
    pub(super) fn held(self, held: Hold) -> Self {
        Self { held: Some(held), ..self }
    }

    /// Whether there is a body, perhaps an empty one.
    pub const fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The caller.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether it has to be decided again.
    pub fn is_due(&self, now: Now, config: &Config) -> bool {
        let first = self.checked == self.began;
        let pause = if first { LEAST_INTERVAL_MILLIS } else { interval_millis(config) };
        now.millis().saturating_sub(self.checked.millis()) >= pause
    }

    /// Refused once it has taken as long as a call may.
    pub fn expect_time(&self, now: Now) -> Result<()> {
        match now.millis().saturating_sub(self.began.millis()) >= MAX_MILLIS {
            true => Err(Reason::ProviderTimeout.because("the call has taken too long")),
            false => Ok(()),
        }
    }

    /// Decides again, on the records of this context: no party has been stopped, policy and allow-list permit the call, the connection leads where it has
    /// led, and the account is there and gives tokens.
    pub async fn check(&self, cx: &Cx<'_>) -> Result<()> {
        let (_, connection) = self.wanted.permitted(cx, &mut Trail::default()).await?;
        let injection = injection(&connection)?;
        if !self.wanted.call.as_ref().is_some_and(|call| injection.allow.allows(&call.method, &call.path, &self.query))
        {
            return Err(Reason::CallNotAllowed.into());
        }
        let is_as_it_was = lease::expect_unchanged(&self.connection, &connection).is_ok();
        if !is_as_it_was && self::injection(&self.connection)?.proxy.base_url != injection.proxy.base_url {
            return Err(Reason::LeaseDenied.because("its connection leads elsewhere by now"));
        }
        let Some(account) = &self.account else { return Ok(()) };
        let place = Place { connection: &account.connection, owner: &account.owner, label: &account.label };
        let found = match is_as_it_was {
            true => accounts::load(cx, place).await?,
            // A change of a connection may end all its accounts without naming any.
            false => cx.one(store::accounts::at(&cx.tenant.id, place)).await?.map(Rc::new),
        };
        match found.is_some_and(|found| found.id == account.id && !found.status.gives_nothing()) {
            true => Ok(()),
            false => Err(Reason::LeaseDenied.because("its account was disconnected, or gives no tokens any more")),
        }
    }

    /// Notes that it was decided again.
    pub const fn checked(&mut self, now: Now) {
        self.checked = now;
    }

    /// Waits for the next piece, for a while.
    pub async fn next(&mut self, world: &World, config: &Config, now: Now) -> Pulled {
        let age = now.millis().saturating_sub(self.began.millis());
        let Some((chunks, scrubber)) = self.body.as_mut().filter(|_| !self.is_ended) else {
            return self.end(world, now).await;
        };
        let (interval, left) = (interval_millis(config), MAX_MILLIS.saturating_sub(age));
        let rest = self.pause.take().filter(|_| interval < left);
        let pause = rest.unwrap_or_else(|| world.timer.sleep(interval.min(left)));
        let (came, pause) = match select(chunks.next(), pause).await {
            Either::Left((came, pause)) => (came, pause),
            Either::Right(_) => return Pulled::Nothing,
        };
        self.pause = Some(pause);
        let piece = match came {
            None => {
                self.is_ended = true;
                scrubber.finish()
            }
            Some(Ok(piece)) => {
                self.received = self.received.saturating_add(piece.len() as u64);
                if self.received > MAX_BYTES {
                    return self.cut(world, &Reason::ProviderFailed.because("its answer is too large"), now).await;
                }
                scrubber.push(piece)
            }
            Some(Err(_)) => {
                return self.cut(world, &Reason::ProviderFailed.because("its answer broke off"), now).await;
            }
        };
        match (piece.is_empty(), self.is_ended) {
            (false, _) => Pulled::Piece(piece),
            (true, false) => Pulled::Nothing,
            (true, true) => self.end(world, now).await,
        }
    }

    async fn end(&mut self, world: &World, now: Now) -> Pulled {
        match self.over(world, None, now).await {
            Ok(()) => Pulled::End,
            Err(_) => Pulled::Cut,
        }
    }

    /// Cuts the stream. The service hears of it.
    pub async fn cut(&mut self, world: &World, error: &Error, now: Now) -> Pulled {
        // The event that it has begun is durable: that the other one is not cannot keep the stream open.
        drop(self.over(world, Some(told(error)), now).await);
        Pulled::Cut
    }

    /// The caller has gone.
    pub async fn abandon(&mut self, world: &World, now: Now) {
        let gone = Some("the caller has gone".to_owned());
        drop(self.over(world, Some(("CallerGone", gone)), now).await);
    }

    /// Records how it went, once.
    pub(super) async fn over(&mut self, world: &World, why: Option<(&str, Option<String>)>, now: Now) -> Result<()> {
        (self.body, self.link) = (None, None);
        let Some(mut event) = self.event.take() else { return Ok(()) };
        (event.id, event.kind, event.at) = (id::ulid(now, &*world.entropy), EventType::ProxyCalled, now.millis());
        event.facts.bytes_sent = Some(self.sent.get());
        event.facts.bytes_received = Some(self.received);
        event.facts.millis = Some(now.millis().saturating_sub(self.began.millis()));
        if let Some((reason, detail)) = why {
            (event.facts.reason, event.facts.detail) = (Some(reason.to_owned()), detail);
        }
        let kept = audit::keep(world, &event).await;
        self.held = None;
        kept.inspect_err(|error| world.log.line(&format!("{}: {error}", event.request_id)))
    }
}
