//! The steps from an authorization request to its outcome.

use super::code;
use super::consent::document;
use super::lines::{self, Line, Possible};
use super::request::Request;
use crate::authn::people::Person;
use crate::context::Cx;
use crate::directory::{clients, resources};
use crate::error::{Error, Fault, Reason, Refusal, Result};
use crate::jose::LEEWAY_SECONDS;
use crate::model::event::Facts;
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
    /// The device that asks; `redirect_uri` and `challenge` are then empty.
    pub device: Option<Device>,
}

/// A device that waits for a person (RFC 8628).
pub struct Device {
    /// The digest of its device code.
    pub id: String,
    /// The user code that it shows.
    pub user_code: String,
    /// When both end, in seconds.
    pub expires_at: i64,
}

/// What stands for the host of a device: no host has a blank in it.
const DEVICE_HOST: &str = "another device";

impl Asked {
    /// Where the client is answered, for people and for what is remembered.
    pub fn host(&self) -> &str {
        match self.device {
            Some(_) => DEVICE_HOST,
            None => redirect::host(&self.redirect_uri),
        }
    }
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
    /// The person has to sign in first, and then comes back; where the response would go, if that is known.
    SignIn(Option<Box<Asked>>),
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
    let id = request.get("client_id").unwrap_or_default();
    let (client, redirect_uri) = match client(cx, id).await.and_then(|client| {
        let redirect_uri = redirect(&client, request)?;
        Ok((client, redirect_uri))
    }) {
        Ok(found) => found,
        Err(error) => return refused(cx, request, To::Person, error),
    };
    let to = To::Client(&redirect_uri);
    let is_direct = client.metadata.require_pushed_authorization_requests && request.pushed.is_none();
    let problem = problem.or(is_direct.then_some(Reason::PushRequired));
    let asked = match asked(cx, request, problem, client, &redirect_uri).await {
        Ok(asked) => asked,
        Err(error) => return refused(cx, request, to, error),
    };
    let person = match freshness(cx, request, person) {
        Freshness::Enough(person) => person,
        Freshness::SignIn if request.prompts("none") => {
            return refused(cx, request, to, Reason::LoginRequired.into());
        }
        Freshness::SignIn => return Ok(Outcome::SignIn(Some(Box::new(asked)))),
        Freshness::Unmet => return refused(cx, request, to, Reason::UnmetAuthentication.into()),
    };
    let ask = ask(cx, asked, person).await?;
    if let Some(consent) = ask.consent.as_ref().filter(|_| covers(&ask.lines, &ask.asked, request)) {
        return code::again(cx, request, &ask.asked, person, consent).await.map(Outcome::Response);
    }
    match request.prompts("none") {
        true => refused(cx, request, to, Reason::ConsentRequired.into()),
        false => Ok(Outcome::Ask(Box::new(ask))),
    }
}

/// The steps of a request that its client pushes (RFC 9126 §2.1): those before the person.
pub async fn check(cx: &Cx<'_>, request: &Request, problem: Option<Reason>, client: &Rc<Client>) -> Result<Asked> {
    let redirect_uri = redirect(client, request)?;
    asked(cx, request, problem, client.clone(), &redirect_uri).await
}

/// What a device asks for (RFC 8628 §3.1), by the parameters that it has sent.
pub async fn of_device(cx: &Cx<'_>, request: &Request, client: Rc<Client>, device: Device) -> Result<Asked> {
    let (target, names_scope, identity) = target(cx, &client, request).await?;
    let (redirect_uri, challenge, device) = (String::new(), String::new(), Some(device));
    Ok(Asked { client, redirect_uri, target, names_scope, identity, challenge, jkt: None, device })
}

/// What the person is asked, with what was allowed before.
pub async fn ask(cx: &Cx<'_>, asked: Asked, person: &Person) -> Result<Ask> {
    let consent = cx.one(store::consents::of(&cx.tenant.id, parties(&asked, person))).await?;
    let consent = consent.filter(|consent| consent.document == document(&asked.client));
    let lines = lines::of(cx, &asked, person, consent.as_ref()).await?;
    Ok(Ask { asked, lines, consent })
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
        redirect_host: asked.host(),
        resource: asked.target.resource.body.resource.as_str(),
    }
}

/// The client, if it is there and active.
pub async fn client(cx: &Cx<'_>, id: &str) -> Result<Rc<Client>> {
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
    let redirect_uri = redirect_uri.to_owned();
    Ok(Asked { client, redirect_uri, target, names_scope, identity, challenge, jkt, device: None })
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

/// Whether the person has signed in as the request wants it.
enum Freshness<'a> {
    Enough(&'a Person),
    SignIn,
    Unmet,
}

/// Recently enough (OpenID Connect Core §3.1.2.1) and strongly enough (RFC 9470 §5). A person who has signed in for the request is fresh,
/// whatever the age; what that did not settle, no other sign-in settles, and the client is told.
fn freshness<'a>(cx: &Cx<'_>, request: &Request, person: Option<&'a Person>) -> Freshness<'a> {
    let Some(person) = person else { return Freshness::SignIn };
    let session = &person.session;
    let is_new = request.session.as_deref() != Some(&*session.id.to_text());
    // An identity provider says when, by its own clock.
    let is_for_it = is_new && session.auth_time.saturating_add(LEEWAY_SECONDS) >= request.since;
    let age = request.get("max_age").and_then(|age| age.parse::<i64>().ok());
    let is_recent = age.is_none_or(|age| cx.now.seconds().saturating_sub(session.auth_time) <= age);
    let is_chosen = is_new || !request.prompts("select_account");
    let is_fresh = is_for_it || is_recent && is_chosen && !request.prompts("login");
    let mut wanted = request.get("acr_values").unwrap_or_default().split(' ').filter(|acr| !acr.is_empty()).peekable();
    let is_strong = wanted.peek().is_none() || wanted.any(|acr| session.acr.as_deref() == Some(acr));
    match (is_strong && is_fresh, is_new) {
        (true, _) => Freshness::Enough(person),
        (false, false) => Freshness::SignIn,
        (false, true) => Freshness::Unmet,
    }
}

/// Sends a refusal where it belongs.
fn refused(cx: &Cx<'_>, request: &Request, to: To<'_>, error: Error) -> Result<Outcome> {
    let Error::Refused(refusal) = error else { return Err(error) };
    match to {
        To::Person => Ok(Outcome::Refused(refusal)),
        To::Client(redirect_uri) => {
            cx.world.log.line(&format!("{}: refused: {}", cx.request_id, refusal.reason.as_str()));
            Ok(Outcome::Response(code::refusal(cx, request, redirect_uri, refusal.reason)))
        }
    }
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
