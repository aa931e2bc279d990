//! `/t/{tenant}/sign-in/callback`, where an identity provider sends people back to, and `/t/{tenant}/sign-in/backchannel-logout`, where it
//! ends their sessions.

use super::cookies::{self, forget, keep, kept};
use super::layout::{self, Next};
use super::paths;
use crate::authn::people::oidc::{self, UnderWay, Wishes};
use crate::authn::people::{browser, logout, session};
use crate::context::Cx;
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::Issuer;
use crate::oauth::Form;
use crate::web::pages::language;
use crate::web::{Call, Response};

/// What a sign-in that is under way is called among what the browser keeps.
const KIND: &str = "signin";
/// The parameters of a provider's response (RFC 6749 §4.1.2, RFC 9207 §2).
pub const PARAMETERS: &[&str] = &["state", "code", "iss", "error"];

/// Begins a sign-in with an issuer: where the browser goes, and how a response becomes one that lets it keep what belongs to it.
pub async fn begin<'a>(
    call: Call<'a>,
    issuer: &Issuer,
    request: Option<&str>,
    wishes: &Wishes<'_>,
) -> Result<(String, impl FnOnce(Response) -> Response + use<'a>)> {
    let state = call.cx.new_id();
    let (to, under_way) = oidc::begin(call.cx, issuer, &state, request, wishes).await?;
    let sealed = browser::seal(call.cx, KIND, &under_way, oidc::SECONDS)?;
    Ok((to, move |response| keep(call.cx, call.request, response, (KIND, &state), &sealed, oidc::SECONDS)))
}

/// A person comes back.
pub async fn get(call: Call<'_>) -> Result<Response> {
    let Call { cx, request, .. } = call;
    let (form, problem) = Form::read_query(&request.query);
    let form = form.keeping(PARAMETERS);
    // Nothing of the response counts in a browser that has not begun it.
    let state = form.get("state").ok_or(Reason::SignInExpired)?;
    let sealed = kept(cx, request, KIND, state).ok_or(Reason::SignInExpired)?;
    let under_way: UnderWay = browser::open(cx, KIND, &sealed).ok_or(Reason::SignInExpired)?;
    let to = paths::after(cx, under_way.request.as_deref());
    let ended = match problem {
        Some(problem) => Err(problem.into()),
        None => end(cx, &under_way, &form).await,
    };
    Ok(match ended {
        Ok((cookie, seconds)) => {
            let response = forget(cx, request, Response::redirect(to), (KIND, state));
            response.cookie(&cookies::session(cx), &cookie, seconds)
        }
        // The request is still here: nothing is lost.
        Err(error) => {
            cx.world.log.line(&format!("{}: {error}", cx.request_id));
            let response = layout::error(&error, language(request), Next::SignIn(&to));
            // Only where the provider is in trouble the same response can be tried again.
            match error {
                Error::Refused(Refusal { reason: Reason::SignInInvalid | Reason::SignInDeclined, .. }) => {
                    forget(cx, request, response, (KIND, state))
                }
                _ => response,
            }
        }
    })
}

async fn end(cx: &Cx<'_>, under_way: &UnderWay, form: &Form) -> Result<(String, i64)> {
    let (user, signed_in) = oidc::finish(cx, under_way, form).await?;
    let (cookie, seconds) = session::begin(cx, &user, signed_in).await?;
    Ok((cookie.expose().clone(), seconds))
}

/// A provider ends sessions.
pub async fn logout(call: Call<'_>) -> Result<Response> {
    let body = call.request.body.as_deref().ok_or(Reason::BodyTooLarge)?;
    let form = Form::parse(call.request.header("content-type"), body)?;
    logout::end(call.cx, form.get("logout_token").ok_or(Reason::InvalidLogoutToken)?).await?;
    Ok(Response::empty(200).with("cache-control", "no-store"))
}
