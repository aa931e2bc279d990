//! A call through the proxy, until the head of the service's answer is there.
//!
//! 1. Order: the line of the call, the decision, the allow-list, the credential, the limits, the event, the call. Nothing leaves before the
//!    event.
//! 2. A wait for the credential is followed by the whole decision again, the allow-list with it; where the connection was changed meanwhile, nothing leaves.
//!    A wait for the service is accompanied by it, at the moment that has come by then.
//! 3. A body whose digest is signed is read first, within [`MAX_HELD`] and [`HOLD_MILLIS`].
//! 4. Once the call has left, a refusal or a fault is a `proxy.called`; before, a refusal is a `proxy.refused`.

use super::inject::{self, Injected, Injection};
use super::link::Link;
use super::scrub::Scrubber;
use super::stream::{MAX_BYTES, Proxied, Started, interval_millis};
use super::{headers, rules, stream};
use crate::approvals;
use crate::audit;
use crate::context::Cx;
use crate::crypto::sigv4::{self, Unsigned};
use crate::directory::connections::Downstream;
use crate::error::{Error, Fault, Reason, Result};
use crate::model::EventType;
use crate::model::id::is_slug;
use crate::outbound::{self, Failure, Passed};
use crate::ports::{FetchError, Now, Opened, Payload};
use crate::vault::lease::{self, Granted};
use crate::vault::permit::{Trail, Use};
use futures_util::future::{Either, select};
use futures_util::stream::StreamExt;
use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;

/// How large a body is at most that is read before it is sent.
const MAX_HELD: usize = 1_048_576;
/// How long it may take to come, in milliseconds.
const HOLD_MILLIS: u64 = 30_000;

/// A call that is to go through a connection.
pub struct Request<'a> {
    /// Who calls what. The path of its `call` is as it was sent.
    pub wanted: Use,
    /// The query, as it was sent.
    pub query: &'a str,
    /// The headers: names in lower case, and values.
    pub headers: &'a [(String, String)],
    /// The label of the account; empty for the one without.
    pub account: &'a str,
    /// The body.
    pub payload: Payload,
    /// Whether the caller calls the service by its own URL: then a redirect names that one, too.
    pub by_own_url: bool,
}

/// Makes a call, and answers once the head of the service's answer is there. A refusal is one event.
pub async fn call(cx: &Cx<'_>, request: Request<'_>, mut trail: Trail) -> Result<Proxied> {
    // A caller that has gone leaves an event all the same.
    let held = cx.world.lifetime.hold();
    let mut started = None;
    let error = match run(cx, request, &mut trail, &mut started).await {
        Ok(proxied) => return Ok(proxied.held(held)),
        // A question that comes again is no event, unless it has stopped a call that has left.
        Err(Error::Refused(refusal)) if started.is_none() && refusal.is_poll() => return Err(Error::Refused(refusal)),
        Err(error) => error,
    };
    let mut event = match (started, &error) {
        (Some(Started { mut event, sent, millis }), _) => {
            (event.id, event.kind) = (cx.new_id(), EventType::ProxyCalled);
            (event.facts.bytes_sent, event.facts.millis) = (Some(sent.get()), Some(millis));
            event
        }
        (None, Error::Refused(_)) => audit::event(cx, EventType::ProxyRefused, trail.agent.as_deref(), trail.facts),
        // Nothing was decided, and nothing has left.
        (None, Error::Fault(_)) => return Err(error),
    };
    let (reason, detail) = stream::told(&error);
    (event.facts.reason, event.facts.detail) = (Some(reason.to_owned()), detail);
    match (audit::record(cx, &event).await, error) {
        (Err(fault), Error::Refused(_)) => Err(fault),
        (Ok(()), Error::Refused(refusal)) => Err(Error::Refused(refusal.named(&event.id))),
        // The event that it has begun is durable.
        (_, error) => Err(error),
    }
}

