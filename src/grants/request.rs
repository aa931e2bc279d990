//! A token request as grants see it.

use crate::authn::client::Authenticated;
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::Client;
use crate::oauth::Form;

/// A token request.
pub struct TokenRequest<'a> {
    /// The form.
    pub form: &'a Form,
    /// The client, if it has said who it is.
    pub caller: Option<&'a Authenticated>,
    /// The thumbprint of the key that was proved with the request (RFC 9449 §5).
    pub jkt: Option<&'a str>,
}

impl<'a> TokenRequest<'a> {
    /// The client, for a grant that is for authenticated clients only.
    pub fn caller(&self) -> Result<&'a Authenticated> {
        self.caller.ok_or_else(|| Reason::NoClientAuthentication.into())
    }
}

/// That somebody in a token was stopped makes that token one that does not count: the grant says it as it always does.
pub fn instead_of_stopped(error: Error, reason: Reason) -> Error {
    match error {
        Error::Refused(refusal) if refusal.reason == Reason::Stopped => Error::Refused(Refusal { reason, ..refusal }),
        other => other,
    }
}

/// Whether a client may use the grant.
pub fn allows(client: &Client, grant_type: &str) -> bool {
    client.metadata.grant_types.iter().any(|allowed| allowed == grant_type)
}
