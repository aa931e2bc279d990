//! The steps from an authorization request to its outcome.

use super::code;
use super::consent::document;
use super::lines::{self, Line, Possible};
use super::request::{Request, response};
use crate::authn::people::Person;
use crate::context::Cx;
use crate::directory::{clients, identities, resources};
use crate::error::{Error, Fault, Reason, Refusal, Result};
use crate::model::event::Facts;
use crate::model::identity::Held;
use crate::model::{Client, Consent, Status};
use crate::oauth::{Scope, pkce, redirect};
use crate::store::consents::Parties;
use crate::tokens::{Requested, Target};
use crate::{store, tokens};
use std::rc::Rc;

/// The scopes about the person (OpenID Connect Core §5.4), and the one that asks for refresh tokens (§11), which are given anyway.
pub const IDENTITY: &[&str] = &["openid", "profile", "email", "offline_access"];

/// What a request asks for, once it is known to be sound.
pub struct Asked {
    /// The client; active.
    pub client: Rc<Client>,
    /// Where the response goes.
    pub redirect_uri: String,
    /// The resource, and the scope that can be asked for.
    pub target: Target,
    /// Whether the request names a scope of the resource; else all of it is shown.
    pub names_scope: bool,
    /// The scope about the person.
    pub identity: Scope,
    /// The challenge.
    pub challenge: String,
    /// The thumbprint of the key that the code shall be bound to (RFC 9449 §10).
    pub jkt: Option<String>,
}

/// What the person is asked.
pub struct Ask {
    /// The request.
    pub asked: Asked,
    /// The lines.
    pub lines: Vec<Line>,
    /// What the person has allowed before.
    pub consent: Option<Consent>,
}

/// The outcome of a request.
pub enum Outcome {
    /// The person is told, and nobody else: the response cannot be sent.
    Refused(Refusal),
    /// The response, as a URL.
    Response(String),
    /// The person has to sign in first, and then comes back; where the response would go.
    SignIn(Asked),
    /// The person is asked.
    Ask(Box<Ask>),
}

/// Where a refusal goes.
enum To<'a> {
    Person,
    Client(&'a str),
}

/// Takes the steps that need nobody. `problem` is what was wrong with the parameters as such.
pub async fn run(cx: &Cx<'_>, request: &Request, problem: Option<Reason>, person: Option<&Person>) -> Result<Outcome> {
    let (client, redirect_uri) = match client(cx, request).await.and_then(|client| {
        let redirect_uri = redirect(&client, request)?;
        Ok((client, redirect_uri))
    }) {
        Ok(found) => found,
        Err(error) => return refused(cx, request, To::Person, error),
    };
    let to = To::Client(&redirect_uri);
    let asked = match asked(cx, request, problem, client, &redirect_uri).await {
        Ok(asked) => asked,
        Err(error) => return refused(cx, request, to, error),
    };
    let Some(person) = person.filter(|person| is_fresh(cx, request, person)) else {
        return match request.prompts("none") {
            true => refused(cx, request, to, Reason::LoginRequired.into()),
            false => Ok(Outcome::SignIn(asked)),
        };
    };
    let parties = parties(&asked, person);
    let consent = cx.one(store::consents::of(&cx.tenant.id, parties)).await?;
    let consent = consent.filter(|consent| consent.document == document(&asked.client));
    let lines = lines::of(cx, &asked, person, consent.as_ref()).await?;
    // Whoever has paused an agent is asked before it goes on.
    let identity = identities::load(cx, &asked.client.id, &person.user.id).await?;
    let is_paused = identity.is_some_and(|identity| identity.held != Held::No);
    if let Some(consent) = consent.as_ref().filter(|_| !is_paused && covers(&lines, &asked, request)) {
        return code::again(cx, request, &asked, person, consent).await.map(Outcome::Response);
    }
    match request.prompts("none") {
        true => refused(cx, request, to, Reason::ConsentRequired.into()),
        false => Ok(Outcome::Ask(Box::new(Ask { asked, lines, consent }))),
    }
}

/// Whether nothing is to be asked: every line that is possible was allowed before, or some of them where the request names none.
fn covers(lines: &[Line], asked: &Asked, request: &Request) -> bool {
    let mut possible = lines
        .iter()
        .filter(|line| !matches!(line.possible, Possible::No(_)) && asked.target.scope.contains(&line.scope));
    let is_held = match asked.names_scope {
        true => lines.iter().any(|line| line.is_held) && possible.all(|line| line.is_held),
        false => possible.any(|line| line.is_held),
    };
    is_held && !request.prompts("consent")
}

pub(super) fn parties<'a>(asked: &'a Asked, person: &'a Person) -> Parties<'a> {
    Parties {
        user: &person.user.id,
        client: &asked.client.id,
        redirect_host: redirect::host(&asked.redirect_uri),
        resource: asked.target.resource.body.resource.as_str(),
    }
}

/// The client, if it is there, active, and may have codes.
async fn client(cx: &Cx<'_>, request: &Request) -> Result<Rc<Client>> {
    let id = request.get("client_id").ok_or(Reason::UnknownClient)?;
    let client = clients::load(cx, id).await?.filter(|client| client.status == Status::Active);
    client.filter(|client| client.is_live(cx.now)).ok_or_else(|| Reason::UnknownClient.into())
}

/// The redirect URI of the request, or the only one of the client (RFC 6749 §3.1.2.3).
fn redirect(client: &Client, request: &Request) -> Result<String> {
    let registered = &client.metadata.redirect_uris;
    match (request.get("redirect_uri"), registered.as_slice()) {
        (None, [only]) => Ok(only.clone()),
        (Some(asked), all) if all.iter().any(|one| redirect::is_same(one, asked)) => Ok(asked.to_owned()),
        _ => Err(Reason::UnknownRedirectUri.into()),
    }
}