async fn run(cx: &Cx<'_>, request: Request<'_>, trail: &mut Trail, started: &mut Option<Started>) -> Result<Proxied> {
    let Request { mut wanted, query, headers: sent, account: label, payload, by_own_url } = request;
    let own = Scrubber::new([wanted.token.as_str()]);
    let line = wanted.call.as_mut().ok_or(Fault::Broken("a call through the proxy has no line"))?;
    trail.facts.method = Some(line.method.clone());
    let malformed = |why: &str| Reason::MalformedCall.because(why);
    line.path = rules::normal_path(&line.path).ok_or_else(|| malformed("its path can be read in several ways"))?;
    trail.facts.path = Some(line.path.clone());
    let is_socket = match headers::upgrade(sent) {
        None => false,
        Some(protocol) if protocol.eq_ignore_ascii_case("websocket") && line.method == "GET" => true,
        Some(_) => return Err(Reason::UpgradeRefused.into()),
    };
    let sent_method = line.method.clone();
    if is_socket {
        // Who may read may not therefore send whatever messages: rules and policy have a word of their own for it.
        rules::WEBSOCKET.clone_into(&mut line.method);
        trail.facts.method = Some(line.method.clone());
    }
    let (method, path) = (line.method.clone(), line.path.clone());
    if matches!(&*sent_method, "GET" | "HEAD") && !matches!(payload, Payload::Empty) {
        return Err(malformed("`GET` and `HEAD` have no body here"));
    }
    if own.finds(&path) || own.finds(query) {
        return Err(malformed("the caller's own token stands in its path or its query"));
    }
    if !label.is_empty() && !is_slug(label) {
        return Err(malformed("`Writ-Account` is no label"));
    }

    let (mut party, connection) = wanted.permitted(cx, trail).await?;
    let injection = stream::injection(&connection)?;
    let query = rules::sound_query(query, injection.proxy.query.as_deref())
        .ok_or_else(|| malformed("its query can be read in several ways"))?;
    if !injection.allow.allows(&method, &path, &query) {
        return Err(Reason::CallNotAllowed.into());
    }
    let mut passed = headers::of_request(sent, &injection, &own).ok_or_else(|| malformed("it has too many headers"))?;
    if is_socket {
        passed.extend(headers::of_socket(sent, &own));
    }
    let (bytes_sent, overrun) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let mut payload = counted(payload, own, bytes_sent.clone(), overrun.clone());
    let claimed = sent.iter().find(|(name, _)| name == sigv4::CONTENT_SHA256).map(|(_, value)| &**value);
    if injection.signing.as_ref().is_some_and(|signing| signing.digest(&payload, claimed).is_none()) {
        payload = held(cx, payload).await?;
    }
    party.expect_room(cx, &trail.facts).await?;
    let Granted { token, account, .. } = lease::obtain(cx, (&party, &connection), None, label).await?;
    if let Some(fresh) = cx.refreshed_after_wait().await? {
        let now;
        (party, now) = wanted.permitted(&fresh, trail).await?;
        if !stream::injection(&now)?.allow.allows(&method, &path, &query) {
            return Err(Reason::CallNotAllowed.into());
        }
        lease::expect_unchanged(&connection, &now)?;
    }
    let Injected { url, headers: own_headers, secrets } = match &injection.signing {
        Some(signing) => {
            let url = injection.url((&path, &sigv4::query(&query)))?;
            let digest =
                signing.digest(&payload, claimed).ok_or(Fault::Broken("a body that was read has no digest"))?;
            let unsigned = Unsigned { method: &sent_method, url: &url, headers: &passed, digest: &digest };
            inject::signed(signing, &unsigned, &token.members(), cx.now)?
        }
        None => filled(&injection, (&path, &query), &token)?,
    };
    passed.extend(own_headers);
    passed.push(("accept-encoding".to_owned(), "identity".to_owned()));
    if !passed.iter().any(|(name, _)| name == "user-agent") {
        passed.push(("user-agent".to_owned(), "writ".to_owned()));
    }

    party.count(cx, &trail.facts).await?;
    approvals::redeem_held(cx, &wanted.held).await?;
    let event = audit::event(cx, EventType::ProxyStarted, trail.agent.as_deref(), trail.facts.clone());
    audit::record(cx, &event).await?;
    let callers = is_socket.then(|| Scrubber::new([wanted.token.as_str()]));
    let started = started.insert(Started { event, sent: bytes_sent, millis: 0 });
    let mut proxied = Proxied::new(cx, wanted, query, (connection.clone(), account));
    let limit = outbound::head_millis(&payload);
    let opening = outbound::open(cx, Passed { method: sent_method, url: url.clone(), headers: passed, payload });
    let opened = wait(cx, &mut proxied, opening, (&mut started.millis, limit)).await?;
    let Opened { status, headers: answered, chunks, socket } = opened.map_err(|failure| match failure {
        _ if overrun.get() => Reason::BodyTooLarge.because("more than the proxy passes on"),
        failure => failure.refusal(),
    })?;

    started.event.facts.status = Some(status);
    let failed = |why: &str| Reason::ProviderFailed.because(why);
    let socket = socket.filter(|_| status == 101).zip(callers);
    if !(200..=599).contains(&status) && socket.is_none() {
        return Err(failed("its status is none of an answer"));
    }
    if headers::is_encoded(&answered) {
        return Err(failed("its answer is in an encoding that was not asked for"));
    }
    let length = headers::length(&answered);
    if length.is_some_and(|length| length > MAX_BYTES) && method != "HEAD" {
        return Err(failed("its answer is too large"));
    }
    let scrubber = Scrubber::new(secrets.iter().map(|secret| secret.expose().as_str()));
    let mut shown = headers::of_answer(&answered, &scrubber).ok_or_else(|| failed("it has too many headers"))?;
    let here = ["/connections/", &*connection.name, "/proxy"].concat();
    let urls = (&*url, &*injection.proxy.base_url);
    let base = injection.proxy.base_url.trim_end_matches('/');
    let (path_here, url_here) = match by_own_url {
        true => (base.to_owned(), base.to_owned()),
        false => (["/t/", &*cx.tenant.id, &here].concat(), [&*cx.issuer(), &*here].concat()),
    };
    let to = headers::location(&answered, urls, &path_here);
    if to.is_none() && (300..=399).contains(&status) && answered.iter().any(|(name, _)| name == "location") {
        return Err(failed("it redirects to where the connection does not lead"));
    }
    shown.extend(to.map(|to| ("location".to_owned(), scrubber.text(&to))));
    // Some clients take a link that is no whole URL for the rest of their own base URL.
    let links = headers::links(&answered, urls, &url_here);
    shown.extend(links.map(|links| ("link".to_owned(), scrubber.text(&links))));
    if let Some((socket, callers)) = socket {
        proxied.answered(started, (status, shown, None), None);
        proxied.link = Some(Link::new(socket, scrubber, callers));
        return Ok(proxied);
    }
    let has_body = method != "HEAD" && !matches!(status, 204 | 205 | 304);
    proxied.answered(started, (status, shown, length), has_body.then_some((chunks, scrubber)));
    Ok(proxied)
}

