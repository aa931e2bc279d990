//! `/t/{tenant}/sign-in` and `/t/{tenant}/sign-out`.

use super::layout::Page;
use super::texts::Language;
use super::{cookies, expect_tag, form, paths, person};
use crate::authn::people::{demo, session};
use crate::authorize::Asked;
use crate::error::{Reason, Result};
use crate::model::id;
use crate::oauth::Form;
use crate::web::{Call, Response};
use maud::html;

/// The page on which a person chooses how to sign in; for a request under way, or for the person's own page.
pub fn page(call: Call<'_>, language: Language, request: Option<(&str, Option<&Asked>)>) -> Page {
    let (cx, texts) = (call.cx, language.texts());
    let content = html! {
        h1 { (texts.sign_in) }
        @if let Some((_, Some(asked))) = request { p { (texts.sign_in_to) " " strong { (asked.client.metadata.client_name) } } }
        form method="post" action=(paths::sign_in(cx)) {
            @if let Some((id, _)) = request { input type="hidden" name="request" value=(id); }
            @if cx.config.is_development() {
                button.main.wide name="provider" value=(demo::NAME) { (texts.sign_in_with) " " (texts.demo) }
                p.quiet { (texts.demo_note) }
            } @else {
                p { (texts.nobody) }
            }
        }
    };
    let form_targets =
        request.iter().filter_map(|(_, asked)| Some(paths::target(&asked.as_ref()?.redirect_uri))).collect();
    Page { language, title: texts.sign_in.to_owned(), content, form_targets }
}

/// A person has chosen how to sign in.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let form = form(call)?;
    match form.get("provider") {
        Some(demo::NAME) => {
            let (user, signed_in) = demo::sign_in(call.cx).await?;
            let (cookie, seconds) = session::begin(call.cx, &user, signed_in).await?;
            let response = Response::redirect(paths::after(call.cx, form.get("request")));
            Ok(response.cookie(&cookies::session(call.cx), cookie.expose(), seconds))
        }
        _ => Err(Reason::NoSuchProvider.into()),
    }
}

/// A person signs out; to sign in as somebody else, where a request is under way.
pub async fn sign_out(call: Call<'_>) -> Result<Response> {
    let form: Form = form(call)?;
    let request = form.get("request").filter(|id| id::is_plausible(id));
    if let Some(person) = person(call).await? {
        expect_tag(call, &form, &person, request.unwrap_or_default())?;
        session::end(call.cx, &person).await?;
    }
    Ok(Response::redirect(paths::after(call.cx, request)).cookie(&cookies::session(call.cx), "", 0))
}
