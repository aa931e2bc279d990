//! Pages for people: signing in, deciding about an application, seeing what is connected.
//!
//! 1. Everything on a page is escaped by construction (maud). There is no script but where a passkey needs one, and nothing comes from elsewhere:
//!    `default-src 'none'`, no frame around it, no referrer elsewhere, not cached (RFC 9700 §4.2, §4.16).
//! 2. A form changes something only if it comes from our own origin, in the session that it was shown in, with the tag of that session.
//! 3. Texts are in one table, in English and German (`texts`).

pub mod approvals;
pub mod authorize;
pub mod callback;
pub mod connect;
mod consent;
mod cookies;
pub mod device;
mod layout;
pub mod me;
pub mod passkey;
mod paths;
pub mod sign_in;
mod texts;

pub use layout::{Next, error};
pub use texts::Language;

use super::{Call, Request};
use crate::authn::people::{Person, browser, session};
use crate::error::{Reason, Result};
use crate::oauth::Form;

/// The most fields of a form: two for each scope of a resource, and some more.
const MAX_FIELDS: usize = 300;

/// The form of a request from a page of ours. A browser says which origin the page has (RFC 6454 §7).
fn form(call: Call<'_>) -> Result<Form> {
    let Call { cx, request, .. } = call;
    if request.header("origin") != Some(cx.config.origin()) {
        return Err(Reason::CrossOrigin.into());
    }
    let body = request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
    Form::read_page(request.header("content-type"), body, MAX_FIELDS, "scope")
}

/// The person who is signed in with this browser.
async fn person(call: Call<'_>) -> Result<Option<Person>> {
    match call.request.cookie(&cookies::session(call.cx)) {
        Some(cookie) => session::find(call.cx, cookie).await,
        None => Ok(None),
    }
}

/// The tag that goes with a form that a person is shown.
fn tag(call: Call<'_>, person: &Person, of: &str) -> Result<String> {
    browser::form_token(call.cx, &tagged(person, of))
}

/// Refuses a form that was not shown in this session.
fn expect_tag(call: Call<'_>, form: &Form, person: &Person, of: &str) -> Result<()> {
    let sent = form.get("tag").unwrap_or_default();
    match browser::is_form_token(call.cx, &tagged(person, of), sent) {
        true => Ok(()),
        false => Err(Reason::FormExpired.into()),
    }
}

fn tagged(person: &Person, of: &str) -> String {
    [&person.session.id.to_text(), "\0", of].concat()
}

/// The language that the browser asks for.
pub fn language(request: &Request) -> Language {
    Language::of(request.header("accept-language"))
}
