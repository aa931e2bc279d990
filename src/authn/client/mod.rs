//! Client authentication: by one mechanism, the registered one.
//!
//! In scope: the mechanisms, one file each, the limit of failures, and whether a client can be registered with one. Out of
//! scope: what the client may have.
//!
//! 1. Two mechanisms in one request are refused (RFC 6749 §2.3). The registered method is enforced: an assertion that fails never
//!    falls back to a secret, nor to nothing. A secret may come in the header or in the form, whichever of the two is registered.
//! 2. An unknown client and whatever proves nothing get one answer (RFC 6749 §5.2); a client that is not there costs the same digest or
//!    the same signature. A client that has proved itself by a good secret or signature is told what else is wrong.
//! 3. A public client has proved nothing: it passes [`Claim::accept`] alone, whose callers ask the grant whether that is
//!    enough.
//! 4. Refusals are limited: see `failures`. An id that is longer than any is refused before a look-up.
//! 5. An [`Authenticated`] can be made only here.

mod assertion;
mod failures;
mod private_key;
mod registration;
mod secret;
mod workload;

pub use failures::{Unproved, address, limit_attempts};
pub use registration::problems;
pub use workload::client_by_workload;

use crate::context::Cx;
use crate::directory::clients;
use crate::error::{Checked, Error, Reason, Rejection, Result};
use crate::model::{AuthMethod, Client};
use crate::oauth::Form;
use crate::oauth::basic::Basic;
use crate::oauth::client_url;
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

/// The parameters by which a client authenticates in a form.
pub const PARAMETERS: &[&str] = &["client_id", "client_secret", "client_assertion_type", "client_assertion"];

/// A client that has proved who it is, or has nothing to prove it with: `method` tells.
pub struct Authenticated {
    /// The client; active.
    pub client: Rc<Client>,
    /// How it did.
    pub method: AuthMethod,
    /// What the issuer of its assertion says of the workload, as `name=value`: the claims that are registered with the issuer.
    pub workload_claims: Vec<String>,
}

/// The clients that an endpoint or a grant takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Confidential clients, which have proved themselves.
    Confidential,
    /// Confidential clients, or no client: an assertion then shows it.
    ConfidentialOrNone,
    /// Registered clients, public ones too.
    Registered,
    /// Registered clients, or no client.
    Anyone,
}

impl Callers {
    /// Whether a public client, which proves nothing, is taken.
    pub const fn may_be_public(self) -> bool {
        matches!(self, Self::Registered | Self::Anyone)
    }

    /// Whether a request without a client is taken.
    pub const fn may_be_none(self) -> bool {
        matches!(self, Self::ConfidentialOrNone | Self::Anyone)
    }
}

/// The client authentication that a request presents, unverified.
pub struct Claim(Presented);

enum Presented {
    Secret(secret::Presented),
    Assertion(assertion::Presented),
    /// A `client_id` and nothing to prove it.
    Name(String),
}

impl Claim {
    /// Reads the one mechanism of a request that needs a client.
    pub fn read(authorization: Option<&str>, form: &Form) -> Result<Self> {
        Self::find(authorization, form)?.ok_or_else(|| Reason::NoClientAuthentication.into())
    }

    /// Reads the one mechanism of a request; nothing if it names no client.
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
                Presented::Secret(secret::Presented::post(id.ok_or(Reason::MissingClientId)?, secret))
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

    /// The client that the request names, unverified: for the count and the event of a refusal.
    pub fn client_id(&self) -> Option<&str> {
        match &self.0 {
            Presented::Secret(secret) => secret.client_id(),
            Presented::Assertion(assertion) => assertion.client_id(),
            Presented::Name(id) => Some(id.as_str()),
        }
    }

    /// The client that a right secret proves: for a request that is refused for another reason. An assertion is not looked at, for it
    /// would be redeemed.
    pub async fn secret_of(self, cx: &Cx<'_>) -> Result<Option<Rc<Client>>> {
        match self.0 {
            Presented::Secret(_) => match self.accept(cx).await {
                Ok(caller) => Ok(Some(caller.client)),
                Err(Error::Refused(_)) => Ok(None),
                Err(fault) => Err(fault),
            },
            Presented::Assertion(_) | Presented::Name(_) => Ok(None),
        }
    }

    /// Verifies a confidential client. A public client does not pass.
    pub async fn verify(self, cx: &Cx<'_>) -> Result<Authenticated> {
        match self.0 {
            Presented::Name(_) => Err(Reason::NoClientAuthentication.into()),
            Presented::Secret(_) | Presented::Assertion(_) => self.accept(cx).await,
        }
    }

    /// Verifies the client, public or not.
    pub async fn accept(self, cx: &Cx<'_>) -> Result<Authenticated> {
        if self.client_id().is_some_and(|id| id.len() > client_url::MAX_LENGTH) {
            return Err(Reason::ClientAuthenticationFailed.because("no client has an id as long as this"));
        }
        self.check(cx).await.map_err(|rejection| rejection.tell(Reason::ClientAuthenticationFailed))
    }

    async fn check(&self, cx: &Cx<'_>) -> Checked<Authenticated> {
        let (client, method, workload_claims) = match &self.0 {
            Presented::Secret(secret) => {
                let client = secret.verify(cx).await?.ok_or(Rejection::Because("no such client and secret"))?;
                (client, secret.method(), vec![])
            }
            Presented::Assertion(assertion) => assertion.verify(cx).await?,
            Presented::Name(id) => {
                let client = clients::load(cx, id).await?.ok_or(Rejection::Because("no such client"))?;
                (client, AuthMethod::None, vec![])
            }
        };
        // A request that only names a client has proved nothing, so the refusal says nothing about the client.
        let tell = |reason: Reason| match method {
            AuthMethod::None => Rejection::Because(reason.as_str()),
            _ => Rejection::Told(reason),
        };
        let registered = client.metadata.token_endpoint_auth_method;
        if registered != method && !(registered.uses_secret() && method.uses_secret()) {
            return Err(tell(Reason::OtherMethod));
        }
        match client.is_live(cx.now) {
            true => Ok(Authenticated { client, method, workload_claims }),
            false => Err(tell(Reason::ClientNotActive)),
        }
    }
}
