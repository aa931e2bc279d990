//! Signing keys of a tenant: made here, sealed at rest, next → current → retired.
//!
//! 1. A key is published for [`PUBLISH_SECONDS`] before it signs, so that every verifier that honours the caching of the
//!    key set knows it (docs/requirements.md R64).
//! 2. A retired key stays published until the last token that it signed has died.
//! 3. Private halves are sealed under the signing key-encryption key, with tenant and `kid` as associated data, and are
//!    opened only in Workers that have it.
//! 4. A revoked key is gone at once, from the key set and from every verifier of ours within the freshness bound. The cron seals anew what
//!    lies under an older key-encryption key.
//! 5. Every move is one guarded transaction: two rotations at once move once.

use crate::audit;
use crate::context::cache::key;
use crate::context::{Change, Cx};
use crate::crypto::Secret;
use crate::error::{Error, Fault, Reason, Result};
use crate::jose::{LEEWAY_SECONDS, PublicJwk, Unsigned};
use crate::model::event::Facts;
use crate::model::resource::MAX_LIFETIME;
use crate::model::{EventType, KeyState, SigningKey};
use crate::ports::Alg;
use crate::store::{self, keys::StoredKey};
use std::rc::Rc;

/// How long the key set may be cached by whoever reads it, in seconds.
pub const JWKS_MAX_AGE: i64 = 300;
/// How long a key is published before it signs, in seconds: twice the time for which the key set may be cached.
pub const PUBLISH_SECONDS: i64 = 2 * JWKS_MAX_AGE;
/// How long a key signs before the cron retires it, in seconds: 30 days.
const ROTATION_SECONDS: i64 = 30 * 24 * 60 * 60;
/// How many private halves one run of the cron seals anew.
const RESEALED: usize = 10;
/// How long a retired key stays published, in seconds.
const RETIREMENT_SECONDS: i64 = MAX_LIFETIME as i64 + 2 * LEEWAY_SECONDS + 60;

key!(
    /// The signing keys of a tenant.
    SigningKeysKey -> KeySet = "signing-keys", weighs |_| 16_384
);

/// The keys of a tenant that matter now.
pub struct KeySet(Vec<SigningKey>);

impl KeySet {
    /// All of them, as they are published.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.0.iter()
    }

    /// The key of that `kid`, if it is still honoured.
    pub fn find(&self, kid: &str) -> Option<&SigningKey> {
        self.0.iter().find(|key| key.public.kid() == kid)
    }

    /// The key that signs with `alg`.
    pub fn current(&self, alg: Alg) -> Option<&SigningKey> {
        self.0.iter().find(|key| key.public.alg() == alg && key.state == KeyState::Current)
    }

    fn has(&self, alg: Alg, state: KeyState) -> bool {
        self.0.iter().any(|key| key.public.alg() == alg && key.state == state)
    }
}

/// The keys of the tenant. Where this Worker may make keys, missing ones are made first.
pub async fn all(cx: &Cx<'_>) -> Result<Rc<KeySet>> {
    let load = async || {
        let set = load_keys(cx).await?;
        let complete =
            Alg::SIGNING.into_iter().all(|alg| set.has(alg, KeyState::Current) && set.has(alg, KeyState::Next));
        if complete || cx.config.signing().is_none() {
            return Ok(Some(set));
        }
        fill(cx, &set).await?;
        load_keys(cx).await.map(Some)
    };
    cx.cached(&SigningKeysKey, load).await?.ok_or_else(|| Fault::Broken("a tenant has no key set").into())
}

/// Signs what `shape` makes for the `kid` of the key that signs with `alg` now. Access tokens are not for here: the one
/// mint signs them while it records their event.
pub async fn sign(cx: &Cx<'_>, alg: Alg, shape: impl FnOnce(&str) -> Option<Unsigned>) -> Result<String> {
    let keys = all(cx).await?;
    let key = keys.current(alg).ok_or(Fault::Unavailable("a signing key"))?;
    let private = key.as_private().ok_or(Fault::Broken("this Worker has no signing key"))?;
    let token = shape(key.public.kid()).ok_or(Fault::Broken("claims have no JSON"))?;
    let signature = cx.world.keys.sign(private, token.input()).await?;
    Ok(token.signed(&signature))
}

