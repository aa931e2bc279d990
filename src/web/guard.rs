//! The guards: client authentication at the endpoints of OAuth, access tokens at the tenant's own APIs.
//!
//! 1. A refusal of a request that proves nobody is counted, limited and recorded in one place (`authn::client::Unproved`); a
//!    refusal of a proved client or bearer is one event.
//! 2. A token comes in the `Authorization` header alone (RFC 6750 §2.1), as `Bearer`, or as `DPoP` if it is bound to a key.
//!    A bound token is refused as a bearer token, and an unbound one as a bound one (RFC 9449 §7.1, §7.2).
//! 3. An API of the tenant asks policy and the client's registration at each call: what a token was issued for is no promise.

use super::{Answer, Call, ReceiverCall, Request, Response};
use crate::approvals;
use crate::audit;
use crate::authn::client::{Authenticated, Callers, Claim, Unproved};
use crate::authn::dpop;
use crate::cedar::{Action, Circumstance, Target};
use crate::context::Cx;
use crate::directory::{identities, resources};
use crate::error::{Error, Fault, Reason, Refusal, Result};
use crate::model::event::Facts;
use crate::model::{AuthMethod, Client, ClientKind, EventType};
use crate::oauth::basic::Basic;
use crate::oauth::{Form, ResourceUri, Scope};
use crate::policy::obligations::{self, Means};
use crate::policy::{self, Inquiry};
use crate::tokens::{self, Accepted};

/// The sender of a request, as far as it is known: for the event of a refusal.
#[derive(Default)]
pub struct Sender {
    /// The client that the request names or has proved to be.
    pub client: Option<String>,
    /// Whether the request has proved it.
    pub is_proved: bool,
}

impl Sender {
    /// Reads the form of a request. A malformed one that comes with the right secret is no failed authentication.
    pub async fn form(&mut self, cx: &Cx<'_>, request: &Request) -> Result<Form> {
        let header = request.header("authorization");
        self.client = Basic::client_id(header);
        let (form, problem) = match &request.body {
            Some(body) => Form::read(request.header("content-type"), body),
            None => (Form::default(), Some(Reason::BodyTooLarge)),
        };
        let Some(problem) = problem else { return Ok(form) };
        if let Ok(Some(claim)) = Claim::find(header, &form)
            && let Some(client) = claim.secret_of(cx).await?
        {
            *self = Self { client: Some(client.id.clone()), is_proved: true };
        }
        Err(problem.into())
    }

    /// What the event of a refusal has: who asks for the use of a connection is a resource server.
    fn facts(&self, kind: EventType) -> Facts {
        let uses = matches!(kind, EventType::LeaseRefused | EventType::ProxyRefused);
        Facts { resource_server: self.client.clone().filter(|_| uses), ..Facts::default() }
    }

    /// Records a refusal: as one event if the sender is known, else it is counted and limited. Answers the error for the sender.
    pub async fn refuse(&self, cx: &Cx<'_>, refusal: Refusal, kind: EventType, facts: Facts) -> Result<Error> {
        let client = self.client.as_deref();
        match self.is_proved {
            true => refused(cx, refusal, kind, client, facts).await,
            false => Unproved { kind, client, facts }.refuse(cx, refusal).await,
        }
    }
}

/// A form with the client that has sent it.
pub struct ClientCall {
    /// The form.
    pub form: Form,
    /// The client.
    pub caller: Authenticated,
}

impl ClientCall {
    /// Reads the form and authenticates the client. `kind` is the event of a refusal.
    pub async fn read(cx: &Cx<'_>, request: &Request, callers: Callers, kind: EventType) -> Result<Self> {
        let mut sender = Sender::default();
        let call = async {
            let form = sender.form(cx, request).await?;
            let claim = Claim::read(request.header("authorization"), &form)?;
            sender.client = claim.client_id().map(str::to_owned);
            let caller = match callers.may_be_public() {
                true => claim.accept(cx).await?,
                false => claim.verify(cx).await?,
            };
            Ok(Self { form, caller })
        };
        match call.await {
            Err(Error::Refused(refusal)) => Err(sender.refuse(cx, refusal, kind, sender.facts(kind)).await?),
            outcome => outcome,
        }
    }

