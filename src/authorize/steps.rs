//! The steps from an authorization request to its outcome.

use super::asked::{self, Asked, document, parties};
use super::code;
use super::lines::{self, Line, Possible};
use super::request::{Request, refusal_response};
use crate::authn::people::Person;
use crate::context::Cx;
use crate::directory::identities;
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::Consent;
use crate::model::identity::Held;
use crate::store;

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
    let (client, redirect_uri) = match asked::client(cx, request).await.and_then(|client| {
        let redirect_uri = asked::redirect(&client, request)?;
        Ok((client, redirect_uri))
    }) {
        Ok(found) => found,
        Err(error) => return refused(cx, request, To::Person, error),
    };
    let to = To::Client(&redirect_uri);
    let asked = match asked::asked(cx, request, problem, client, &redirect_uri).await {
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

impl Ask {
    /// What is asked; a fault where a decision comes for a request that is answered otherwise by now.
    pub fn of(outcome: Outcome) -> Result<Self, Box<Outcome>> {
        match outcome {
            Outcome::Ask(ask) => Ok(*ask),
            other => Err(Box::new(other)),
        }
    }
}
