//! The public keys of others: a registered set, or one that is fetched from its registered place.
//!
//! 1. A fetched set is kept in the isolate for [`KEPT_MILLIS`], so that a key which its owner takes back stops counting
//!    within that time. It outlives changes of the tenant: who writes policies fetches no keys.
//! 2. A `kid` that the kept set does not have is a reason to fetch it again, at most every [`PAUSE_MILLIS`], so that invented
//!    names cause no fetches (docs/requirements.md R21).
//! 3. What could not be fetched, or is no key set, is never kept; for [`FAILED_MILLIS`] it is not asked for again.
//! 4. Requests that need one set at the same time share one fetch: the others look again until it is there. They cannot
//!    wait for the fetch itself, because a Worker may not wait for what another request has begun.
//! 5. An issuer without registered keys is asked for its OpenID configuration, which has to name the same `issuer`
//!    (OpenID Connect Discovery §4.3).
//! 6. Of a SPIFFE bundle those keys count that are for JWT-SVIDs (SPIFFE Trust Domain and Bundle §4.2.2).

use super::presets::SPIFFE;
use super::{KeySource, Rejected};
use crate::context::Cx;
use crate::context::cache::key;
use crate::error::{Error, Fault, Result};
use crate::jose::{JwkSet, is_strict};
use crate::outbound;
use crate::ports::{Alg, Now};
use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;

const KEPT_MILLIS: u64 = 300_000;
const PAUSE_MILLIS: u64 = 30_000;
const FAILED_MILLIS: u64 = 5_000;
/// Longer than the outbound gate lets two fetches take: whoever began has gone.
const ABANDONED_MILLIS: u64 = 25_000;
/// How long a request waits for another one's fetch, and between two looks.
const PATIENCE_MILLIS: u64 = 12_000;
const LOOK_MILLIS: u64 = 100;

/// What a kept set counts as in the cache, in bytes.
const SLOT_BYTES: usize = 64 * 1_024;

const UNUSABLE: &str = "its key set cannot be used";

key!(
    /// A registered key set: of a client or an issuer, by id and version.
    InlineKey(owner, id, version) -> JwkSet = "inline-keys", weighs |_| 8_192
);

