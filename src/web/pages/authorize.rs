//! `GET|POST /t/{tenant}/authorize` and the page on which a person decides, `/t/{tenant}/authorize/{id}`.

use super::consent::{self, Shown};
use super::cookies::{forget, keep, kept};
use super::layout::Page;
use super::{callback, expect_tag, form, language, paths, person, sign_in, tag};
use crate::authn::people::{Person, browser};
use crate::authorize::{self, Ask, Choice, DECIDED_SECONDS as SECONDS, Decision, Duration, Outcome};
use crate::error::{Error, Reason, Refusal, Result};
use crate::oauth::Form;
use crate::web::{Call, Response};

/// What a request under way is called among what the browser keeps.
const KIND: &str = "request";

/// A request by `GET`.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let (form, problem) = Form::read_query(&call.request.query);
    begin(call, form, problem).await
}

/// A request by `POST` (RFC 6749 §3.1).
pub async fn post(call: Call<'_>) -> Result<Response> {
    let body = call.request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
    let (form, problem) = Form::read(call.request.header("content-type"), body);
    begin(call, form, problem).await
}

async fn begin(call: Call<'_>, form: Form, problem: Option<Reason>) -> Result<Response> {
    let (request, problem) = authorize::arrived(call.cx, form, problem)?;
    take(call, request, problem).await
}

/// Takes a request that has come: it goes on at once, or the browser keeps it meanwhile.
pub async fn take(call: Call<'_>, request: authorize::Request, problem: Option<Reason>) -> Result<Response> {
    let person = person(call).await?;
    let session = person.as_ref().map(|person| person.session.id.to_text());
    let request = request.in_session(session);
    let outcome = authorize::answer(call.cx, &request, problem, person.as_ref()).await?;
    let request = wanting(&request, &outcome, person.as_ref()).unwrap_or(request);
    let id = call.cx.new_id();
    let response = match at_once(call, (&id, &request), &outcome, person.as_ref()).await? {
        Some(response) => response,
        None => match show(call, &id, outcome, person.as_ref()).await? {
            response if response.status == 200 => response,
            response => return Ok(response),
        },
    };
    keeping(call, response, &id, &request)
}

/// The browser keeps a request until it is decided.
fn keeping(call: Call<'_>, response: Response, id: &str, request: &authorize::Request) -> Result<Response> {
    // No longer than since it came.
    let seconds = request.since.saturating_add(SECONDS).saturating_sub(call.cx.now.seconds());
    let sealed = browser::seal(call.cx, KIND, request, seconds)?;
    Ok(keep(call.cx, call.request, response, (KIND, id), &sealed, seconds))
}

/// The request with what policy wants of the sign-in for it, where the outcome says so.
fn wanting(request: &authorize::Request, outcome: &Outcome, person: Option<&Person>) -> Option<authorize::Request> {
    let Outcome::SignIn { acr_values: Some(acr_values), .. } = outcome else { return None };
    let session = person.map(|person| person.session.id.to_text());
    Some(request.clone().wanting(session, acr_values.clone()))
}

/// The way to the only identity provider. Where it is in trouble, the page says what there is.
async fn at_once(
    call: Call<'_>,
    (id, request): (&str, &authorize::Request),
    outcome: &Outcome,
    person: Option<&Person>,
) -> Result<Option<Response>> {
    let Outcome::SignIn { asked: Some(asked), .. } = outcome else { return Ok(None) };
    let Some(issuer) = sign_in::only(call, asked).await? else { return Ok(None) };
    let begun = callback::begin(call, &issuer, Some(id), &sign_in::wishes(request, person, false)).await;
    Ok(begun.ok().map(|(to, keeping)| keeping(Response::redirect(to))))
}

/// The request goes on: its person has signed in.
pub async fn resume(call: Call<'_>) -> Result<Response> {
    let id = call.id(0)?;
    let request = kept_request(call, id)?;
    let person = person(call).await?;
    let outcome = authorize::answer(call.cx, &request, None, person.as_ref()).await?;
    go_on(call, (id, &request), outcome, person.as_ref()).await
}

