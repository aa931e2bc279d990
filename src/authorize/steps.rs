//! The steps from an authorization request to its outcome.

use super::asked::{self, Asked, document, parties};
use super::lines::{self, Line, Possible};
use super::request::{Request, is_among, refusal_response};
use crate::authn::people::Person;
use crate::cedar::Required;
use crate::context::Cx;
use crate::directory::identities;
use crate::error::{Error, Reason, Refusal, Result};
use crate::jose::LEEWAY_SECONDS;
use crate::model::identity::Held;
use crate::model::{Client, Consent, Registration, Session};
use crate::policy::STEP_UP_SECONDS;
use crate::store;

/// What the person is asked.
pub struct Ask {
    /// The request.
    pub asked: Asked,
    /// The lines.
    pub lines: Vec<Line>,
    /// What the person has allowed before.
    pub consent: Option<Consent>,
    /// The consent that a new one takes the place of: that, or one to a client that has described itself otherwise.
    pub stored: Option<Consent>,
    /// Whether the person has paused or stopped the client.
    pub held: Held,
}

/// The outcome of a request.
pub enum Outcome {
    /// The person is told, and nobody else: the response cannot be sent.
    Refused(Refusal),
    /// The response, as a URL.
    Response(String),
    /// The person has to sign in first, and then comes back.
    SignIn {
        /// Where the response would go, if that is known.
        asked: Option<Box<Asked>>,
        /// What policy wants of the sign-in.
        acr_values: Option<String>,
    },
    /// The person has allowed all of it before.
    Covered(Box<Ask>),
    /// The person is asked.
    Ask(Box<Ask>),
}

/// Where a refusal goes.
#[derive(Clone, Copy)]
enum To<'a> {
    Person,
    /// To the client, if it is known to the person; else to the person.
    Client {
        client: &'a Client,
        redirect_uri: &'a str,
        person: Option<&'a Person>,
    },
}

/// Takes the steps that need nobody. `problem` is what was wrong with the parameters as such.
pub async fn run(cx: &Cx<'_>, request: &Request, problem: Option<Reason>, person: Option<&Person>) -> Result<Outcome> {
    let id = request.get("client_id").unwrap_or_default();
    let (client, redirect_uri) = match asked::client(cx, id).await.and_then(|client| {
        let redirect_uri = asked::redirect(&client, request)?;
        Ok((client, redirect_uri))
    }) {
        Ok(found) => found,
        Err(error) => return refused(cx, request, To::Person, error).await,
    };
    let to = To::Client { client: &client, redirect_uri: &redirect_uri, person };
    // A client that is known by its document alone cannot push yet: it is stored once somebody has let it in.
    let has_to_push = client.metadata.require_pushed_authorization_requests && client.is_stored();
    let is_direct = has_to_push && request.pushed.is_none();
    let problem = problem.or(is_direct.then_some(Reason::PushRequired));
    let asked = match asked::asked(cx, request, problem, client.clone(), &redirect_uri).await {
        Ok(asked) => asked,
        Err(error) => return refused(cx, request, to, error).await,
    };
    let person = match freshness(cx, request, person) {
        Freshness::Enough(person) => person,
        Freshness::SignIn if request.prompts("none") => {
            return refused(cx, request, to, Reason::LoginRequired.into()).await;
        }
        Freshness::SignIn => return Ok(Outcome::SignIn { asked: Some(Box::new(asked)), acr_values: None }),
        Freshness::Unmet => return refused(cx, request, to, Reason::UnmetAuthentication.into()).await,
    };
    let ask = ask(cx, asked, person).await?;
    if let Some(StepUp { acr_values }) = step_up(cx, request, &ask, person) {
        return match request.prompts("none") {
            true => refused(cx, request, to, Reason::LoginRequired.into()).await,
            false => Ok(Outcome::SignIn { asked: Some(Box::new(ask.asked)), acr_values }),
        };
    }
    // A person who has paused or stopped an agent is asked before it goes on.
    if ask.held == Held::No && ask.consent.is_some() && covers(&ask.lines, &ask.asked, request) {
        return Ok(Outcome::Covered(Box::new(ask)));
    }
    match request.prompts("none") {
        true => refused(cx, request, to, Reason::ConsentRequired.into()).await,
        false => Ok(Outcome::Ask(Box::new(ask))),
    }
}

/// Whether an administrator has registered the client, or the person who is signed in has let it in.
async fn is_known(cx: &Cx<'_>, client: &Client, person: Option<&Person>) -> Result<bool> {
    match person {
        _ if client.registration == Registration::Admin => Ok(true),
        Some(person) => {
            let agent = (&*client.id, &*person.user.id);
            Ok(!cx.all(store::consents::of_agent(&cx.tenant.id, agent, 1)).await?.is_empty())
        }
        None => Ok(false),
    }
}

