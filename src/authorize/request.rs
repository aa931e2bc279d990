//! An authorization request, as the browser keeps it until it is decided.

use crate::context::Cx;
use crate::error::Reason;
use crate::oauth::Form;
use crate::store::spent::Redeemable;
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
    "request_uri",
];

/// The longest `state` and `nonce` in bytes. A sealed request has to fit the cookies of a browser.
const MAX_TEXT: usize = 4 * 1024;
/// The most bytes of all parameters together.
const MAX_BYTES: usize = 8 * 1024;

/// How long a `request_uri` can be opened, in seconds (RFC 9126 §2.2).
pub const PUSHED_SECONDS: i64 = 90;
/// For how long a person may think a request over, in seconds.
pub const DECIDED_SECONDS: i64 = 3_600;

/// The most bytes that a browser keeps of it, before they are sealed: they fit the cookies of one request.
const MAX_KEPT: usize = 10_000;

/// How many bytes the parameters have as JSON, where a control character takes six.
fn kept_bytes(form: &Form) -> usize {
    serde_json::to_string(form).map_or(usize::MAX, |json| json.len())
}

/// An authorization request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    form: Form,
    /// When it came, in seconds: who signs in for it does so later.
    pub since: i64,
    /// The session in which it came, or in which policy wanted another sign-in: who signs in for it has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What policy wants of the sign-in for it, once that is known (RFC 9470 §3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_values: Option<String>,
    /// The issuer of the compatible route that it came by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The name of the pushed request that it is (RFC 9126 §4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<String>,
    /// The user code that a person has entered (RFC 8628 §3.3); the request is then the one of its device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_code: Option<String>,
}

impl Request {
    /// The request of the device that shows that user code.
    pub fn of_device(cx: &Cx<'_>, user_code: &str) -> Self {
        Self { user_code: Some(user_code.to_owned()), ..Self::new(cx, Form::default(), None).0 }
    }

    /// Takes the parameters of a request.
    pub fn new(cx: &Cx<'_>, form: Form, problem: Option<Reason>) -> (Self, Option<Reason>) {
        let form = form.keeping(PARAMETERS);
        let too_long = |name: &str| form.get(name).is_some_and(|text| text.len() > MAX_TEXT);
        let is_too_large =
            too_long("state") || too_long("nonce") || form.bytes() > MAX_BYTES || kept_bytes(&form) > MAX_KEPT;
        let problem = problem.or(is_too_large.then_some(Reason::RequestTooLarge));
        let since = cx.now.seconds();
        (Self { form, since, session: None, acr_values: None, issuer: None, pushed: None, user_code: None }, problem)
    }

    /// The same request, which came in that session.
    pub fn in_session(self, session: Option<String>) -> Self {
        Self { session, ..self }
    }

    /// The same request, for which somebody with that session has to sign in so.
    pub fn wanting(self, session: Option<String>, acr_values: String) -> Self {
        Self { session, acr_values: Some(acr_values), ..self }
    }

    /// The same request, which came by the compatible route of this one, if that is one.
    pub fn by_route_of(self, cx: &Cx<'_>) -> Self {
        Self { issuer: cx.route().map(|route| route.issuer.clone()), ..self }
    }

    /// The parameters.
    pub const fn form(&self) -> &Form {
        &self.form
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.form.get(name)
    }

    /// What makes a pushed request count for one code of that client. One that was not pushed has nothing to redeem.
    pub fn redeemable(&self, cx: &Cx<'_>, client: &str) -> Option<Redeemable> {
        self.pushed.as_ref().map(|id| cx.redeemable("par", client, id))
    }

    /// Until when it is remembered that a pushed request was redeemed, in seconds: longer than it can be opened or decided.
    pub const fn remembered_until(&self, now: i64) -> i64 {
        now.saturating_add(PUSHED_SECONDS).saturating_add(DECIDED_SECONDS)
    }

    /// Whether `prompt` has that word (OpenID Connect Core §3.1.2.1).
    pub fn prompts(&self, word: &str) -> bool {
        self.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|one| one == word))
    }
}

/// Whether an `acr` is among `acr_values` (OpenID Connect Core §3.1.2.1).
pub fn is_among(acr_values: &str, acr: &str) -> bool {
    acr_values.split(' ').any(|one| one == acr && !acr.is_empty())
}

/// An authorization response: the redirect URI with its parameters (RFC 6749 §4.1.2, RFC 9207 §2).
pub fn response(cx: &Cx<'_>, request: &Request, redirect_uri: &str, parameters: &[(&str, &str)]) -> String {
    let issuer = request.issuer.clone().unwrap_or_else(|| cx.issuer());
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters);
    if let Some(state) = request.get("state") {
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
    response(cx, request, redirect_uri, &parameters)
}
