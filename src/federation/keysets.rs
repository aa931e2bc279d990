//! The public keys of others: a registered set, or one that is fetched from its registered URL.
//!
//! 1. A fetched set is kept in the isolate for [`KEPT_MILLIS`], so that a key which its owner takes back stops counting
//!    within that time. It outlives changes of the tenant: who writes policies fetches no keys.
//! 2. A `kid` that the kept set does not have is a reason to fetch it again, and so is a signature that none of its keys
//!    made, at most every [`PAUSE_MILLIS`], so that invented names and signatures cause no fetches (docs/requirements.md R21).
//! 3. What cannot be fetched, or is no key set, is the trouble of another service and never the fault of the client: the last
//!    good set serves for [`SERVED_MILLIS`]; without one the answer is 503. A service in trouble is not asked again for
//!    [`FAILED_MILLIS`]. Each fetch that fails is one event, whose detail says why.
//! 4. Requests that need one set at the same time share one fetch. The last good set serves the others meanwhile, unless it
//!    lacks the key; then they look again until the fetch is done. They cannot wait for the fetch itself, because a Worker may
//!    not wait for what another request has begun.
//! 5. The request that fetches is held until the fetch has ended, although its client may have gone.
//! 6. An issuer without registered keys is asked for its OpenID configuration, which has to name the same `issuer`
//!    (OpenID Connect Discovery §4.3).
//! 7. Of a SPIFFE bundle those keys count that are for JWT-SVIDs (SPIFFE Trust Domain and Bundle §4.2.2).

use super::KeySource;
use super::presets::SPIFFE;
use crate::audit;
use crate::context::Cx;
use crate::context::cache::key;
use crate::error::{Checked, Error, Fault, Rejection};
use crate::jose::{JwkSet, is_strict};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::outbound::{self, CONFIGURATION, Document, KEY_SET};
use crate::ports::{Alg, Now};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::rc::Rc;

const KEPT_MILLIS: u64 = 300_000;
const SERVED_MILLIS: u64 = 3_600_000;
const PAUSE_MILLIS: u64 = 30_000;
const FAILED_MILLIS: u64 = 5_000;
/// Longer than `outbound` lets two fetches take: a host that ended the request all the same ends no other.
const ABANDONED_MILLIS: u64 = 25_000;
/// How long a request waits for another one's fetch, and between two looks.
const PATIENCE_MILLIS: u64 = 12_000;
const LOOK_MILLIS: u64 = 100;

/// What a slot without a set counts as in the cache, in bytes.
const SLOT_BYTES: usize = 256;

key!(
    /// A registered key set: of a client or an issuer, by id and version.
    InlineKey(owner, id, version) -> JwkSet = "inline-keys", weighs JwkSet::weight
);