    /// Authenticates a confidential client by the `Authorization` header alone: the body is another's. `kind` is the event of a refusal.
    pub async fn of_header(cx: &Cx<'_>, request: &Request, kind: EventType) -> Result<Self> {
        let header = request.header("authorization");
        let sender = Sender { client: Basic::client_id(header), is_proved: false };
        let form = Form::default();
        let caller = async { Claim::read(header, &form)?.verify(cx).await };
        match caller.await {
            Ok(caller) => Ok(Self { form, caller }),
            Err(Error::Refused(refusal)) => Err(sender.refuse(cx, refusal, kind, sender.facts(kind)).await?),
            Err(fault) => Err(fault),
        }
    }

    /// Records a refusal of the client; answers the error for the client.
    pub async fn refuse(&self, cx: &Cx<'_>, refusal: Refusal, kind: EventType) -> Result<Error> {
        let client = Some(self.caller.client.id.as_str());
        if self.caller.method == AuthMethod::None {
            return Unproved { kind, client, facts: Facts::default() }.refuse(cx, refusal).await;
        }
        refused(cx, refusal, kind, client, Facts::default()).await
    }
}

/// Records the refusal of a request whose sender is known; answers the error for the sender.
pub async fn refused(
    cx: &Cx<'_>,
    refusal: Refusal,
    kind: EventType,
    client: Option<&str>,
    mut facts: Facts,
) -> Result<Error> {
    facts.reason = Some(refusal.reason.as_str().to_owned());
    facts.detail.clone_from(&refusal.detail);
    let event = audit::event(cx, kind, client, facts);
    audit::record(cx, &event).await?;
    Ok(Error::Refused(refusal.named(&event.id)))
}

/// The bearer of a token for an API of the tenant.
pub struct Bearer(Accepted);

impl Bearer {
    /// Verifies the token of a request for `{issuer}/{api}`. A refusal is counted under its address; `unproved` has its event.
    pub async fn of(cx: &Cx<'_>, request: &Request, api: &str, unproved: Unproved<'_>) -> Result<Self> {
        match accept(cx, request, api).await {
            Err(Error::Refused(refusal)) => Err(unproved.refuse(cx, refusal).await?),
            outcome => outcome.map(Self),
        }
    }

    /// The bearer of a token that was let in before, and whose answer goes on: a proof of the key that it may be bound to was given then.
    pub async fn again(cx: &Cx<'_>, token: &str, api: &str) -> Result<Self> {
        let audience = format!("{}/{api}", cx.issuer());
        let accepted = tokens::verify(cx, token, |aud| aud == audience).await;
        accepted.map(Self).map_err(|rejection| rejection.refuse(Reason::InvalidToken))
    }

    /// Checks the scope: the token has one of `enough`, and registration and policy would give it to the client now.
    pub async fn may(&self, cx: &Cx<'_>, enough: &[&'static str]) -> Result<()> {
        expect(cx, &self.0, enough).await
    }

    /// The client that acts.
    pub fn client(&self) -> &Client {
        &self.0.client
    }
}

/// What an API of the tenant asks of resource servers.
pub struct Access {
    /// Its path below the issuer.
    pub api: &'static str,
    /// The scopes of which one is enough.
    pub scopes: &'static [&'static str],
    /// The event of a refusal.
    pub refused: EventType,
    /// The reason for a client that is no resource server.
    pub other: Reason,
    /// Whether a refusal of the endpoint says which member of the body is wrong, and is an event.
    pub explains: bool,
}

/// Answers a request of a resource server if its bearer may make it. A refusal of a known client is one event; any other is counted under its
/// address.
pub async fn serve(
    call: Call<'_>,
    access: &Access,
    run: for<'a> fn(ReceiverCall<'a>) -> Answer<'a>,
) -> Result<Response> {
    let kind = access.refused;
    let unproved = Unproved { kind, client: None, facts: Facts::default() };
    let bearer = Bearer::of(call.cx, call.request, access.api, unproved).await?;
    let client = bearer.client();
    let answer = match (bearer.may(call.cx, access.scopes).await, client.metadata.kind) {
        (Ok(()), ClientKind::Autonomous | ClientKind::Delegated) => Err(access.other.into()),
        (Ok(()), ClientKind::ResourceServer) if access.explains => run(ReceiverCall { call, client }).await,
        (Ok(()), ClientKind::ResourceServer) => return run(ReceiverCall { call, client }).await,
        (Err(refused), _) => Err(refused),
    };
    match answer {
        // What is refused without an end is no event each time.
        Err(Error::Refused(refusal)) if refusal.reason == Reason::TooManyReports => Err(Error::Refused(refusal)),
        Err(Error::Refused(refusal)) => Err(refused(call.cx, refusal, kind, Some(&client.id), Facts::default()).await?),
        answer => answer,
    }
}

