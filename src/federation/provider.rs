//! What an issuer publishes about itself for people to sign in with it (OpenID Connect Discovery §3).
//!
//! 1. It is kept in the isolate for `KEPT_MILLIS`. While it cannot be had anew, the last one serves for `SERVED_MILLIS`.
//! 2. An issuer in trouble is not asked again for `FAILED_MILLIS`.
//! 3. Each fetch that fails is one event, as that of a key set.
//! 4. What a browser or we would call has to pass the gate of `outbound`.

use super::{KeySource, keysets};
use crate::context::Cx;
use crate::error::Result;
use crate::model::Issuer;
use crate::outbound;
use crate::ports::Now;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::rc::Rc;

const KEPT_MILLIS: u64 = 300_000;
const SERVED_MILLIS: u64 = 3_600_000;
const FAILED_MILLIS: u64 = 5_000;
/// What one counts as in the cache, in bytes.
const WEIGHT: usize = 4_096;

/// How to sign in with an issuer.
pub struct Provider {
    /// Where the browser goes.
    pub authorization_endpoint: String,
    /// Where the code is redeemed.
    pub token_endpoint: String,
    /// Whether every response has `iss` (RFC 9207 §3).
    pub sends_iss: bool,
    /// Whether a secret is taken in the form alone.
    pub takes_secret_in_form: bool,
    /// Whether an assertion that is signed with RS256 proves us.
    pub takes_assertion: bool,
    /// Whether it knows `prompt` `select_account`.
    pub selects_account: bool,
}

#[derive(Default)]
struct Slot(RefCell<Known>);

#[derive(Default)]
struct Known {
    last: Option<(Rc<Provider>, Now)>,
    failed: Option<Now>,
}

/// How to sign in with `issuer`. The error says why nobody can now.
pub async fn provider(cx: &Cx<'_>, issuer: &Issuer) -> Result<Result<Rc<Provider>, String>> {
    let iss = issuer.body.issuer.as_str();
    let slot: Rc<Slot> = cx.lasting(&["provider ", iss].concat(), WEIGHT);
    let age = |moment: Now| cx.now.millis().saturating_sub(moment.millis());
    let (last, failed) = {
        let known = slot.0.borrow();
        (known.last.clone(), known.failed)
    };
    let within = |millis: u64| last.as_ref().filter(|(_, at)| age(*at) < millis).map(|(provider, _)| provider.clone());
    if let Some(known) = within(KEPT_MILLIS) {
        return Ok(Ok(known));
    }
    if failed.is_some_and(|failed| age(failed) < FAILED_MILLIS) {
        return Ok(within(SERVED_MILLIS).ok_or_else(|| "it was in trouble just now".to_owned()));
    }
    let read = keysets::configuration(cx, iss).await.and_then(|document| {
        let provider = read(cx, &document).map(Rc::new);
        provider.ok_or_else(|| ["the document of ", iss, " names no endpoints that may be called"].concat())
    });
    match read {
        Ok(provider) => {
            *slot.0.borrow_mut() = Known { last: Some((provider.clone(), cx.now)), failed: None };
            Ok(Ok(provider))
        }
        Err(why) => {
            slot.0.borrow_mut().failed = Some(cx.now);
            keysets::tell(cx, KeySource::Issuer(issuer), why.clone()).await?;
            Ok(within(SERVED_MILLIS).ok_or(why))
        }
    }
}

fn read(cx: &Cx<'_>, document: &Map<String, Value>) -> Option<Provider> {
    let url = |name: &str| {
        let url = document.get(name).and_then(Value::as_str)?;
        outbound::admit(cx.config, url).map(|_| url.to_owned())
    };
    let lists = |name: &str, word: &str| {
        document.get(name).and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == word))
    };
    let method = |name: &str| lists("token_endpoint_auth_methods_supported", name);
    Some(Provider {
        authorization_endpoint: url("authorization_endpoint")?,
        token_endpoint: url("token_endpoint")?,
        sends_iss: document.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
        takes_secret_in_form: method("client_secret_post") && !method("client_secret_basic"),
        takes_assertion: method("private_key_jwt"),
        selects_account: lists("prompt_values_supported", "select_account"),
    })
}
