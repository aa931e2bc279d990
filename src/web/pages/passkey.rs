//! `/t/{tenant}/invitation/{token}`, and the page of `/t/{tenant}/sign-in` on which a person uses a passkey. They alone have a script: the
//! API of authenticators has no other way. Its digest is in the policy of the page; it fills a field and sends the form.

use super::cookies::{self, forget, keep, kept};
use super::layout::{self, Page, hash};
use super::texts::{Language, Texts};
use super::{authorize, consent, form, language, paths};
use crate::authn::people::passkey::{self, Begun};
use crate::authn::people::{invitation, passkey::NAME, passkey::SECONDS};
use crate::crypto::Secret;
use crate::error::{Error, Reason, Result};
use crate::model::User;
use crate::model::id::is_plausible;
use crate::model::passkey::MAX_NAME;
use crate::oauth::Form;
use crate::web::{Call, Response};
use maud::{Markup, PreEscaped, html};

const SCRIPT: &str = include_str!("passkey.js");

/// The button of the sign-in page.
pub fn button(texts: &Texts) -> Markup {
    html! { button.main.wide name="provider" value=(NAME) { (texts.passkey_use) } }
}

/// A person signs in with a passkey: begins, or comes back with what the authenticator says.
pub async fn sign_in(call: Call<'_>, form: &Form) -> Result<Response> {
    let request = form.get("request");
    let Some(credential) = form.get("credential") else { return ask(call, request, None).await };
    let sealed = sealed(call, form);
    match passkey::sign_in(call.cx, sealed.as_deref(), credential).await {
        Ok(begun) => Ok(go_on(call, form, request, begun)),
        Err(Error::Refused(refusal)) => ask(call, request, Some(refusal.reason)).await,
        Err(fault) => Err(fault),
    }
}

async fn ask(call: Call<'_>, request: Option<&str>, problem: Option<Reason>) -> Result<Response> {
    let (cx, language) = (call.cx, language(call.request));
    let texts = language.texts();
    let target = match request {
        Some(id) if is_plausible(id) => authorize::target(call, id).await?,
        _ => None,
    };
    let (id, begun) = (cx.new_id(), passkey::begin_sign_in(cx)?);
    let content = html! {
        h1 { (texts.passkey_use) }
        form method="post" action=(paths::sign_in(cx)) data-options=(begun.options) data-now=[problem.is_none().then_some("1")] {
            @if let Some(request) = request { input type="hidden" name="request" value=(request); }
            input type="hidden" name="provider" value=(NAME);
            (rest(language, &id, texts.passkey_use, problem))
        }
    };
    let page =
        Page { language, title: texts.passkey_use.to_owned(), content, form_targets: target.into_iter().collect() };
    Ok(respond(call, page, problem, (&id, &begun)))
}

/// The page of an invitation.
pub async fn invited(call: Call<'_>) -> Result<Response> {
    let user = invitation::find(call.cx, call.id(0)?).await?;
    invite(call, &user, None).await
}

/// A person comes back with the passkey that the authenticator has made.
pub async fn accept(call: Call<'_>) -> Result<Response> {
    let form = form(call)?;
    let (cx, token, sealed) = (call.cx, call.id(0)?, sealed(call, &form));
    let made = (form.get("credential").unwrap_or_default(), form.get("name"));
    match invitation::accept(cx, token, sealed.as_deref(), made).await {
        Ok(begun) => Ok(go_on(call, &form, None, begun)),
        Err(Error::Refused(refusal)) if refusal.reason != Reason::InvitationOver => {
            let user = invitation::find(cx, token).await?;
            invite(call, &user, Some(refusal.reason)).await
        }
        Err(error) => Err(error),
    }
}

async fn invite(call: Call<'_>, user: &User, problem: Option<Reason>) -> Result<Response> {
    let (cx, language) = (call.cx, language(call.request));
    let texts = language.texts();
    let (id, begun) = (cx.new_id(), passkey::begin_registration(cx, user).await?);
    let content = html! {
        h1 { (texts.passkey_set_up) }
        dl {
            dt { (texts.invited) } dd { strong { (consent::name(user)) } }
            dt { (texts.at) } dd { (cx.tenant.name) }
        }
        p { (texts.passkey_what) }
        form method="post" action=(call.request.path) data-options=(begun.options) {
            p { label for="name" { (texts.passkey_name) } input type="text" id="name" name="name" maxlength=(MAX_NAME); }
            (rest(language, &id, texts.passkey_set_up, problem))
        }
    };
    let page = Page { language, title: texts.passkey_set_up.to_owned(), content, form_targets: vec![] };
    Ok(respond(call, page, problem, (&id, &begun)))
}

/// What both forms end with; the button is shown by the script.
pub(super) fn rest(language: Language, id: &str, button: &str, problem: Option<Reason>) -> Markup {
    let texts = language.texts();
    html! {
        input type="hidden" name="ceremony" value=(id);
        input type="hidden" name="credential";
        @if let Some(reason) = problem { (layout::problem(reason, language)) }
        p.warn #failed role="alert" hidden { (texts.passkey_failed) }
        p.warn #unsupported role="alert" hidden { (texts.passkey_unsupported) }
        noscript { p.warn { (texts.passkey_script) } }
        button.main.wide hidden { (button) }
        script { (PreEscaped(SCRIPT)) }
    }
}

fn respond(call: Call<'_>, page: Page, problem: Option<Reason>, (id, begun): (&str, &Begun)) -> Response {
    let response = with_script(page.respond(problem.map_or(200, |reason| reason.wire().status)));
    keep(call.cx, call.request, response, (NAME, id), &begun.sealed, SECONDS)
}

/// The same response, whose policy lets the script run.
pub(super) fn with_script(mut response: Response) -> Response {
    for (_, policy) in response.headers.iter_mut().filter(|(name, _)| *name == "content-security-policy") {
        policy.push_str(&["; script-src ", &hash(SCRIPT)].concat());
    }
    response
}

/// What the browser keeps of the ceremony that a form names.
fn sealed(call: Call<'_>, form: &Form) -> Option<String> {
    kept(call.cx, call.request, NAME, form.get("ceremony")?)
}

/// On with the request or to the person's own page, signed in.
fn go_on(call: Call<'_>, form: &Form, request: Option<&str>, (cookie, seconds): (Secret<String>, i64)) -> Response {
    let response = Response::redirect(paths::after(call.cx, request));
    let response = response.cookie(&cookies::session(call.cx), cookie.expose(), seconds);
    forget(call.cx, call.request, response, (NAME, form.get("ceremony").unwrap_or_default()))
}