async fn load_keys(cx: &Cx<'_>) -> Result<KeySet> {
    let since = cx.now.seconds().saturating_sub(RETIREMENT_SECONDS);
    let stored = cx.all(store::keys::all(&cx.tenant.id, since)).await?;
    stored.into_iter().map(|key| open(cx, key)).collect::<Result<_>>().map(KeySet)
}

fn associated(tenant: &str, kid: &str) -> String {
    format!("signing-key/{tenant}/{kid}")
}

fn open(cx: &Cx<'_>, stored: StoredKey) -> Result<SigningKey> {
    let broken = || Error::Fault(Fault::Broken("a stored signing key cannot be read"));
    let alg = Alg::parse_signing(&stored.alg).ok_or_else(broken)?;
    let public = PublicJwk::parse(alg, &stored.jwk).filter(|jwk| jwk.kid() == stored.kid).ok_or_else(broken)?;
    let state = KeyState::parse(&stored.state).ok_or_else(broken)?;
    let private = match cx.config.signing() {
        Some(ring) if state == KeyState::Current => {
            let opened = ring.open(&associated(&cx.tenant.id, &stored.kid), &stored.sealed).ok_or_else(broken)?;
            Some(Secret::new(opened.to_vec()))
        }
        _ => None,
    };
    Ok(SigningKey { public, state, changed_at: stored.changed_at, created_at: stored.created_at, private })
}

/// Makes what is missing: a current and a next key for every algorithm. Whoever comes second keeps the first one's.
async fn fill(cx: &Cx<'_>, set: &KeySet) -> Result<()> {
    for alg in Alg::SIGNING {
        for state in [KeyState::Current, KeyState::Next] {
            if !set.has(alg, state) {
                let key = make(cx, alg, state).await?;
                let facts =
                    Facts { target: Some(key.kid.clone()), detail: Some(key.state.clone()), ..Facts::default() };
                let event = audit::event(cx, EventType::KeyRotated, None, facts);
                let change = Change::guard(store::keys::insert(&cx.tenant.id, &key));
                cx.commit(change.invalidates(&SigningKeysKey).event(event)).await?;
            }
        }
    }
    Ok(())
}

async fn make(cx: &Cx<'_>, alg: Alg, state: KeyState) -> Result<StoredKey> {
    let ring = cx.config.signing().ok_or(Fault::Broken("this Worker may not make signing keys"))?;
    let pair = cx.world.keys.generate(alg).await?;
    let pkcs8 = Secret::new(pair.pkcs8);
    let public = PublicJwk::parse(alg, &pair.jwk).ok_or(Fault::Broken("a new key does not fit its algorithm"))?;
    let sealed = ring
        .seal(&associated(&cx.tenant.id, public.kid()), pkcs8.expose(), &*cx.world.entropy)
        .ok_or(Fault::Broken("a new key cannot be sealed"))?;
    Ok(StoredKey {
        kid: public.kid().to_owned(),
        alg: alg.as_str().to_owned(),
        state: state.as_str().to_owned(),
        jwk: public.json().to_owned(),
        sealed,
        created_at: cx.now.seconds(),
        changed_at: cx.now.seconds(),
    })
}

/// Retires the current key of every algorithm, lets the next one sign, and publishes a new next one. Refused while a next
/// key is too young, for verifiers could not know it yet.
pub async fn rotate(cx: &Cx<'_>, client: Option<&str>) -> Result<()> {
    let set = all(cx).await?;
    let published_by = cx.now.seconds().saturating_sub(PUBLISH_SECONDS);
    let too_young = set.iter().filter(|key| key.state == KeyState::Next && key.changed_at > published_by);
    if let Some(young) = too_young.max_by_key(|key| key.changed_at) {
        let wait = young.changed_at.saturating_sub(published_by);
        return Err(Reason::Conflict.because(format!("the next key has to be published first; try again in {wait} s")));
    }
    for alg in Alg::SIGNING {
        step(cx, alg, client).await?;
    }
    Ok(())
}

