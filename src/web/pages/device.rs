//! `GET|POST /t/{tenant}/device`: a person enters the code that a device shows (RFC 8628 §3.3).
//!
//! 1. A code that comes in the URL is shown to be compared, and nothing is looked up before the person goes on.

use super::layout::{self, Page};
use super::{authorize, form, language, paths};
use crate::authorize::{Request, device};
use crate::error::{Error, Reason, Result};
use crate::oauth::Form;
use crate::web::{Call, Response};
use maud::html;

/// The page; or what became of the request of a device.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let (query, _) = Form::read_query(&call.request.query);
    let texts = language(call.request).texts();
    let outcome = match query.get("outcome") {
        Some("approved") => Some(texts.device_approved),
        Some("denied") => Some(texts.device_denied),
        _ => None,
    };
    let code = query.get("user_code").and_then(device::normal).unwrap_or_default();
    Ok(page(call, &code, outcome, None))
}

fn page(call: Call<'_>, code: &str, outcome: Option<&str>, problem: Option<Reason>) -> Response {
    let language = language(call.request);
    let texts = language.texts();
    let content = html! {
        @if let Some(outcome) = outcome {
            h1 { (outcome) }
            p { (texts.device_back) }
        } @else {
            h1 { (texts.device) }
            @if let Some(reason) = problem { (layout::problem(reason, language)) }
            form method="post" action=(paths::device(call.cx)) {
                p { label for="user_code" { (texts.device_code) } }
                p { input.code id="user_code" name="user_code" value=(code) required maxlength="20" autocomplete="off" autocapitalize="characters" spellcheck="false"; }
                @if !code.is_empty() { p { (texts.device_same) } }
                p.warn { (texts.device_warning) }
                div.actions { button.main { (texts.go_on) } }
            }
        }
    };
    let title = outcome.unwrap_or(texts.device).to_owned();
    let status = problem.map_or(200, |reason| reason.wire().status);
    Page { language, title, content, form_targets: vec![] }.respond(status)
}

/// The person has entered a code. One with which no device waits can be mended on the same page.
pub async fn post(call: Call<'_>) -> Result<Response> {
    let form = form(call)?;
    let sent = form.get("user_code").unwrap_or_default();
    let taken = match device::normal(sent) {
        Some(code) => authorize::take(call, Request::of_device(call.cx, &code), None).await,
        None => Err(Reason::UnknownUserCode.into()),
    };
    match taken {
        Err(Error::Refused(refusal)) if refusal.reason == Reason::UnknownUserCode => {
            Ok(page(call, sent.get(..sent.floor_char_boundary(20)).unwrap_or_default(), None, Some(refusal.reason)))
        }
        taken => taken,
    }
}
