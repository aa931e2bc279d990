//! DPoP at our own endpoints (RFC 9449): that whoever sends a request holds a key.
//!
//! In scope: one proof a request, made for just this request, used once; nonces. Out of scope: the bytes of a proof
//! (`jose::dpop`), which clients must send one and what a token is bound to (`grants::issue`).
//!
//! 1. There is exactly one `DPoP` header (§4.3, item 1). Hosts join repeated ones with commas, so a comma is a refusal.
//! 2. `htu` is compared with the URL that our own settings say, never with `Host`.
//! 3. A proof is used once in the tenant, by (thumbprint, `jti`): whatever location, whatever endpoint (§11.1). What is
//!    remembered outlives the proof and every clock's leeway.
//! 4. Nonces are kept by nobody: the moment, sealed for the tenant. Where the tenant wants them, every proof at the token
//!    endpoint needs one that is at most `NONCE_SECONDS` old (§8), so proofs cannot be made in advance.
//! 5. At our resources a proof names the token (`ath`) and is by the key that the token is bound to (§7.1). A bound token is
//!    worth nothing as a bearer token, nor an unbound one under this scheme (§7.2).
//! 6. A resource server that exchanges, introspects or leases with a bound token has checked the proof itself, for that was
//!    made for its own URL: the token alone is shown here, by an authenticated client that it is meant for.

use crate::context::Cx;
use crate::crypto::sha256;
use crate::error::{Fault, Reason, Result};
use crate::jose::{LEEWAY_SECONDS, PROOF_SECONDS, Problem, Proof, UnverifiedProof};

/// How long a nonce holds, in seconds.
const NONCE_SECONDS: i64 = 300;

/// A sound proof for this request, not yet used.
#[must_use = "a proof that is not spent can be used again"]
pub struct Unspent(Proof);

impl Unspent {
    /// Uses the proof up at the token endpoint, and answers the thumbprint of its key.
    pub async fn used(self, cx: &Cx<'_>) -> Result<String> {
        match self.spend(cx).await? {
            true => Ok(self.0.jkt),
            false => Err(Reason::InvalidProof.because("it was used before")),
        }
    }

    async fn spend(&self, cx: &Cx<'_>) -> Result<bool> {
        let Proof { jkt, jti, iat, .. } = &self.0;
        cx.redeem("dpop", jkt, jti, iat.saturating_add(PROOF_SECONDS)).await
    }
}

/// The proof of a token request, if it has one. It is looked at before the client is, so that whoever lacks a nonce has used
/// nothing up, and used up after it ([`Unspent::used`]), so that whoever is no client makes us remember nothing.
pub async fn at_token_endpoint(cx: &Cx<'_>, header: Option<&str>, dpop_jkt: Option<&str>) -> Result<Option<Unspent>> {
    let Some(header) = header else {
        return match dpop_jkt {
            Some(_) => Err(Reason::InvalidProof.because("`dpop_jkt` without a proof")),
            None => Ok(None),
        };
    };
    let target = format!("{}/token", cx.issuer());
    let proof = read(cx, header, ("POST", &target)).await?.map_err(|why| Reason::InvalidProof.because(why))?;
    if dpop_jkt.is_some_and(|jkt| jkt != proof.jkt) {
        return Err(Reason::InvalidProof.because("`dpop_jkt` names another key"));
    }
    match &proof.nonce {
        _ if !cx.tenant.settings.dpop_nonce => Ok(Some(Unspent(proof))),
        Some(nonce) if is_fresh(cx, nonce) => Ok(Some(Unspent(proof))),
        Some(_) => Err(Reason::NonceRequired.because("its nonce is none of ours, or too old")),
        None => Err(Reason::NonceRequired.because("it has no nonce")),
    }
}

/// Checks the proof that has to go with an access token bound to `jkt`, and uses it up; `request` is method and URL.
pub async fn with_token(
    cx: &Cx<'_>,
    header: Option<&str>,
    token: &str,
    jkt: &str,
    request: (&str, &str),
) -> Result<()> {
    let refuse = |why: &'static str| Reason::InvalidTokenProof.because(why);
    let proof = read(cx, header.ok_or_else(|| refuse("there is none"))?, request).await?.map_err(refuse)?;
    if proof.ath != Some(sha256(token).to_text()) {
        return Err(refuse("`ath` names another token"));
    }
    if proof.jkt != jkt {
        return Err(refuse("the token is bound to another key"));
    }
    match Unspent(proof).spend(cx).await? {
        true => Ok(()),
        false => Err(refuse("it was used before")),
    }
}

/// A sound proof for the request; otherwise why it is none.
async fn read(cx: &Cx<'_>, header: &str, (htm, htu): (&str, &str)) -> Result<Result<Proof, &'static str>> {
    if header.contains(',') {
        return Ok(Err("there are several"));
    }
    let verdict = match UnverifiedProof::parse(header) {
        Ok(proof) => proof.verify(&*cx.world.keys, cx.now, htm, htu).await,
        Err(problem) => Err(problem),
    };
    match verdict {
        Ok(proof) => Ok(Ok(proof)),
        Err(Problem::Unavailable(port)) => Err(Fault::Unavailable(port).into()),
        Err(problem) => Ok(Err(problem.as_str())),
    }
}

fn place(cx: &Cx<'_>) -> String {
    format!("dpop-nonce/{}", cx.tenant.id)
}

/// A nonce for the next proof, where the tenant wants one.
pub fn next_nonce(cx: &Cx<'_>) -> Result<Option<String>> {
    if !cx.tenant.settings.dpop_nonce {
        return Ok(None);
    }
    let ring = cx.config.signing().ok_or(Fault::Broken("this Worker gives out no nonces"))?;
    let sealed = ring.seal(&place(cx), &cx.now.seconds().to_be_bytes(), &*cx.world.entropy);
    sealed.map(Some).ok_or_else(|| Fault::Broken("a nonce cannot be sealed").into())
}

fn is_fresh(cx: &Cx<'_>, nonce: &str) -> bool {
    let opened = cx.config.signing().and_then(|ring| ring.open(&place(cx), nonce));
    let made = opened.and_then(|bytes| bytes.as_slice().try_into().ok()).map(i64::from_be_bytes);
    let age = made.map(|made| cx.now.seconds().saturating_sub(made));
    age.is_some_and(|age| (-LEEWAY_SECONDS..=NONCE_SECONDS).contains(&age))
}