/// What the request asks for.
async fn asked(
    cx: &Cx<'_>,
    request: &Request,
    problem: Option<Reason>,
    client: Rc<Client>,
    redirect_uri: &str,
) -> Result<Asked> {
    if let Some(problem) = problem {
        return Err(problem.into());
    }
    let challenge = parameters(&client, request)?;
    let (target, names_scope, identity) = target(cx, &client, request).await?;
    let jkt = request.get("dpop_jkt").map(str::to_owned);
    Ok(Asked { client, redirect_uri: redirect_uri.to_owned(), target, names_scope, identity, challenge, jkt })
}

/// The challenge, if everything that is not about the target is as it has to be.
fn parameters(client: &Client, request: &Request) -> Result<String> {
    if !client.metadata.grant_types.iter().any(|grant| grant == "authorization_code") {
        return Err(Reason::CodesNotAllowed.into());
    }
    match request.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(Reason::UnsupportedResponseType.into()),
        None => return Err(Reason::MissingResponseType.into()),
    }
    if request.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(Reason::UnsupportedResponseMode.into());
    }
    if request.get("request").is_some() {
        return Err(Reason::UnsupportedRequestObject.into());
    }
    if request.get("authorization_details").is_some() {
        return Err(Reason::UnsupportedAuthorizationDetails.into());
    }
    if request.prompts("none") && request.get("prompt") != Some("none")
        || request.get("max_age").is_some_and(|age| age.parse::<u32>().is_err())
    {
        return Err(Reason::MalformedPrompt.into());
    }
    if request.get("dpop_jkt").is_some_and(|jkt| !pkce::is_challenge(jkt)) {
        return Err(Reason::MalformedThumbprint.into());
    }
    if request.get("code_challenge_method") != Some("S256") {
        return Err(Reason::MissingChallenge.into());
    }
    let challenge = request.get("code_challenge").filter(|challenge| pkce::is_challenge(challenge));
    challenge.map(str::to_owned).ok_or_else(|| Reason::MissingChallenge.into())
}

/// The resource with the scope that can be asked for, whether the request names any of it, and the scope about the person. Scopes that the
/// resource does not have, or the client may not, are left out: clients ask for what they know of.
async fn target(cx: &Cx<'_>, client: &Client, request: &Request) -> Result<(Target, bool, Scope)> {
    let sent = request
        .get("scope")
        .map(|text| Scope::parse(text).ok_or(Reason::MalformedScope))
        .transpose()?
        .unwrap_or_default();
    let identity = sent.narrowed(|scope| IDENTITY.contains(&scope));
    let named = sent.narrowed(|scope| !IDENTITY.contains(&scope)).to_string();
    let form = request.form().only(&["resource"]);
    let resource = match Requested::read(form, client, &["resource"]) {
        Ok(requested) => requested.resource,
        Err(Error::Refused(refusal)) if refusal.reason == Reason::MissingResource => {
            resources::only(cx).await?.ok_or(Reason::MissingResource)?
        }
        Err(error) => return Err(error),
    };
    let requested =
        |scope| Requested { resource: resource.clone(), scope, ceilings: vec![], authorization_server: None };
    let mut facts = Facts::default();
    if !named.is_empty() {
        match tokens::target(cx, client, &requested(Some(&named)), &mut facts).await {
            Ok(target) => return Ok((target, true, identity)),
            Err(Error::Refused(refusal)) if refusal.reason == Reason::UnknownScope => {}
            Err(error) => return Err(error),
        }
    }
    let target = tokens::target(cx, client, &requested(None), &mut facts).await?;
    Ok((target, false, identity))
}

/// Whether the person has signed in as the request wants it: since it came, or lately enough.
fn is_fresh(cx: &Cx<'_>, request: &Request, person: &Person) -> bool {
    let auth_time = person.session.auth_time;
    let again = request.prompts("login") || request.prompts("select_account");
    let age = request.get("max_age").and_then(|age| age.parse::<i64>().ok());
    let old = age.is_some_and(|age| cx.now.seconds().saturating_sub(auth_time) > age);
    // Whoever signs in for the request is fresh, whatever the age.
    auth_time >= request.since || !(again || old)
}

/// Sends a refusal where it belongs.
fn refused(cx: &Cx<'_>, request: &Request, to: To<'_>, error: Error) -> Result<Outcome> {
    let Error::Refused(refusal) = error else { return Err(error) };
    match to {
        To::Person => Ok(Outcome::Refused(refusal)),
        To::Client(redirect_uri) => {
            cx.world.log.line(&format!("{}: refused: {}", cx.request_id, refusal.reason.as_str()));
            Ok(Outcome::Response(refusal_response(cx, request, redirect_uri, refusal.reason)))
        }
    }
}

/// An error response (RFC 6749 §4.1.2.1).
pub(super) fn refusal_response(cx: &Cx<'_>, request: &Request, redirect_uri: &str, reason: Reason) -> String {
    let wire = reason.wire();
    let parameters = [("error", wire.code), ("error_description", wire.description)];
    response(cx, redirect_uri, request.get("state"), &parameters)
}

impl Ask {
    /// What is asked; a fault where a decision comes for a request that is answered otherwise by now.
    pub fn of(outcome: Outcome) -> Result<Self, Box<Outcome>> {
        match outcome {
            Outcome::Ask(ask) => Ok(*ask),
            other => Err(Box::new(other)),
        }
    }
}

/// A consent without a line cannot be decided.
pub(super) const fn broken() -> Fault {
    Fault::Broken("a consent has no JSON")
}