/// Shows the outcome of a request that the browser keeps, which it forgets where that is the end.
async fn go_on(
    call: Call<'_>,
    (id, request): (&str, &authorize::Request),
    outcome: Outcome,
    person: Option<&Person>,
) -> Result<Response> {
    let wanting = wanting(request, &outcome, person);
    let response = show(call, id, outcome, person).await?;
    match wanting {
        Some(request) => keeping(call, response, id, &request),
        None if response.status == 200 => Ok(response),
        None => Ok(forget(call.cx, call.request, response, (KIND, id))),
    }
}

/// The person decides.
pub async fn decide(call: Call<'_>) -> Result<Response> {
    let id = call.id(0)?;
    let request = kept_request(call, id)?;
    let form = form(call)?;
    let Some(person) = person(call).await? else {
        // Signing in leads back to the page: the request is still here.
        return resume(call).await;
    };
    expect_tag(call, &form, &person, id)?;
    // The person decides about what is asked now, also where another window has allowed it meanwhile.
    let ask = match authorize::run(call.cx, &request, None, Some(&person)).await? {
        Outcome::Ask(ask) | Outcome::Covered(ask) => *ask,
        other => return go_on(call, (id, &request), other, Some(&person)).await,
    };
    let to = match form.get("decision") {
        Some("allow") => match authorize::approve(call.cx, &request, &ask, &person, &decision(&form, &ask)).await {
            // The page comes again, and says what is missing.
            Err(Error::Refused(Refusal { reason: reason @ Reason::NothingChosen, .. })) => {
                let tag = tag(call, &person, id)?;
                let shown = Shown { id, tag: &tag, problem: Some(reason) };
                return Ok(
                    consent::page(call.cx, language(call.request), &ask, &person, shown).respond(reason.wire().status)
                );
            }
            answered => answered?,
        },
        _ => authorize::refuse(call.cx, &request, &ask, &person).await?,
    };
    Ok(forget(call.cx, call.request, Response::redirect(to), (KIND, id)))
}

/// The request that the browser keeps under that id.
pub fn kept_request(call: Call<'_>, id: &str) -> Result<authorize::Request> {
    let sealed = kept(call.cx, call.request, KIND, id).ok_or(Reason::FormExpired)?;
    browser::open(call.cx, KIND, &sealed).ok_or_else(|| Reason::FormExpired.into())
}

/// Where the answer to a request under way may lead, as a source of a content security policy, while its person is not signed in.
pub async fn target(call: Call<'_>, id: &str) -> Result<Option<String>> {
    let request = kept_request(call, id)?;
    match authorize::run(call.cx, &request, None, None).await? {
        Outcome::SignIn { asked, .. } => Ok(asked.map(|asked| paths::target(&asked.redirect_uri))),
        _ => Ok(None),
    }
}

/// What is ticked; each scope for as long as its own field or that of the page says.
fn decision(form: &Form, ask: &Ask) -> Decision {
    let above = form.get("duration").and_then(Duration::parse).unwrap_or(Duration::Once);
    let own = |scope: &str| form.get(&["for ", scope].concat()).and_then(Duration::parse);
    let choice = |scope: &str| {
        let own = own(scope);
        Choice { scope: scope.to_owned(), duration: own.unwrap_or(above), is_own: own.is_some() }
    };
    let is_ticked = |n: &usize| form.get(&consent::detail_field(*n)).is_some();
    Decision {
        scopes: form.all("scope").map(choice).collect(),
        authorization_details: (0..ask.asked.authorization_details.len()).filter(is_ticked).collect(),
    }
}

async fn show(call: Call<'_>, id: &str, outcome: Outcome, person: Option<&Person>) -> Result<Response> {
    let language = language(call.request);
    match (outcome, person) {
        (Outcome::Response(to), _) => Ok(Response::redirect(to)),
        (Outcome::SignIn { asked, acr_values }, _) => {
            let again = call.request.query == sign_in::AGAIN;
            let why = sign_in::For { id, asked: asked.as_deref(), acr_values: acr_values.as_deref() };
            Ok(sign_in::page(call, language, Some(why), again).await?.respond(200))
        }
        (Outcome::Ask(ask) | Outcome::Covered(ask), Some(person)) => {
            let tag = tag(call, person, id)?;
            let page: Page = consent::page(call.cx, language, &ask, person, Shown { id, tag: &tag, problem: None });
            Ok(page.respond(200))
        }
        (Outcome::Ask(_) | Outcome::Covered(_), None) => Err(Reason::FormExpired.into()),
        (Outcome::Refused(refusal), _) => Err(Error::Refused(refusal)),
    }
}