/// A call with the credential in its header or its query.
fn filled(injection: &Injection, line: (&str, &str), token: &Downstream) -> Result<Injected> {
    // A fixed credential has members of its own, whatever they are called.
    let members = token.members();
    let member = |name: &str| members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let single = member("api_key").or_else(|| member("value")).unwrap_or_else(|| token.access_token.expose().as_str());
    let filling = match (member("username"), member("password")) {
        (Some(username), password) => vec![("username", username), ("password", password.unwrap_or_default())],
        _ => vec![("token", single)],
    };
    injection.fill(line, &filling)
}

/// The same body, read to its end.
async fn held(cx: &Cx<'_>, payload: Payload) -> Result<Payload> {
    let Payload::Chunks(mut chunks, _) = payload else { return Ok(payload) };
    let read = Box::pin(async {
        let mut bytes = Vec::new();
        while let Some(piece) = chunks.next().await {
            let piece = piece.map_err(|_| Reason::MalformedCall.because("its body broke off"))?;
            if bytes.len().saturating_add(piece.len()) > MAX_HELD {
                return Err(
                    Reason::BodyTooLarge.because("this service wants its digest: say it in `x-amz-content-sha256`")
                );
            }
            bytes.extend(piece);
        }
        Ok(Payload::Bytes(bytes))
    });
    match select(read, Box::pin(cx.sleep(HOLD_MILLIS))).await {
        Either::Left((payload, _)) => payload,
        Either::Right(_) => Err(Reason::MalformedCall.because("its body did not come in time")),
    }
}

/// Waits for the head of an answer, up to a limit in milliseconds, and decides again meanwhile.
async fn wait<T>(
    cx: &Cx<'_>,
    proxied: &mut Proxied,
    answer: impl Future<Output = T>,
    (millis, limit): (&mut u64, u64),
) -> Result<T> {
    let mut answer = Box::pin(answer);
    loop {
        let interval = interval_millis(cx.config).min(limit.saturating_sub(*millis));
        match select(answer, cx.world.timer.sleep(interval)).await {
            Either::Left((answer, pause)) => {
                proxied.pause = Some(pause);
                return Ok(answer);
            }
            Either::Right(((), pending)) => {
                answer = pending;
                *millis = millis.saturating_add(interval);
                if *millis >= limit {
                    return Err(Failure::Timeout.refusal());
                }
                let later = Now::from_millis(cx.now.millis().saturating_add(*millis));
                let later = cx.imagined(later, cx.peer.clone()).refreshed().await?;
                proxied.check(&later).await?;
            }
        }
    }
}

/// The same body, counted and cut at [`MAX_BYTES`], without the caller's token.
fn counted(payload: Payload, own: Scrubber, sent: Rc<Cell<u64>>, overrun: Rc<Cell<bool>>) -> Payload {
    let mut own = own;
    match payload {
        Payload::Empty => Payload::Empty,
        Payload::Bytes(bytes) => {
            let mut bytes = own.push(bytes);
            bytes.extend(own.finish());
            sent.set(bytes.len() as u64);
            Payload::Bytes(bytes)
        }
        Payload::Chunks(chunks, length) => {
            let ended = chunks.map(Some).chain(futures_util::stream::iter([None]));
            let passed = ended.map(move |chunk| match chunk {
                Some(Ok(bytes)) => {
                    sent.set(sent.get().saturating_add(bytes.len() as u64));
                    overrun.set(sent.get() > MAX_BYTES);
                    if overrun.get() { Err(FetchError::TooLarge) } else { Ok(own.push(bytes)) }
                }
                Some(Err(error)) => Err(error),
                None => Ok(own.finish()),
            });
            Payload::Chunks(Box::pin(passed), length)
        }
    }
}
