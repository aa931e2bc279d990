//! A token request as grants see it.

use crate::authn::client::Authenticated;
use crate::authn::dpop::Proof;
use crate::context::Cx;
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::{AuthMethod, Client};
use crate::oauth::Parameters;
use crate::ports::Sql;
use std::cell::OnceCell;

/// A token request.
#[derive(Clone, Copy)]
pub struct TokenRequest<'a> {
    /// What the grant reads of the form.
    pub form: Parameters<'a>,
    /// The client, if the request names one.
    pub caller: Option<&'a Authenticated>,
    /// The proof of a key (RFC 9449 §5).
    pub proof: Option<&'a Proof>,
    /// The client that an assertion has shown, where the request names none; at a lease the agent, of whom its events tell.
    pub shown: &'a OnceCell<String>,
}

impl<'a> TokenRequest<'a> {
    /// The client, for a grant that needs one.
    pub fn caller(&self) -> Result<&'a Authenticated> {
        self.caller.ok_or_else(|| Reason::NoClientAuthentication.into())
    }

    /// Whether the client has proved who it is.
    pub fn is_proved(&self) -> bool {
        self.caller.is_some_and(|caller| caller.method != AuthMethod::None)
    }

    /// The thumbprint of the key that was proved with the request.
    pub fn jkt(&self) -> Option<&'a str> {
        self.proof.map(Proof::jkt)
    }

    /// Redeems the proof of a public client, whose code or token has shown that it is no stranger; that of a client that has proved itself is
    /// redeemed already.
    pub async fn redeem_proof_of_public(&self, cx: &Cx<'_>) -> Result<()> {
        match self.is_proved() {
            true => Ok(()),
            false => self.redeem_proof(cx).await,
        }
    }

    /// Redeems the proof, if there is one. Before it, the client has proved who it is, or an assertion has been verified: a stranger
    /// makes us remember nothing.
    pub async fn redeem_proof(&self, cx: &Cx<'_>) -> Result<()> {
        match self.proof {
            Some(proof) => proof.redeem(cx).await,
            None => Ok(()),
        }
    }
}

/// Gives a refusal for a stopped party the reason that the grant has for every token that does not count; in an assertion also one for another
/// actor in `may_act`.
pub fn instead_of_stopped(error: Error, reason: Reason) -> Error {
    match error {
        Error::Refused(Refusal { reason: found @ (Reason::Stopped | Reason::ActorNotNamed), detail, .. })
            if found == Reason::Stopped || reason == Reason::InvalidAssertion =>
        {
            reason.because(detail.unwrap_or_else(|| found.as_str().to_owned()))
        }
        other => other,
    }
}

/// Whether a client may use the grant.
pub fn allows(client: &Client, grant_type: &str) -> bool {
    client.metadata.grant_types.iter().any(|allowed| allowed == grant_type)
}

/// What a client is told that polls before somebody has decided (RFC 8628 §3.5): `poll` notes it, and `slow_down` that it has not waited.
pub async fn too_early(cx: &Cx<'_>, poll: Sql, slow_down: Sql) -> Error {
    match cx.run(vec![poll, slow_down]).await {
        Ok(changes) if changes.first() == Some(&0) => Reason::SlowDown.into(),
        Ok(_) => Reason::AuthorizationPending.into(),
        Err(fault) => fault,
    }
}
