//! Who is calling? Exactly one mechanism, the registered one, or nobody.
//!
//! 1. Two mechanisms in one request are refused (RFC 6749 §2.3); the registered method is enforced exactly.
//! 2. An unknown client, a wrong, expired or malformed secret, a wrong method and a suspended client get one answer
//!    (RFC 6749 §5.2), and the same comparison is made for all of them.
//! 3. An [`Authenticated`] can be made only here.

mod secret;

use crate::cx::Cx;
use crate::error::{Reason, Result};
use crate::model::{AuthMethod, Client, ClientStatus};
use crate::oauth::Form;
use crate::oauth::basic::Basic;
use crate::store;
use secret::Presented;
use std::rc::Rc;

/// How clients can authenticate; metadata follows from this table.
pub const METHODS: &[AuthMethod] = &[AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];

/// A client that has proved who it is.
pub struct Authenticated {
    /// The client; active.
    pub client: Rc<Client>,
    /// How it did.
    pub method: AuthMethod,
}

/// What the request presents as its client, still to be believed.
pub struct Claim(Presented);

impl Claim {
    /// Finds the one mechanism that the request uses.
    pub fn read(authorization: Option<&str>, form: &Form) -> Result<Self> {
        let posted = form.get("client_secret");
        match (authorization, posted) {
            (Some(_), Some(_)) => Err(Reason::SeveralMechanisms.into()),
            (Some(header), None) => {
                let basic = Basic::parse(header).ok_or(Reason::MalformedBasic)?;
                // RFC 6749 allows `client_id` beside Basic as long as it says the same.
                match form.get("client_id").is_none_or(|id| basic.readings.iter().any(|(known, _)| known == id)) {
                    true => Ok(Self(Presented::basic(basic))),
                    false => Err(Reason::SeveralMechanisms.into()),
                }
            }
            (None, Some(secret)) => {
                let id = form.get("client_id").ok_or(Reason::NoClientAuthentication)?;
                Ok(Self(Presented::post(id, secret)))
            }
            (None, None) => Err(Reason::NoClientAuthentication.into()),
        }
    }

    /// The client that the request says it is, if that could be one: for the event of a refusal.
    pub fn client_id(&self) -> Option<&str> {
        let id = self.0.client_id()?;
        (id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some(id)
    }

    /// Checks it.
    pub async fn verify(self, cx: &Cx<'_>) -> Result<Authenticated> {
        let method = self.0.method();
        let client = self.0.verify(cx).await?.ok_or(Reason::ClientAuthenticationFailed)?;
        match client.metadata.token_endpoint_auth_method == method && client.status == ClientStatus::Active {
            true => Ok(Authenticated { client, method }),
            false => Err(Reason::ClientAuthenticationFailed.into()),
        }
    }
}

/// The client of that id, at most as old as the freshness bound.
pub async fn client(cx: &Cx<'_>, id: &str) -> Result<Option<Rc<Client>>> {
    let load = async || {
        let outcomes = cx.batch(store::clients::get(&cx.tenant.id, id).into()).await?;
        store::clients::read_one(&outcomes)
    };
    cx.cached(&format!("client/{id}"), load).await
}
