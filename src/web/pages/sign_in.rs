//! `/t/{tenant}/sign-in` and `/t/{tenant}/sign-out`.

use super::layout::{self, Next, Page};
use super::texts::Language;
use super::{callback, cookies, expect_tag, form, language, passkey, paths, person};
use crate::authn::people::oidc::Wishes;
use crate::authn::people::{Person, demo, passkey as passkeys, session};
use crate::authorize::{self, Asked};
use crate::directory::issuers;
use crate::error::{Reason, Result};
use crate::model::{Issuer, Registration, id};
use crate::oauth::Form;
use crate::web::{Call, Response};
use maud::html;

/// The query of a page to which somebody comes who has signed out.
pub const AGAIN: &str = "again";

/// What a person signs in for.
#[derive(Clone, Copy)]
pub struct For<'a> {
    /// What is under way.
    pub id: &'a str,
    /// Who asks.
    pub asked: Option<&'a Asked>,
    /// How policy wants the sign-in, if it does.
    pub acr_values: Option<&'a str>,
}

impl<'a> For<'a> {
    /// What asks for nothing but that somebody is signed in.
    pub const fn any(id: &'a str) -> Self {
        Self { id, asked: None, acr_values: None }
    }
}

/// The page on which a person chooses how to sign in; for a request under way, or for the person's own page. `again`: as somebody else.
pub async fn page(call: Call<'_>, language: Language, request: Option<For<'_>>, again: bool) -> Result<Page> {
    let (cx, texts) = (call.cx, language.texts());
    let providers = issuers::providers(cx).await?;
    let acr_values = request.and_then(|request| request.acr_values);
    let would_do = |acr: &str| acr_values.is_none_or(|values| authorize::is_among(values, acr));
    let has_passkeys = passkeys::is_there(cx).await? && would_do(passkeys::ACR);
    let is_development = cx.config.is_development();
    let content = html! {
        h1 { (texts.sign_in) }
        p.quiet { (cx.tenant.name) }
        @if let Some(For { asked: Some(asked), .. }) = request { p { (texts.sign_in_to) " " strong { (asked.client.metadata.client_name) } } }
        @if acr_values.is_some() { p { (texts.sign_in_stronger) } }
        form method="post" action=(paths::sign_in(cx)) {
            @if let Some(For { id, .. }) = request { input type="hidden" name="request" value=(id); }
            @if again { input type="hidden" name="again" value="1"; }
            @for provider in providers.iter() {
                button.main.wide name="provider" value=(provider.id) { (texts.sign_in_with) " " (label(provider)) }
            }
            @if has_passkeys { (passkey::button(texts)) }
            @if is_development {
                button.main.wide name="provider" value=(demo::NAME) { (texts.sign_in_with) " " (texts.demo) }
                p.quiet { (texts.demo_note) }
            } @else if providers.is_empty() && !has_passkeys {
                p { (texts.nobody) }
            }
        }
    };
    let form_targets = request.iter().filter_map(|request| Some(paths::target(&request.asked?.redirect_uri))).collect();
    Ok(Page { language, title: texts.sign_in.to_owned(), content, form_targets })
}

fn label(Issuer { body, .. }: &Issuer) -> &str {
    body.label.as_ref().unwrap_or(&body.name)
}

/// The one way to sign in for a client that an administrator has registered: nobody has to choose, and a stranger's client is named on a
/// page of ours before anybody else's is shown.
pub async fn only(call: Call<'_>, asked: &Asked) -> Result<Option<Issuer>> {
    if call.cx.config.is_development() || asked.client.registration != Registration::Admin {
        return Ok(None);
    }
    match issuers::providers(call.cx).await?.as_slice() {
        [only] if !passkeys::is_there(call.cx).await? => Ok(Some(only.clone())),
        _ => Ok(None),
    }
}

/// How a request wants its person to sign in. Somebody who is signed in and has to sign in all the same shall authenticate, not pass by a session
/// at the provider.
pub fn wishes<'a>(request: &'a authorize::Request, person: Option<&Person>, again: bool) -> Wishes<'a> {
    let of_request = ["max_age", "login_hint"].into_iter().filter_map(|name| Some((name, request.get(name)?)));
    let acr_values = request.acr_values.as_deref().or_else(|| request.get("acr_values"));
    Wishes {
        login: person.is_some() || request.prompts("login"),
        select_account: again || request.prompts("select_account"),
        others: of_request.chain(acr_values.map(|acr_values| ("acr_values", acr_values))).collect(),
    }
}

/// A person has chosen how to sign in.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let form = form(call)?;
    let (cx, id) = (call.cx, form.get("request"));
    let chosen = form.get("provider").unwrap_or_default();
    if chosen == passkeys::NAME {
        return passkey::sign_in(call, &form).await;
    }
    if chosen == demo::NAME && cx.config.is_development() {
        let (user, signed_in) = demo::sign_in(cx).await?;
        let (cookie, seconds) = session::begin(cx, &user, signed_in).await?;
        let response = Response::redirect(paths::after(cx, id));
        return Ok(response.cookie(&cookies::session(cx), cookie.expose(), seconds));
    }
    let providers = issuers::providers(cx).await?;
    let issuer = providers.iter().find(|one| one.id == chosen).ok_or(Reason::NoSuchProvider)?;
    let of_request = id.filter(|id| id::is_plausible(id));
    let request = of_request.map(|id| super::authorize::kept_request(call, id)).transpose()?;
    let again = form.get("again").is_some();
    let person = person(call).await?;
    let wishes = match &request {
        Some(request) => wishes(request, person.as_ref(), again),
        None => Wishes { login: person.is_some(), select_account: again, ..Wishes::default() },
    };
    let language = language(call.request);
    match callback::begin(call, issuer, id, &wishes).await {
        Ok((to, keeping)) => Ok(keeping(going_to(language, &to, label(issuer)))),
        Err(error) => Ok(layout::error(&error, language, Next::SignIn(&paths::after(cx, id)))),
    }
}

/// A page that goes on to another place by itself: what follows is not the answer to a form, so that a provider may lead on to others,
/// which no policy of ours could name.
pub fn going_to(language: Language, to: &str, label: &str) -> Response {
    let texts = language.texts();
    let content = html! {
        h1 { (texts.going_to) " " (label) }
        p { a href=(to) { (texts.go_on) } }
    };
    let page = Page { language, title: texts.going_to.to_owned(), content, form_targets: vec![] };
    page.respond(200).with("refresh", ["0;url=", to].concat())
}

/// A person signs out; to sign in as somebody else, where a request is under way.
pub async fn sign_out(call: Call<'_>) -> Result<Response> {
    let form: Form = form(call)?;
    let request = form.get("request").filter(|id| id::is_plausible(id));
    if let Some(person) = person(call).await? {
        expect_tag(call, &form, &person, request.unwrap_or_default())?;
        session::end(call.cx, &person).await?;
    }
    // Who has just signed out is not signed in again without being asked.
    let to = [&paths::after(call.cx, request), "?", AGAIN].concat();
    Ok(Response::redirect(to).cookie(&cookies::session(call.cx), "", 0))
}
