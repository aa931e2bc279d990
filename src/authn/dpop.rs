//! DPoP at our own endpoints (RFC 9449): the sender of a request holds a key.
//!
//! In scope: one proof a request, made for just this request, used once; nonces. Out of scope: the bytes of a proof
//! (`jose::dpop`), which clients must send one (`tokens::decide`) and what a token is bound to (`tokens::mint`).
//!
//! 1. There is exactly one `DPoP` header (§4.3, item 1). Hosts join repeated ones with commas, so a comma is a refusal.
//! 2. `htu` is compared with the URL that our own settings say, never with `Host`.
//! 3. A proof is used once in the tenant, by (thumbprint, `jti`): whatever location, whatever endpoint (§11.1). What is
//!    remembered outlives the proof and every clock's leeway.
//! 4. Nonces are not stored: one is its moment with a tag (HMAC) for the tenant. Where the tenant wants them, every proof at the token
//!    endpoint needs one that is at most `NONCE_SECONDS` old (§8), so proofs cannot be made in advance.
//! 5. At our resources a proof names the token (`ath`) and is by the key that the token is bound to (§7.1). A bound token is
//!    worth nothing as a bearer token, nor an unbound one under this scheme (§7.2).
//! 6. A resource server that exchanges, introspects or leases with a bound token has checked the proof itself, for that was
//!    made for its own URL: the token alone is shown here, by an authenticated client that it is meant for.

use crate::context::Cx;
use crate::crypto::{b64, sha256, unb64};
use crate::error::{Checked, Fault, Reason, Rejection, Result};
use crate::jose::{self, LEEWAY_SECONDS, PROOF_SECONDS, UnverifiedProof};

/// The purpose of the tag of a nonce.
const NONCE: &str = "dpop-nonce";
/// The token endpoint, below the issuer.
const TOKEN: &str = "token";
/// How long a nonce holds, in seconds.
const NONCE_SECONDS: i64 = 300;

/// A sound proof for this request.
#[must_use = "a proof that is not redeemed can be used again"]
pub struct Proof(jose::Proof);

impl Proof {
    /// The thumbprint of its key.
    pub fn jkt(&self) -> &str {
        &self.0.jkt
    }

    /// Redeems the proof at the token endpoint: it counts once.
    pub async fn redeem(&self, cx: &Cx<'_>) -> Result<()> {
        match self.is_first(cx).await? {
            true => Ok(()),
            false => Err(Reason::InvalidProof.because("it was used before")),
        }
    }

    async fn is_first(&self, cx: &Cx<'_>) -> Result<bool> {
        let jose::Proof { jkt, jti, iat, .. } = &self.0;
        cx.redeem("dpop", jkt, jti, iat.saturating_add(PROOF_SECONDS)).await
    }
}

/// The proof of a token request, if it has one. It is verified before the client is, so that a request without a nonce redeems
/// nothing. It is redeemed later ([`Proof::redeem`]), once a client or an assertion has been verified: a stranger makes us remember
/// nothing.
pub async fn at_token_endpoint(cx: &Cx<'_>, header: Option<&str>, dpop_jkt: Option<&str>) -> Result<Option<Proof>> {
    match at(cx, TOKEN, header, dpop_jkt).await? {
        None => Ok(None),
        Some(proof) => match &proof.nonce {
            _ if !cx.tenant.settings.dpop_nonce => Ok(Some(Proof(proof))),
            Some(nonce) if is_fresh(cx, nonce) => Ok(Some(Proof(proof))),
            Some(_) => Err(Reason::NonceRequired.because("its nonce is none of ours, or too old")),
            None => Err(Reason::NonceRequired.because("it has no nonce")),
        },
    }
}

/// The proof that goes with a pushed authorization request, if it has one (RFC 9449 §10.1). It needs no nonce and is not redeemed: it names
/// the key of which the token request has to bring another proof.
pub async fn at_par(cx: &Cx<'_>, header: Option<&str>, dpop_jkt: Option<&str>) -> Result<Option<Proof>> {
    match header {
        Some(_) => Ok(at(cx, "par", header, dpop_jkt).await?.map(Proof)),
        None => Ok(None),
    }
}

