//! An authorization request, as the browser keeps it until it is decided.

use crate::context::Cx;
use crate::error::Reason;
use crate::oauth::Form;
use form_urlencoded::Serializer;
use serde::{Deserialize, Serialize};

/// The parameters that an authorization request may have; others are not looked at (RFC 6749 §3.1).
pub const PARAMETERS: &[&str] = &[
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "resource",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "prompt",
    "max_age",
    "acr_values",
    "login_hint",
    "dpop_jkt",
    "authorization_details",
    "request",
];

/// The longest `state` and `nonce` in bytes. A sealed request has to fit the cookies of a browser.
const MAX_TEXT: usize = 4 * 1024;
/// The most bytes of all parameters together.
const MAX_BYTES: usize = 8 * 1024;

/// An authorization request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    form: Form,
    /// When it came, in seconds: who signs in for it does so later.
    pub since: i64,
}

impl Request {
    /// Takes the parameters of a request. A problem that its client can be told of is answered with what could be read.
    pub fn new(cx: &Cx<'_>, form: Form, problem: Option<Reason>) -> (Self, Option<Reason>) {
        let form = form.keeping(PARAMETERS);
        let too_long = |name: &str| form.get(name).is_some_and(|text| text.len() > MAX_TEXT);
        let problem =
            problem
                .or((too_long("state") || too_long("nonce") || form.bytes() > MAX_BYTES)
                    .then_some(Reason::RequestTooLarge));
        (Self { form, since: cx.now.seconds() }, problem)
    }

    /// The parameters.
    pub const fn form(&self) -> &Form {
        &self.form
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.form.get(name)
    }

    /// Whether `prompt` has that word (OpenID Connect Core §3.1.2.1).
    pub fn prompts(&self, word: &str) -> bool {
        self.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|one| one == word))
    }
}

/// An authorization response: the redirect URI with its parameters (RFC 6749 §4.1.2, RFC 9207 §2).
pub fn response(cx: &Cx<'_>, redirect_uri: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> String {
    let issuer = cx.issuer();
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters);
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    let query = query.append_pair("iss", &issuer).finish();
    let separator = match redirect_uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    [redirect_uri, separator, &query].concat()
}

/// An error response (RFC 6749 §4.1.2.1).
pub fn refusal_response(cx: &Cx<'_>, request: &Request, redirect_uri: &str, reason: Reason) -> String {
    let wire = reason.wire();
    let parameters = [("error", wire.code), ("error_description", wire.description)];
    response(cx, redirect_uri, request.get("state"), &parameters)
}
