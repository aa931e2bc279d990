//! `Authorization: Bearer <project>:<credential>`, and what a client may do with the tenant's own API.
//!
//! 1. A credential is a token, or `client_id:client_secret`. What an SDK appends after another colon is not looked at.
//! 2. Whoever reads or changes what is connected could do it with the admin API: the client may use the grant, registration lets it ask for that API, and
//!    policy permits it the scope, here and now. The decision is the one of a token request; as no token is issued, limits count no use.

use crate::authn::client::{Authenticated, Claim};
use crate::context::Cx;
use crate::error::{Error, Fault, Reason, Refusal, Result};
use crate::grants::CLIENT_CREDENTIALS;
use crate::model::EventType;
use crate::model::event::Facts;
use crate::oauth::{Form, ResourceUri};
use crate::tokens::{self, Issuance, Requested};
use crate::web::guard::{Sender, refused};
use crate::web::{Call, Request};

/// The project, and what stands after it.
pub fn presented(request: &Request) -> Option<(&str, &str)> {
    let (scheme, rest) = request.header("authorization")?.split_once(' ')?;
    let rest = rest.trim();
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.split_once(':').unwrap_or((rest, "")))
}

/// A credential, unverified.
pub enum Credential {
    /// A token.
    Token(String),
    /// A client and its secret, as the form that they stand for.
    Client(Form),
}

impl Credential {
    /// Reads the credential of a request.
    pub fn read(request: &Request) -> Result<Self> {
        let mut parts = presented(request).map(|(_, credential)| credential).unwrap_or_default().split(':');
        match (parts.next().unwrap_or_default(), parts.next()) {
            ("", _) => Err(Reason::MissingToken.into()),
            // A JWT has two dots (RFC 7515 §7.1), and no id of a client with a secret has any.
            (token, _) if token.contains('.') => Ok(Self::Token(token.to_owned())),
            (id, Some(secret)) => Ok(Self::Client(Form::default().with("client_id", id).with("client_secret", secret))),
            (_, None) => Err(Reason::NoClientAuthentication.into()),
        }
    }
}

/// Authenticates the client of a form. `kind` is the event of a refusal.
pub async fn client(cx: &Cx<'_>, form: &Form, kind: EventType) -> Result<Authenticated> {
    let authenticated = async { Claim::read(None, form)?.verify(cx).await };
    match authenticated.await {
        Err(Error::Refused(refusal)) => {
            let sender = Sender { client: form.get("client_id").map(str::to_owned), is_proved: false };
            Err(sender.refuse(cx, refusal, kind, Facts::default()).await?)
        }
        outcome => outcome,
    }
}

/// Records the refusal of a request that has proved nobody; answers the error for its sender.
pub async fn unproved(cx: &Cx<'_>, error: Error, kind: EventType) -> Result<Error> {
    match error {
        Error::Refused(refusal) => Sender::default().refuse(cx, refusal, kind, Facts::default()).await,
        fault => Ok(fault),
    }
}

/// The scopes of the admin API of which one is needed to read.
pub const READ: &str = "admin:read admin";
/// The same, to change something.
pub const CHANGE: &str = "admin";

/// Answers a request of a client that may do with the admin API what `scope` says. A refusal is one event.
pub async fn managed<T>(call: Call<'_>, scope: &'static str, run: impl AsyncFnOnce(&str) -> Result<T>) -> Result<T> {
    let (cx, kind) = (call.cx, EventType::AdminRefused);
    let caller = match Credential::read(call.request) {
        Ok(Credential::Client(form)) => client(cx, &form, kind).await?,
        Ok(Credential::Token(_)) => return Err(unproved(cx, Reason::NoClientAuthentication.into(), kind).await?),
        Err(error) => return Err(unproved(cx, error, kind).await?),
    };
    let done = match permitted(cx, &caller, scope).await {
        Ok(()) => run(&caller.client.id).await,
        Err(error) => Err(error),
    };
    match done {
        // A look-up that finds nothing is no refusal.
        Err(Error::Refused(refusal)) if scope != READ || refusal.reason != Reason::NotFound => {
            let target: String = [&*call.request.method, " ", &*call.request.path].concat().chars().take(200).collect();
            let facts = Facts { target: Some(target), ..Facts::default() };
            Err(refused(cx, refusal, kind, Some(&caller.client.id), facts).await?)
        }
        done => done,
    }
}

/// Passes if the client would get a token for the admin API with one of these scopes now.
async fn permitted(cx: &Cx<'_>, caller: &Authenticated, scope: &str) -> Result<()> {
    let client = &*caller.client;
    if !client.metadata.grant_types.iter().any(|grant| grant == CLIENT_CREDENTIALS) {
        return Err(Reason::NoLongerPermitted.because("it is not registered for `client_credentials`"));
    }
    let resource = [&cx.issuer(), "/admin"].concat();
    let resource = ResourceUri::parse(&resource).ok_or(Fault::Broken("an API of the tenant has no URI"))?;
    let requested = Requested { resource, scope: Some(scope), ceilings: vec![], authorization_server: None };
    let mut facts = Facts::default();
    let decided = async {
        let target = tokens::target(cx, client, &requested, &mut facts).await?;
        let issuance = Issuance::own(client, caller.method, CLIENT_CREDENTIALS, target);
        tokens::decide_without_token(cx, &issuance, &mut facts).await
    };
    match decided.await {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) => Err(Error::Refused(Refusal {
            reason: Reason::NoLongerPermitted,
            detail: Some(refusal.reason.as_str().to_owned()),
            ..refusal
        })),
        Err(fault) => Err(fault),
    }
}