/// The proof of a request for the token of a transaction, if it has one. It is redeemed as at the token endpoint.
pub async fn at_transactions(cx: &Cx<'_>, header: Option<&str>) -> Result<Option<Proof>> {
    match header {
        Some(_) => Ok(at(cx, "transaction-authorization", header, None).await?.map(Proof)),
        None => Ok(None),
    }
}

async fn at(cx: &Cx<'_>, endpoint: &str, header: Option<&str>, dpop_jkt: Option<&str>) -> Result<Option<jose::Proof>> {
    let Some(header) = header else {
        return match dpop_jkt {
            Some(_) => Err(Reason::InvalidProof.because("`dpop_jkt` without a proof")),
            None => Ok(None),
        };
    };
    let target = match cx.route().filter(|_| endpoint == TOKEN) {
        Some(route) => route.token_endpoint(cx.config.origin()),
        None => [&cx.issuer(), "/", endpoint].concat(),
    };
    let proof = read(cx, header, ("POST", &target)).await;
    let proof = proof.map_err(|rejection| rejection.refuse(Reason::InvalidProof))?;
    if dpop_jkt.is_some_and(|jkt| jkt != proof.jkt) {
        return Err(Reason::InvalidProof.because("`dpop_jkt` names another key"));
    }
    Ok(Some(proof))
}

/// Verifies and redeems the proof that goes with an access token bound to `jkt`; `request` is method and URL.
pub async fn with_token(
    cx: &Cx<'_>,
    header: Option<&str>,
    token: &str,
    jkt: &str,
    request: (&str, &str),
) -> Result<()> {
    let refuse = |why: &'static str| Reason::InvalidTokenProof.because(why);
    let proof = read(cx, header.ok_or_else(|| refuse("there is none"))?, request).await;
    let proof = proof.map_err(|rejection| rejection.refuse(Reason::InvalidTokenProof))?;
    if proof.ath != Some(sha256(token).to_text()) {
        return Err(refuse("`ath` names another token"));
    }
    if proof.jkt != jkt {
        return Err(refuse("the token is bound to another key"));
    }
    match Proof(proof).is_first(cx).await? {
        true => Ok(()),
        false => Err(refuse("it was used before")),
    }
}

/// A sound proof for the request.
async fn read(cx: &Cx<'_>, header: &str, (htm, htu): (&str, &str)) -> Checked<jose::Proof> {
    if header.contains(',') {
        return Err(Rejection::Because("there are several"));
    }
    Ok(UnverifiedProof::parse(header)?.verify(&*cx.world.keys, cx.now, htm, htu).await?)
}

/// The message under the tag of a nonce: the moment that the nonce begins with, and the tenant.
fn tagged(cx: &Cx<'_>, moment: [u8; 8]) -> Vec<u8> {
    [&moment, cx.tenant.id.as_bytes()].concat()
}

/// A nonce for the next proof, where the tenant wants one.
pub fn next_nonce(cx: &Cx<'_>) -> Result<Option<String>> {
    if !cx.tenant.settings.dpop_nonce {
        return Ok(None);
    }
    let ring = cx.config.signing().ok_or(Fault::Broken("this Worker gives out no nonces"))?;
    let moment = cx.now.seconds().to_be_bytes();
    let tag = ring.tag(NONCE, &tagged(cx, moment)).ok_or(Fault::Broken("a nonce has no tag"))?;
    Ok(Some(b64([moment.as_slice(), &tag].concat())))
}

fn is_fresh(cx: &Cx<'_>, nonce: &str) -> bool {
    let Some(bytes) = unb64(nonce) else { return false };
    let Some((moment, tag)) = bytes.split_first_chunk::<8>() else { return false };
    let age = cx.now.seconds().saturating_sub(i64::from_be_bytes(*moment));
    (-LEEWAY_SECONDS..=NONCE_SECONDS).contains(&age)
        && cx.config.signing().is_some_and(|ring| ring.has_tagged(NONCE, &tagged(cx, *moment), tag))
}