/// Where a set is published.
#[derive(Clone, Copy)]
enum Published<'a> {
    Set(&'a str),
    Bundle(&'a str),
    ConfigurationOf(&'a str),
}

/// The keys that may verify a token.
#[derive(Clone, Copy)]
pub struct KeyQuery<'a> {
    /// The algorithm of its signature.
    pub alg: Alg,
    /// Its `kid`.
    pub kid: Option<&'a str>,
    /// A set none of whose keys made its signature.
    pub doubted: Option<&'a Rc<JwkSet>>,
}

/// What this isolate knows of one published set.
#[derive(Default)]
struct Slot(RefCell<Known>);

#[derive(Default)]
struct Known {
    /// The last good set, and when it was fetched.
    set: Option<(Rc<JwkSet>, Now)>,
    /// When the last fetch began.
    tried: Option<Now>,
    /// Whether it failed.
    failed: bool,
    /// Whether it goes on.
    fetching: bool,
}

enum Next {
    Use(Rc<JwkSet>),
    Fetch,
    Look,
    Fail,
}

/// The keys to try for a token.
pub async fn of(cx: &Cx<'_>, source: KeySource<'_>, query: KeyQuery<'_>) -> Checked<Rc<JwkSet>> {
    let (owner, id, version, inline, uri) = match source {
        KeySource::Client(client) => {
            ("client", &client.id, client.version, &client.metadata.jwks, &client.metadata.jwks_uri)
        }
        KeySource::Issuer(issuer) => ("issuer", &issuer.id, issuer.version, &issuer.body.jwks, &issuer.body.jwks_uri),
        KeySource::Resource(resource) => (
            "resource",
            &resource.id,
            resource.version,
            &resource.body.txn_challenge_jwks,
            &resource.body.txn_challenge_jwks_uri,
        ),
    };
    let version = version.to_string();
    if let Some(inline) = inline {
        let is_bundle = matches!(source, KeySource::Issuer(issuer) if issuer.body.preset == SPIFFE);
        let load = async || Ok(parse(&inline.to_string(), is_bundle).ok());
        let known = cx.cached(&InlineKey(owner, id, &version), load).await?;
        return known.ok_or(Rejection::Because("its registered keys cannot be used"));
    }
    let published = match (source, uri) {
        (KeySource::Issuer(issuer), Some(uri)) if issuer.body.preset == SPIFFE => Published::Bundle(uri),
        (_, Some(uri)) => Published::Set(uri),
        (KeySource::Issuer(issuer), None) => Published::ConfigurationOf(&issuer.body.issuer),
        (KeySource::Client(_) | KeySource::Resource(_), None) => {
            return Err(Rejection::Because("it has no registered keys"));
        }
    };
    remote(cx, (source, published), query).await
}

async fn remote(
    cx: &Cx<'_>,
    (source, published): (KeySource<'_>, Published<'_>),
    query: KeyQuery<'_>,
) -> Checked<Rc<JwkSet>> {
    let slot: Rc<Slot> = cx.lasting(&published.key(), SLOT_BYTES);
    let mut waited = 0_u64;
    loop {
        let now = Now::from_millis(cx.now.millis().saturating_add(waited));
        match slot.next(now, query) {
            Next::Use(set) => return Ok(set),
            Next::Look if waited < PATIENCE_MILLIS => {
                cx.sleep(LOOK_MILLIS).await;
                waited = waited.saturating_add(LOOK_MILLIS);
            }
            Next::Look | Next::Fail => return Err(Rejection::Error(Fault::Unavailable("a key set").into())),
            Next::Fetch => {
                let _held = cx.world.lifetime.hold();
                slot.begin(now);
                match fetch(cx, published).await {
                    Ok(set) => {
                        let weight = set.weight().saturating_add(SLOT_BYTES);
                        slot.end(now, Some(set));
                        cx.reweigh(&published.key(), slot.clone(), weight);
                    }
                    Err(why) => {
                        slot.end(now, None);
                        tell(cx, source, why).await?;
                    }
                }
            }
        }
    }
}

/// Records that a key set, or a configuration, could not be had, once a fetch: who asks in vain meanwhile makes no event.
pub(super) async fn tell(cx: &Cx<'_>, source: KeySource<'_>, why: String) -> Result<(), Error> {
    cx.world.log.line(&["keys: ", &why].concat());
    let (id, name) = match source {
        KeySource::Client(client) => (&client.id, &client.metadata.client_name),
        KeySource::Issuer(issuer) => (&issuer.id, &issuer.body.name),
        KeySource::Resource(resource) => (&resource.id, &resource.body.name),
    };
    let (target, target_name) = (Some(id.clone()), Some(name.clone()));
    let facts = Facts { target, target_name, detail: Some(why), ..Facts::default() };
    audit::record(cx, &audit::event(cx, EventType::KeySetFailed, None, facts)).await
}

impl Slot {
    fn next(&self, now: Now, query: KeyQuery<'_>) -> Next {
        let known = self.0.borrow();
        let since = |moment: Now| now.millis().saturating_sub(moment.millis());
        let tried = known.tried.map_or(u64::MAX, since);
        let goes_on = known.fetching && tried < ABANDONED_MILLIS;
        let kept = known.set.as_ref().map(|(set, fetched)| (set, since(*fetched)));
        match kept.filter(|(_, age)| *age < SERVED_MILLIS) {
            Some((set, age)) if query.may_be_in(set) && (age < KEPT_MILLIS || goes_on || tried < PAUSE_MILLIS) => {
                Next::Use(set.clone())
            }
            _ if goes_on => Next::Look,
            _ if known.failed && tried < FAILED_MILLIS => Next::Fail,
            // The set is young and does not have the key: so it is.
            Some((set, age)) if age < PAUSE_MILLIS => Next::Use(set.clone()),
            _ => Next::Fetch,
        }
    }

    fn begin(&self, now: Now) {
        let mut known = self.0.borrow_mut();
        known.tried = Some(now);
        known.fetching = true;
    }

    fn end(&self, now: Now, fetched: Option<JwkSet>) {
        let mut known = self.0.borrow_mut();
        known.fetching = false;
        known.failed = fetched.is_none();
        if let Some(set) = fetched {
            known.set = Some((Rc::new(set), now));
        }
    }
}

impl KeyQuery<'_> {
    /// Whether one of the keys of that set may have made the signature.
    fn may_be_in(&self, set: &Rc<JwkSet>) -> bool {
        let is_doubted = self.doubted.is_some_and(|doubted| Rc::ptr_eq(doubted, set));
        !is_doubted && set.candidates(self.alg, self.kid).next().is_some()
    }
}

/// The set, or why it cannot be had.
async fn fetch(cx: &Cx<'_>, published: Published<'_>) -> Result<JwkSet, String> {
    let (uri, is_bundle) = match published {
        Published::Set(uri) => (uri.to_owned(), false),
        Published::Bundle(uri) => (uri.to_owned(), true),
        Published::ConfigurationOf(issuer) => (discover(cx, issuer).await?, false),
    };
    let text = get(cx, &uri, &KEY_SET).await?;
    parse(&text, is_bundle).map_err(|why| ["the key set at ", &uri, " ", why].concat())
}

/// Where an issuer says that its keys are.
async fn discover(cx: &Cx<'_>, issuer: &str) -> Result<String, String> {
    let document = configuration(cx, issuer).await?;
    let uri = document.get("jwks_uri").and_then(Value::as_str);
    uri.map(str::to_owned).ok_or_else(|| ["the document of ", issuer, " names no `jwks_uri`"].concat())
}

/// The OpenID configuration of an issuer, which has to be its own.
pub(super) async fn configuration(cx: &Cx<'_>, issuer: &str) -> Result<Map<String, Value>, String> {
    let url = [issuer.strip_suffix('/').unwrap_or(issuer), "/.well-known/openid-configuration"].concat();
    let text = get(cx, &url, &CONFIGURATION).await?;
    let document: Option<Map<String, Value>> = serde_json::from_str(&text).ok().filter(|_| is_strict(text.as_bytes()));
    let own = document.filter(|document| document.get("issuer").is_some_and(|same| same == issuer));
    own.ok_or_else(|| ["the document at ", &url, " is of another issuer"].concat())
}

async fn get(cx: &Cx<'_>, url: &str, document: &Document) -> Result<String, String> {
    let text = outbound::get(cx, url, document).await;
    text.map_err(|why| ["nothing at ", url, " can be used: ", why].concat())
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

impl Published<'_> {
    fn key(self) -> String {
        match self {
            Self::Set(uri) => ["set ", uri].concat(),
            Self::Bundle(uri) => ["bundle ", uri].concat(),
            Self::ConfigurationOf(issuer) => ["issuer ", issuer].concat(),
        }
    }
}
