//! Who is calling? Exactly one mechanism, the registered one, or nobody.
//!
//! In scope: the mechanisms, one file each, the limit of failures, and whether a client can be registered with one. Out of
//! scope: what the client may have.
//!
//! 1. Two mechanisms in one request are refused (RFC 6749 §2.3); the registered method is enforced exactly: an assertion
//!    that fails never falls back to a secret, nor to nothing.
//! 2. An unknown client, whatever is wrong with its credentials, a wrong method and a suspended client get one answer
//!    (RFC 6749 §5.2); a client that is not there costs the same digest or the same signature.
//! 3. A public client has proved nothing: it passes [`Claim::accept`] alone, whose callers ask the grant whether that is
//!    enough.
//! 4. Failures are limited: see `failures`.
//! 5. An [`Authenticated`] can be made only here.

mod assertion;
mod failures;
mod private_key;
mod registration;
mod secret;
mod workload;

pub use failures::Counted;
pub use registration::problems;
pub use workload::client_by_workload;

use crate::context::Cx;
use crate::directory::clients;
use crate::error::{Reason, Result};
use crate::model::{AuthMethod, Client};
use crate::oauth::Form;
use crate::oauth::basic::Basic;
use std::rc::Rc;

/// How clients can authenticate; metadata follows from this table.
pub const METHODS: &[AuthMethod] = &[
    AuthMethod::ClientSecretBasic,
    AuthMethod::ClientSecretPost,
    AuthMethod::PrivateKeyJwt,
    AuthMethod::FederatedJwt,
    AuthMethod::SpiffeJwt,
    AuthMethod::None,
];

/// A client that has proved who it is, or has nothing to prove it with: `method` tells.
pub struct Authenticated {
    /// The client; active.
    pub client: Rc<Client>,
    /// How it did.
    pub method: AuthMethod,
}

/// What the request presents as its client, still to be believed.
pub struct Claim(Presented);

enum Presented {
    Secret(secret::Presented),
    Assertion(assertion::Presented),
    /// A `client_id` and nothing to prove it.
    Name(String),
}

impl Claim {
    /// Finds the one mechanism that the request uses.
    pub fn read(authorization: Option<&str>, form: &Form) -> Result<Self> {
        Self::find(authorization, form)?.ok_or_else(|| Reason::NoClientAuthentication.into())
    }

    /// The same, for a request that need not have a client.
    pub fn find(authorization: Option<&str>, form: &Form) -> Result<Option<Self>> {
        let id = form.get("client_id");
        let secret = form.get("client_secret");
        let (kind, assertion) = (form.get("client_assertion_type"), form.get("client_assertion"));
        let uses_assertion = kind.is_some() || assertion.is_some();
        if [authorization.is_some(), secret.is_some(), uses_assertion].into_iter().filter(|used| *used).count() > 1 {
            return Err(Reason::SeveralMechanisms.into());
        }
        let presented = match (authorization, secret, uses_assertion) {
            (Some(header), _, _) => {
                let basic = Basic::parse(header).ok_or(Reason::MalformedBasic)?;
                // RFC 6749 allows `client_id` beside Basic as long as it says the same.
                if !id.is_none_or(|id| basic.readings.iter().any(|(known, _)| known == id)) {
                    return Err(Reason::SeveralMechanisms.into());
                }
                Presented::Secret(secret::Presented::basic(basic))
            }
            (None, Some(secret), _) => {
                Presented::Secret(secret::Presented::post(id.ok_or(Reason::NoClientAuthentication)?, secret))
            }
            (None, None, true) => {
                let both = kind.zip(assertion);
                let read = both.and_then(|(kind, text)| assertion::Presented::read(kind, text, id));
                let unread =
                    || Reason::ClientAuthenticationFailed.because("an assertion of no known type, or half of one");
                Presented::Assertion(read.ok_or_else(unread)?)
            }
            (None, None, false) => match id {
                Some(id) => Presented::Name(id.to_owned()),
                None => return Ok(None),
            },
        };
        Ok(Some(Self(presented)))
    }

    /// The client that the request says it is, if that could be one: for the event of a refusal.
    pub fn client_id(&self) -> Option<&str> {
        let id = match &self.0 {
            Presented::Secret(secret) => secret.client_id(),
            Presented::Assertion(assertion) => assertion.client_id(),
            Presented::Name(id) => Some(id.as_str()),
        };
        id.filter(|id| id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    }

    /// Checks it. A public client has proved nothing and does not pass.
    pub async fn verify(self, cx: &Cx<'_>) -> Result<Authenticated> {
        match self.0 {
            Presented::Name(_) => Err(Reason::NoClientAuthentication.into()),
            Presented::Secret(_) | Presented::Assertion(_) => self.accept(cx).await,
        }
    }

    /// Checks it, for an endpoint that has a use for public clients too.
    pub async fn accept(self, cx: &Cx<'_>) -> Result<Authenticated> {
        let counted = Counted::of(cx, self.client_id());
        counted.pass(cx)?;
        match self.check(cx).await? {
            Ok((client, method)) => Ok(Authenticated { client, method }),
            Err(why) => {
                counted.count(cx).await?;
                Err(Reason::ClientAuthenticationFailed.because(why))
            }
        }
    }

    async fn check(&self, cx: &Cx<'_>) -> Result<Result<(Rc<Client>, AuthMethod), &'static str>> {
        let proved = match &self.0 {
            Presented::Secret(secret) => {
                secret.verify(cx).await?.map(|client| (client, secret.method())).ok_or("no such client and secret")
            }
            Presented::Assertion(assertion) => assertion.verify(cx).await?,
            Presented::Name(id) => {
                clients::load(cx, id).await?.map(|client| (client, AuthMethod::None)).ok_or("no such client")
            }
        };
        Ok(proved.and_then(|(client, method)| {
            if client.metadata.token_endpoint_auth_method != method {
                return Err("it is registered for another method");
            }
            if client.is_live(cx.now) { Ok((client, method)) } else { Err("it is stopped or expired") }
        }))
    }
}
