//! The key of a tenant's log: made with its first checkpoint, sealed at rest.
//!
//! 1. It signs checkpoints, and that members of an event were erased ([`super::erasing`]); neither text can be taken for the other. Its private half is sealed with tenant and thumbprint as associated data, and is opened only in Workers
//!    with the role `audit`.
//! 2. Its name is the origin of the log: the URL of the log without its scheme (C2SP tlog-tiles).

use super::note::{ED25519, Vkey};
use crate::context::cache::key;
use crate::context::{Change, Cx};
use crate::crypto::{Secret, unb64};
use crate::error::{Error, Fault, Result};
use crate::jose::PublicJwk;
use crate::ports::{Alg, PrivateKey};
use crate::store::{self, log::StoredKey};
use serde_json::Value;
use std::rc::Rc;

key!(
    /// The key of the tenant's log.
    LogKeyKey -> LogKey = "log-key", weighs |_| 1_024
);

/// The key of a log.
pub struct LogKey {
    /// What verifies its checkpoints.
    pub vkey: Vkey,
    public: PublicJwk,
    private: Option<Secret<Vec<u8>>>,
}

key!(
    /// The verifier key of the tenant's log; empty before it has begun.
    LogVkeyKey -> String = "log-vkey", weighs |_| 256
);

/// The verifier key of the tenant's log, if there is one. The private half need not be readable.
pub async fn vkey(cx: &Cx<'_>) -> Result<Option<String>> {
    let known = cx
        .cached(&LogVkeyKey, async || {
            let stored = cx.one(store::log::key(&cx.tenant.id)).await?;
            let vkey = stored.map(|stored| Ok(vkey_of(cx, &parse(&stored).ok_or_else(broken)?)?.to_text()));
            vkey.unwrap_or_else(|| Ok(String::new())).map(Some)
        })
        .await?;
    Ok(known.filter(|vkey| !vkey.is_empty()).map(|vkey| vkey.to_string()))
}

/// The URL of a log, which its tiles stand below.
pub fn url(cx: &Cx<'_>) -> String {
    [&cx.issuer(), "/log"].concat()
}

/// The key of the tenant's log, made where there is none and this Worker may make one.
pub async fn get(cx: &Cx<'_>) -> Result<Option<Rc<LogKey>>> {
    cx.cached(&LogKeyKey, async || {
        if let Some(stored) = cx.one(store::log::key(&cx.tenant.id)).await? {
            return open(cx, &stored).map(Some);
        }
        if cx.config.logs().is_none() {
            return Ok(None);
        }
        let made = make(cx).await?;
        let insert = store::log::insert_key(&cx.tenant.id, &made, cx.now.seconds());
        cx.commit(Change::guard(insert).invalidates(&LogVkeyKey)).await?;
        // Of two that make one at once, the first one's is kept.
        let stored = cx.one(store::log::key(&cx.tenant.id)).await?;
        stored.map(|stored| open(cx, &stored)).transpose()
    })
    .await
}

/// Seals the key anew, if it lies under an older key-encryption key.
pub async fn reseal(cx: &Cx<'_>) -> Result<()> {
    let (Some(ring), Some(stored)) = (cx.config.logs(), cx.one(store::log::key(&cx.tenant.id)).await?) else {
        return Ok(());
    };
    if ring.is_current(&stored.sealed) {
        return Ok(());
    }
    let public = parse(&stored).ok_or_else(broken)?;
    let sealed = ring.reseal(&associated(cx, public.kid()), &stored.sealed, &*cx.world.entropy).ok_or_else(broken)?;
    cx.run(vec![store::log::reseal_key(&cx.tenant.id, &stored.sealed, &sealed)]).await.map(drop)
}

impl LogKey {
    /// The public key, as it is stored.
    pub fn jwk(&self) -> &str {
        self.public.json()
    }

    /// Signs the text of a checkpoint: the signed note.
    pub async fn sign(&self, cx: &Cx<'_>, text: &str) -> Result<String> {
        Ok(self.vkey.sign(text, &self.sign_text(cx, text).await?))
    }

    /// Signs a text, which must be none that a checkpoint can have unless it is one.
    pub async fn sign_text(&self, cx: &Cx<'_>, text: &str) -> Result<Vec<u8>> {
        let private = self.private.as_ref().ok_or(Fault::Unavailable("the key of the log"))?;
        let key = PrivateKey { alg: Alg::EdDsa, id: self.public.kid(), pkcs8: private.expose() };
        Ok(cx.world.keys.sign(key, text.as_bytes()).await?)
    }

    /// Whether a note is signed by this key.
    pub async fn has_signed(&self, cx: &Cx<'_>, note: &str) -> Result<bool> {
        match (self.vkey.signature_of(note), super::note::split(note)) {
            (Some(signature), Some((text, _))) => self.has_signed_text(cx, text, &signature).await,
            _ => Ok(false),
        }
    }

    /// Whether a signature over a text is of this key.
    pub async fn has_signed_text(&self, cx: &Cx<'_>, text: &str, signature: &[u8]) -> Result<bool> {
        Ok(cx.world.keys.verify(self.public.as_key(), text.as_bytes(), signature).await?)
    }
}

fn broken() -> Error {
    Fault::Broken("the key of a log cannot be read").into()
}

fn associated(cx: &Cx<'_>, kid: &str) -> String {
    format!("log-key/{}/{kid}", cx.tenant.id)
}

fn parse(stored: &StoredKey) -> Option<PublicJwk> {
    PublicJwk::parse(Alg::EdDsa, &stored.jwk)
}

fn vkey_of(cx: &Cx<'_>, public: &PublicJwk) -> Result<Vkey> {
    let members: Value = serde_json::from_slice(public.json().as_bytes()).map_err(|_| broken())?;
    let bytes = members.get("x").and_then(Value::as_str).and_then(unb64).and_then(|x| x.try_into().ok());
    let url = url(cx);
    let name = url.split_once("://").map_or(&*url, |(_, name)| name).to_owned();
    Ok(Vkey { name, kind: ED25519, public: bytes.ok_or_else(broken)? })
}

fn open(cx: &Cx<'_>, stored: &StoredKey) -> Result<LogKey> {
    let public = parse(stored).ok_or_else(broken)?;
    let vkey = vkey_of(cx, &public)?;
    let private = match cx.config.logs() {
        Some(ring) => {
            let opened = ring.open(&associated(cx, public.kid()), &stored.sealed).ok_or_else(broken)?;
            Some(Secret::new(opened.to_vec()))
        }
        None => None,
    };
    Ok(LogKey { vkey, public, private })
}

async fn make(cx: &Cx<'_>) -> Result<StoredKey> {
    let ring = cx.config.logs().ok_or_else(broken)?;
    let pair = cx.world.keys.generate(Alg::EdDsa).await?;
    let pkcs8 = Secret::new(pair.pkcs8);
    let public = PublicJwk::parse(Alg::EdDsa, &pair.jwk).ok_or_else(broken)?;
    let sealed = ring.seal(&associated(cx, public.kid()), pkcs8.expose(), &*cx.world.entropy).ok_or_else(broken)?;
    Ok(StoredKey { jwk: public.json().to_owned(), sealed })
}