async fn step(cx: &Cx<'_>, alg: Alg, client: Option<&str>) -> Result<()> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let next = make(cx, alg, KeyState::Next).await?;
    let facts = Facts { target: Some(next.kid.clone()), detail: Some("rotated".to_owned()), ..Facts::default() };
    let event = audit::event(cx, EventType::KeyRotated, client, facts);
    let change = Change::guard(store::keys::retire(tenant, alg.as_str(), now.saturating_sub(PUBLISH_SECONDS), now))
        .then(store::keys::promote(tenant, alg.as_str(), now))
        .invalidates(&SigningKeysKey)
        .event(event)
        .always(store::keys::insert(tenant, &next));
    if cx.commit(change).await? {
        cx.world.log.line("keys: rotated");
    }
    Ok(())
}

/// Withdraws a key at once: neither the key set nor any verifier of ours has it any more, and no token that it signed is honoured. Where
/// it signed, the next one signs now; it has been published, so verifiers know it. A new next one is made.
pub async fn revoke(cx: &Cx<'_>, kid: &str, client: &str) -> Result<()> {
    let set = all(cx).await?;
    let key = set.find(kid).ok_or(Reason::NotFound)?;
    let (tenant, alg, now) = (&cx.tenant.id, key.public.alg(), cx.now.seconds());
    let facts = Facts { target: Some(kid.to_owned()), detail: Some(key.state.as_str().to_owned()), ..Facts::default() };
    let event = audit::event(cx, EventType::KeyRevoked, Some(client), facts);
    let change = Change::guard(store::keys::revoke(tenant, kid, key.state.as_str())).invalidates(&SigningKeysKey);
    let change = match key.state {
        KeyState::Current => change.then(store::keys::promote(tenant, alg.as_str(), now)),
        KeyState::Next | KeyState::Retired => change,
    };
    let change = match key.state {
        KeyState::Retired => change,
        KeyState::Current | KeyState::Next => {
            change.always(store::keys::insert(tenant, &make(cx, alg, KeyState::Next).await?))
        }
    };
    match cx.commit(change.event(event)).await? {
        true => Ok(()),
        false => Err(Reason::Conflict.because("the key has just moved on; look again")),
    }
}

/// Seals private halves anew that lie under an older key-encryption key, a few at a time.
pub async fn reseal(cx: &Cx<'_>) -> Result<()> {
    let Some(ring) = cx.config.signing() else { return Ok(()) };
    let stored = cx.all(store::keys::all(&cx.tenant.id, cx.now.seconds().saturating_sub(RETIREMENT_SECONDS))).await?;
    let old = stored.iter().filter(|key| !ring.is_current(&key.sealed)).take(RESEALED);
    let anew = old.filter_map(|key| {
        let sealed = ring.reseal(&associated(&cx.tenant.id, &key.kid), &key.sealed, &*cx.world.entropy);
        if sealed.is_none() {
            cx.world.log.line("keys: a signing key does not open under any key-encryption key");
        }
        Some(store::keys::reseal(&cx.tenant.id, &key.kid, &key.sealed, &sealed?))
    });
    cx.run(anew.collect()).await.map(drop)
}

/// Makes missing keys, rotates those that have signed long enough, and forgets those whose last token has died.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let set = all(cx).await?;
    let old = cx.now.seconds().saturating_sub(ROTATION_SECONDS);
    for alg in Alg::SIGNING {
        if set.current(alg).is_some_and(|key| key.changed_at <= old) {
            step(cx, alg, None).await?;
        }
    }
    let dead = cx.now.seconds().saturating_sub(RETIREMENT_SECONDS);
    cx.run(vec![store::keys::forget(&cx.tenant.id, dead)]).await.map(drop)
}