/// Where a set is fetched.
#[derive(Clone, Copy)]
enum Place<'a> {
    Set(&'a str),
    Bundle(&'a str),
    ConfigurationOf(&'a str),
}

/// What this isolate knows of one place.
#[derive(Default)]
struct Slot(RefCell<Known>);

#[derive(Default)]
struct Known {
    set: Option<(Rc<JwkSet>, Now)>,
    tried: Option<Now>,
    failed: Option<Rejection>,
    fetching: bool,
}

#[derive(Clone)]
enum Rejection {
    Because(&'static str),
    Fault(Error),
}

enum Next {
    Use(Rc<JwkSet>),
    Fetch,
    Look,
    Fail(Rejection),
}

/// The keys to try for a token with that algorithm and `kid`.
pub async fn of(cx: &Cx<'_>, source: KeySource<'_>, wanted: (Alg, Option<&str>)) -> Result<Rc<JwkSet>, Rejected> {
    let (owner, id, version, inline, uri) = match source {
        KeySource::Client(client) => {
            ("client", &client.id, client.version, &client.metadata.jwks, &client.metadata.jwks_uri)
        }
        KeySource::Issuer(issuer) => ("issuer", &issuer.id, issuer.version, &issuer.body.jwks, &issuer.body.jwks_uri),
    };
    let version = version.to_string();
    if let Some(inline) = inline {
        let is_bundle = matches!(source, KeySource::Issuer(issuer) if issuer.body.preset == SPIFFE);
        let load = async || Ok(parse(&inline.to_string(), is_bundle).ok());
        return cx.cached(&InlineKey(owner, id, &version), load).await?.ok_or(Rejected::Because(UNUSABLE));
    }
    let place = match (source, uri) {
        (KeySource::Issuer(issuer), Some(uri)) if issuer.body.preset == SPIFFE => Place::Bundle(uri),
        (_, Some(uri)) => Place::Set(uri),
        (KeySource::Issuer(issuer), None) => Place::ConfigurationOf(&issuer.body.issuer),
        (KeySource::Client(_), None) => return Err(Rejected::Because("it has no registered keys")),
    };
    remote(cx, place, wanted).await
}

async fn remote(cx: &Cx<'_>, place: Place<'_>, wanted: (Alg, Option<&str>)) -> Result<Rc<JwkSet>, Rejected> {
    let slot: Rc<Slot> = cx.lasting(&place.key(), SLOT_BYTES);
    let mut waited = 0_u64;
    loop {
        match slot.next(cx.now, wanted) {
            Next::Use(set) => return Ok(set),
            Next::Fail(failed) => return Err(failed.into()),
            Next::Look if waited >= PATIENCE_MILLIS => {
                return Err(Rejected::Fault(Fault::Unavailable("a key set").into()));
            }
            Next::Look => {
                cx.world.timer.sleep(LOOK_MILLIS).await;
                waited = waited.saturating_add(LOOK_MILLIS);
            }
            Next::Fetch => {
                slot.begin(cx.now);
                let fetched = fetch(cx, place).await;
                return slot.end(cx.now, fetched);
            }
        }
    }
}

impl Slot {
    fn next(&self, now: Now, (alg, kid): (Alg, Option<&str>)) -> Next {
        let known = self.0.borrow();
        let since = |moment: Now| now.millis().saturating_sub(moment.millis());
        let kept = known.set.as_ref().filter(|(_, fetched)| since(*fetched) < KEPT_MILLIS).map(|(set, _)| set);
        if let Some(set) = kept.filter(|set| set.candidates(alg, kid).next().is_some()) {
            return Next::Use(set.clone());
        }
        let age = known.tried.map_or(u64::MAX, since);
        match (&known.failed, kept) {
            _ if known.fetching && age < ABANDONED_MILLIS => Next::Look,
            (Some(failed), _) if age < FAILED_MILLIS => Next::Fail(failed.clone()),
            // The set is young and does not have the key: so it is.
            (None, Some(set)) if age < PAUSE_MILLIS => Next::Use(set.clone()),
            _ => Next::Fetch,
        }
    }

    fn begin(&self, now: Now) {
        let mut known = self.0.borrow_mut();
        known.tried = Some(now);
        known.fetching = true;
    }

    fn end(&self, now: Now, fetched: Result<JwkSet, Rejection>) -> Result<Rc<JwkSet>, Rejected> {
        let mut known = self.0.borrow_mut();
        known.fetching = false;
        match fetched {
            Ok(set) => {
                let set = Rc::new(set);
                known.set = Some((set.clone(), now));
                known.failed = None;
                Ok(set)
            }
            Err(failed) => {
                known.failed = Some(failed.clone());
                Err(failed.into())
            }
        }
    }
}

async fn fetch(cx: &Cx<'_>, place: Place<'_>) -> Result<JwkSet, Rejection> {
    let (uri, is_bundle) = match place {
        Place::Set(uri) => (uri.to_owned(), false),
        Place::Bundle(uri) => (uri.to_owned(), true),
        Place::ConfigurationOf(issuer) => (discover(cx, issuer).await?, false),
    };
    let text = get(cx, &uri).await?;
    parse(&text, is_bundle).map_err(|why| {
        cx.world.log.line(&["the key set at ", &uri, " ", why].concat());
        Rejection::Because(UNUSABLE)
    })
}

/// Where an issuer says that its keys are.
async fn discover(cx: &Cx<'_>, issuer: &str) -> Result<String, Rejection> {
    let url = [issuer.strip_suffix('/').unwrap_or(issuer), "/.well-known/openid-configuration"].concat();
    let text = get(cx, &url).await?;
    let document: Value = serde_json::from_str(&text).ok().filter(|_| is_strict(text.as_bytes())).unwrap_or_default();
    match (document.get("issuer"), document.get("jwks_uri")) {
        (Some(Value::String(same)), Some(Value::String(uri))) if same == issuer => Ok(uri.clone()),
        _ => Err(Rejection::Because("its OpenID configuration is of another issuer, or names no `jwks_uri`")),
    }
}

async fn get(cx: &Cx<'_>, url: &str) -> Result<String, Rejection> {
    match outbound::get_json(cx, url).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(why)) => {
            cx.world.log.line(&["nothing at ", url, " can be used: ", why].concat());
            Err(Rejection::Because("its key set cannot be fetched"))
        }
        Err(fault) => Err(Rejection::Fault(fault)),
    }
}

fn parse(text: &str, is_bundle: bool) -> Result<JwkSet, &'static str> {
    match is_bundle {
        true => bundle(text),
        false => JwkSet::parse(text),
    }
}

/// The keys of a SPIFFE bundle that sign JWT-SVIDs, as a key set.
fn bundle(text: &str) -> Result<JwkSet, &'static str> {
    let mut document: Value =
        serde_json::from_str(text).ok().filter(|_| is_strict(text.as_bytes())).ok_or("is no strict JSON")?;
    let keys = document.get_mut("keys").and_then(Value::as_array_mut).ok_or("has no array `keys`")?;
    keys.retain(|key| key.get("use").is_some_and(|purpose| purpose == "jwt-svid"));
    keys.iter_mut().filter_map(Value::as_object_mut).for_each(|key| drop(key.remove("use")));
    JwkSet::parse(&document.to_string())
}

/// Whether a set can be registered: it parses and has a key that can be used. The error says what to do.
pub(super) fn check(set: &Value, is_bundle: bool) -> Result<(), String> {
    match parse(&set.to_string(), is_bundle) {
        Ok(set) if set.is_empty() => Err("`jwks` has no key that can be used here".to_owned()),
        Ok(_) => Ok(()),
        Err(why) => Err(["`jwks` ", why].concat()),
    }
}

impl Place<'_> {
    fn key(self) -> String {
        match self {
            Self::Set(uri) => ["set ", uri].concat(),
            Self::Bundle(uri) => ["bundle ", uri].concat(),
            Self::ConfigurationOf(issuer) => ["issuer ", issuer].concat(),
        }
    }
}

impl From<Rejection> for Rejected {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Because(why) => Self::Because(why),
            Rejection::Fault(fault) => Self::Fault(fault),
        }
    }
}
