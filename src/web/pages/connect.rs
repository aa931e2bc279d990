//! `/t/{tenant}/connect/{name}`, where a person connects an account at a service, and `/t/{tenant}/connect/{name}/callback`, where the service sends
//! them back to.

use super::cookies::{forget, keep, kept};
use super::layout::{self, Next, Page};
use super::texts::Texts;
use super::{consent, expect_tag, form, language, paths, person, sign_in, tag};
use crate::authn::people::{Person, browser};
use crate::directory::clients;
use crate::error::{Error, Reason, Result};
use crate::model::ConnectedAccount;
use crate::oauth::{Form, Scope};
use crate::vault::connect::{self, Connected, Found, SECONDS, UnderWay, Wanted};
use crate::vault::service::Service;
use crate::web::{Call, Response};
use maud::{Markup, html};

/// What is under way is called so among what the browser keeps, and so is the tag of the form.
const KIND: &str = "connect";
/// The parameters of a service's response (RFC 6749 §4.1.2).
pub const PARAMETERS: &[&str] = &["state", "code", "error"];

/// The page on which a person goes on to a service.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let (cx, name) = (call.cx, call.id(0)?);
    let (query, _) = Form::read_query(&call.request.query);
    let request = query.get("request");
    let Some(person) = person(call).await? else {
        let query = request.map(|request| ["?request=", request].concat()).unwrap_or_default();
        let back = ["connect/", name, &query].concat();
        return Ok(sign_in::page(call, language(call.request), Some(sign_in::For::any(&back)), false)
            .await?
            .respond(200));
    };
    let found = connect::find(cx, name).await?;
    let wanted = connect::wanted(cx, name, request, &person)?;
    found.expect_owner(&wanted, &person)?;
    page(call, &found, &wanted, &person).await
}

async fn page(call: Call<'_>, found: &Found, wanted: &Wanted, person: &Person) -> Result<Response> {
    let (cx, language) = (call.cx, language(call.request));
    let (texts, service) = (language.texts(), found.settings.service()?);
    let client = match &wanted.client {
        Some(id) => clients::load(cx, id).await?.map(|client| client.metadata.client_name.clone()),
        None => None,
    };
    let present = connect::present(cx, wanted).await?;
    let scopes = connect::scopes(found, wanted, present.as_ref());
    let is_well = |present: &ConnectedAccount| !present.standing(cx.now.seconds()).needs_reauth();
    let present = present.filter(is_well).map(|account| account.name);
    let content = html! {
        h1 { (texts.connect) " " (service.name) }
        p.quiet { (texts.signed_in_as) " " strong { (consent::name(&person.user)) } }
        @if let Some(present) = &present {
            p { (texts.connect_there) " " strong { (present) } }
        } @else if let Some(client) = &client {
            p { strong { (client) } " " (texts.connect_needed) }
        }
        @if !scopes.is_empty() {
            p { (texts.connect_asks) }
            ul { @for scope in &scopes { (line(texts, Some(&service), scope)) } }
        }
        p.quiet { (texts.connect_stays) }
        (go_on(call, wanted, person, false, if present.is_some() { texts.connect_again } else { texts.connect })?)
    };
    let title = [texts.connect, " ", &service.name].concat();
    Ok(Page { language, title, content, form_targets: vec![] }.respond(200))
}

/// The form that leads on to the service.
fn go_on(call: Call<'_>, wanted: &Wanted, person: &Person, replaces: bool, label: &str) -> Result<Markup> {
    let (cx, tag) = (call.cx, tag(call, person, KIND)?);
    let sealed = connect::seal(cx, wanted)?;
    Ok(html! {
        form method="post" action=(paths::connect(cx, &wanted.connection)) {
            input type="hidden" name="tag" value=(tag);
            input type="hidden" name="request" value=(sealed);
            @if replaces { input type="hidden" name="replace" value="1"; }
            div.actions { button.main { (label) } }
        }
    })
}

/// A scope of a service, in words where its entry has some.
pub fn line(texts: &Texts, service: Option<&Service>, scope: &str) -> Markup {
    let known = service.and_then(|service| service.scopes.iter().find(|known| known.name == scope));
    html! {
        li {
            span {
                @match known {
                    Some(known) => { (consent::effect(texts, known.effect)) (known.description) small { code { (scope) } } }
                    None => code { (scope) },
                }
            }
        }
    }
}