async fn accept(cx: &Cx<'_>, request: &Request, api: &str) -> Result<Accepted> {
    let audience = format!("{}/{api}", cx.issuer());
    bearer(cx, request, |aud| aud == audience).await
}

/// The token that a request bears, with the proof that it needs, for an audience that `wanted` accepts.
pub async fn bearer(cx: &Cx<'_>, request: &Request, wanted: impl Fn(&str) -> bool) -> Result<Accepted> {
    let header = request.header("authorization").ok_or(Reason::MissingToken)?;
    let (scheme, token) = header.split_once(' ').ok_or(Reason::MissingToken)?;
    let (token, bound) = (token.trim(), scheme.eq_ignore_ascii_case("dpop"));
    if !bound && !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Reason::MissingToken.into());
    }
    let invalid = if bound { Reason::InvalidBoundToken } else { Reason::InvalidToken };
    let accepted = tokens::verify(cx, token, wanted).await;
    let accepted = accepted.map_err(|rejection| rejection.refuse(invalid))?;
    match &accepted.claims.cnf {
        Some(cnf) if bound => {
            let url = [cx.config.origin(), &request.path].concat();
            dpop::with_token(cx, request.header("dpop"), token, &cnf.jkt, (&request.method, &url)).await?;
        }
        None if !bound => {}
        _ => return Err(Reason::InvalidBoundToken.into()),
    }
    Ok(accepted)
}

/// Passes if the token has one of the scopes in `enough`, and registration and policy would give it to the client now.
async fn expect(cx: &Cx<'_>, accepted: &Accepted, enough: &[&'static str]) -> Result<()> {
    let Accepted { claims, client, user, .. } = accepted;
    let scope = Scope::parse(&claims.scope).unwrap_or_default();
    let held: Vec<&str> = enough.iter().copied().filter(|name| scope.contains(name)).collect();
    if held.is_empty() {
        return Err(Reason::InsufficientScope.needing(enough.first().copied().unwrap_or_default()));
    }
    let uri = ResourceUri::parse(claims.aud.resource()).ok_or(Fault::Broken("an API of the tenant has no URI"))?;
    let resource = resources::load(cx, &uri).await?.ok_or(Fault::Broken("an API of the tenant is not there"))?;
    let actors: Vec<String> = claims.actors().into_iter().map(str::to_owned).collect();
    let identity = identities::load(cx, &client.id, &claims.sub).await?;
    let about = Circumstance {
        grant_type: identity.map(|identity| identity.registered_by.clone()),
        auth_method: Some(client.metadata.token_endpoint_auth_method.as_str().to_owned()),
        acr: claims.acr.clone(),
        dpop: claims.cnf.is_some(),
        scopes: scope.to_vec(),
        chain_tags: policy::shared_tags(cx, &client.id, &claims.sub, &actors).await?,
        chain: actors,
        subject: user.as_deref().map(policy::subject),
        ..policy::circumstance(cx)
    };
    let action = if about.chain.is_empty() { Action::Issue } else { Action::Exchange };
    let allowed = held.into_iter().filter(|name| client.may_have(name));
    let targets: Vec<Target> =
        allowed.map(|name| Target::Scope { resource: uri.to_string(), name: name.to_owned(), tool: None }).collect();
    let inquiry = Inquiry { action, targets: &targets, circumstance: &about };
    let mut verdicts = policy::decide(cx, client, inquiry).await?;
    let means =
        Means { auth_time: claims.auth_time, acr: claims.acr.clone(), is_bound: claims.cnf.is_some(), details: vec![] };
    obligations::meet(cx.now, &mut verdicts, &means);
    // What was approved when the token was issued is not asked about at each call.
    let approved = match &claims.approval {
        Some(id) if verdicts.iter().any(policy::lacks_approval) => approvals::find(cx, id).await?.texts("scope"),
        _ => vec![],
    };
    let permits = targets.iter().zip(&verdicts).any(|(target, verdict)| match target {
        Target::Scope { name, .. } if approved.contains(name) && policy::lacks_approval(verdict) => true,
        _ => policy::refusal(verdict).is_none(),
    });
    match (client.may_ask_for(&resource), permits) {
        (true, true) => Ok(()),
        (true, false) if policy::asks_for_sign_in(user.is_some(), &verdicts) => {
            let reason = Reason::StepUpRequired;
            Err(reason.signing_in(obligations::sign_in(reason, &verdicts), None))
        }
        _ => Err(Reason::NoLongerPermitted.into()),
    }
}