/// What the person is asked, with what was allowed before.
pub async fn ask(cx: &Cx<'_>, asked: Asked, person: &Person) -> Result<Ask> {
    let stored = cx.one(store::consents::of(&cx.tenant.id, parties(&asked, person))).await?;
    let is_same = |consent: &&Consent| asked.client.is_stored() && consent.document == document(&asked.client);
    let consent = stored.as_ref().filter(is_same).cloned();
    let lines = lines::of(cx, &asked, person, consent.as_ref()).await?;
    let identity = identities::load(cx, &asked.client.id, &person.user.id).await?;
    let held = identity.map_or(Held::No, |identity| identity.held);
    Ok(Ask { asked, lines, consent, stored, held })
}

/// A sign-in that policy wants.
pub struct StepUp {
    /// How strong it shall be.
    pub acr_values: Option<String>,
}

/// The sign-in that was not made yet for what is asked for (RFC 9470 §4). Who has signed in before it was known how is asked once more, and
/// so is who has thought about it for too long since.
pub fn step_up(cx: &Cx<'_>, request: &Request, ask: &Ask, person: &Person) -> Option<StepUp> {
    let mut lacking = ask.lines.iter().filter_map(|line| line.lacks_sign_in.as_ref()).peekable();
    if !ask.asked.names_scope || lacking.peek().is_none() {
        return None;
    }
    // A client that says how is held to that alone: one sign-in cannot be both.
    let acr_values = Required::acr_values(lacking.map(Vec::as_slice)).filter(|_| request.get("acr_values").is_none());
    let is_told = acr_values.is_none() || request.acr_values.is_some();
    let Session { acr, auth_time, .. } = &person.session;
    let was_strong = acr.as_deref().is_some_and(|acr| acr_values.as_deref().is_some_and(|all| is_among(all, acr)));
    let was_for_it = auth_time.saturating_add(LEEWAY_SECONDS) >= request.since;
    let is_over = was_strong && was_for_it && cx.now.seconds().saturating_sub(*auth_time) > STEP_UP_SECONDS;
    (is_over || !is_told || !has_signed_in(request, person)).then_some(StepUp { acr_values })
}

/// Whether nothing is to be asked: every line that is possible was allowed before. Where the request names no scope of the resource, one line of
/// it is enough. Authorization details are always asked about: none is remembered.
fn covers(lines: &[Line], asked: &Asked, request: &Request) -> bool {
    let possible = || lines.iter().filter(|line| !matches!(line.possible, Possible::No(_)));
    let is_named = |line: &&Line| asked.names_scope || asked.identity.contains(&line.scope);
    let of_resource = |line: &Line| asked.target.scope.contains(&line.scope);
    let is_held = possible().filter(is_named).all(|line| line.is_held)
        && possible().any(|line| line.is_held && of_resource(line));
    is_held && asked.authorization_details.is_empty() && !request.prompts("consent")
}

/// Whether the person has signed in as the request wants it.
enum Freshness<'a> {
    Enough(&'a Person),
    SignIn,
    Unmet,
}

/// Whether the person has signed in since the request came.
fn has_signed_in(request: &Request, person: &Person) -> bool {
    request.session.as_deref() != Some(&*person.session.id.to_text())
}

/// Recently enough (OpenID Connect Core §3.1.2.1) and strongly enough (RFC 9470 §5). A person who has signed in for the request is fresh,
/// whatever the age; what that did not settle, no other sign-in settles, and the client is told.
fn freshness<'a>(cx: &Cx<'_>, request: &Request, person: Option<&'a Person>) -> Freshness<'a> {
    let Some(person) = person else { return Freshness::SignIn };
    let session = &person.session;
    let is_new = has_signed_in(request, person);
    // An identity provider says when, by its own clock.
    let is_for_it = is_new && session.auth_time.saturating_add(LEEWAY_SECONDS) >= request.since;
    let age = request.get("max_age").and_then(|age| age.parse::<i64>().ok());
    let is_recent = age.is_none_or(|age| cx.now.seconds().saturating_sub(session.auth_time) <= age);
    let is_chosen = is_new || !request.prompts("select_account");
    let is_fresh = is_for_it || is_recent && is_chosen && !request.prompts("login");
    let wanted = request.get("acr_values").unwrap_or_default();
    let is_strong =
        wanted.trim_matches(' ').is_empty() || session.acr.as_deref().is_some_and(|acr| is_among(wanted, acr));
    match (is_strong && is_fresh, is_new) {
        (true, _) => Freshness::Enough(person),
        (false, false) => Freshness::SignIn,
        (false, true) => Freshness::Unmet,
    }
}

/// Sends a refusal where it belongs. A stranger's client is told of nothing before the person has let it in: the endpoint is no way to lead people
/// elsewhere (RFC 9700 §4.11.2).
async fn refused(cx: &Cx<'_>, request: &Request, to: To<'_>, error: Error) -> Result<Outcome> {
    let Error::Refused(refusal) = error else { return Err(error) };
    match to {
        To::Client { client, redirect_uri, person } if is_known(cx, client, person).await? => {
            cx.world.log.line(&format!("{}: refused: {}", cx.request_id, refusal.reason.as_str()));
            Ok(Outcome::Response(refusal_response(cx, request, redirect_uri, refusal.reason)))
        }
        _ => Ok(Outcome::Refused(refusal)),
    }
}