/// The person goes on to the service.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let (cx, name) = (call.cx, call.id(0)?);
    let form = form(call)?;
    let Some(person) = person(call).await? else { return Err(Reason::FormExpired.into()) };
    expect_tag(call, &form, &person, KIND)?;
    let wanted = connect::wanted(cx, name, form.get("request"), &person)?;
    let found = connect::find(cx, name).await?;
    let state = cx.new_id();
    let replaces = form.get("replace").is_some();
    let (to, under_way) = connect::begin(cx, &found, wanted, &person, (&state, replaces)).await?;
    let response = sign_in::going_to(language(call.request), &to, &found.settings.service()?.name);
    let sealed = browser::seal(cx, KIND, &under_way, SECONDS)?;
    Ok(keep(cx, call.request, response, (KIND, &state), &sealed, SECONDS))
}

/// A person comes back from a service.
pub async fn callback(call: Call<'_>) -> Result<Response> {
    let (cx, request) = (call.cx, call.request);
    let (form, problem) = Form::read_query(&request.query);
    let form = form.keeping(PARAMETERS);
    // Nothing of the response counts in a browser that has not begun it.
    let state = form.get("state").ok_or(Reason::ConnectExpired)?;
    let Some(sealed) = kept(cx, request, KIND, state) else {
        // Also where the page that says that all is well was loaded again.
        let error = Reason::ConnectExpired.into();
        return Ok(layout::error(&error, language(request), Next::Me(&paths::me(cx))));
    };
    let under_way: UnderWay = browser::open(cx, KIND, &sealed).ok_or(Reason::ConnectExpired)?;
    if under_way.wanted().connection != call.id(0)? {
        return Err(Reason::ConnectExpired.because("the response is of another service"));
    }
    let person = person(call).await?.ok_or(Reason::ConnectExpired)?;
    let ended = match problem {
        Some(problem) => Err(problem.into()),
        None => connect::finish(cx, &under_way, &person, &form).await,
    };
    let response = match ended {
        Ok(connected) => result(call, &under_way, &person, connected)?,
        Err(Error::Refused(refusal)) => {
            connect::refused(cx, &under_way, &person, &refusal).await?;
            let error = Error::Refused(refusal);
            cx.world.log.line(&format!("{}: {error}", cx.request_id));
            let again = [
                &paths::connect(cx, &under_way.wanted().connection),
                "?request=",
                &connect::seal(cx, under_way.wanted())?,
            ]
            .concat();
            layout::error(&error, language(request), Next::Connect(&again))
        }
        Err(fault) => return Err(fault),
    };
    Ok(forget(cx, request, response, (KIND, state)))
}

fn result(call: Call<'_>, under_way: &UnderWay, person: &Person, connected: Connected) -> Result<Response> {
    let language = language(call.request);
    let texts = language.texts();
    let (title, content) = match connected {
        Connected::Account(account) => {
            let granted = Scope::parse(&account.scope).unwrap_or_default();
            let lacking: Vec<&str> =
                account.scope_asked.split(' ').filter(|scope| !scope.is_empty() && !granted.contains(scope)).collect();
            let content = html! {
                h1 { (texts.connect_done) }
                p { strong { (account.name) } }
                @if !lacking.is_empty() {
                    p.warn { (texts.connect_lacking) }
                    ul { @for scope in lacking { li { code { (scope) } } } }
                }
                p { (texts.connect_back) }
                p { a href=(paths::me(call.cx)) { (texts.connected) } }
            };
            (texts.connect_done, content)
        }
        Connected::Other { present, chosen } => {
            let content = html! {
                h1 { (texts.connect_other) }
                p { (texts.connect_other_is) " " strong { (present) } ". " (texts.connect_other_chosen) " " strong { (chosen) } "." }
                (go_on(call, under_way.wanted(), person, true, texts.connect_replace)?)
                p { a href=(paths::me(call.cx)) { (texts.connect_keep) } }
            };
            (texts.connect_other, content)
        }
    };
    Ok(Page { language, title: title.to_owned(), content, form_targets: vec![] }.respond(200))
}
