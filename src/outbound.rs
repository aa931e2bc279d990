//! Calls to other services; nothing else calls the fetch port.
//!
//! 1. `https`, the default port, no userinfo, and a public DNS name: no address in any spelling (the URL parser turns
//!    decimal, octal and hexadecimal ones into addresses, and all of them are refused), no special-use name (RFC 6761,
//!    RFC 6762, RFC 8375), not this deployment itself. What a name resolves to is the platform's to guard
//!    (`global_fetch_strictly_public`).
//! 2. Origins of `DEV_OUTBOUND` pass although they are on this machine; `https` deployments have none.
//! 3. A redirect is never followed: it is an answer that cannot be used.
//! 4. 10 seconds; 64 KB, of a key set as much as one may have, of a client's document 5 KB.
//! 5. A call that the proxy passes on has [`head_millis`] until its answer begins; its body comes in pieces, which the proxy counts.
//! 6. A `GET` whose connection broke is sent once more (RFC 9110 §9.2.2): the server may have closed one that was kept. Both share
//!    the time of one.

pub mod retry;

use crate::config::Config;
use crate::context::Cx;
use crate::error::{Error, Reason, Result};
use crate::jose::JwkSet;
use crate::ports::{Answer, FetchError, Forward, Opened, Outbound, Payload};
use futures_util::future::{Either, select};
use std::borrow::Cow;
use url::{Host, Url};

const TIMEOUT_MILLIS: u64 = 10_000;
const MAX_BYTES: usize = 64 * 1024;

/// How long a call that is passed on waits for the head of its answer.
const FIRST_BYTE_MILLIS: u64 = 30_000;
/// The same where the body of the request is on its way meanwhile.
const UPLOAD_MILLIS: u64 = 900_000;

/// Names that never lead to a public service, nor does anything below them.
const SPECIAL: &[&str] = &["localhost", "local", "internal", "localdomain", "home.arpa", "onion", "test", "invalid"];

/// A URL that may be called.
pub struct Admitted(Url);

/// Whether `url` is one of the origins that development may call.
pub fn is_development(config: &Config, url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| has_no_userinfo(&url) && of_development(config, &url))
}

fn of_development(config: &Config, url: &Url) -> bool {
    let origin = url.origin().ascii_serialization();
    config.dev_outbound().contains(&origin)
}

fn has_no_userinfo(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// The URL, if it may be called.
pub fn admit(config: &Config, url: &str) -> Option<Admitted> {
    let url = Url::parse(url).ok().filter(has_no_userinfo)?;
    let public = url.scheme() == "https" && url.port().is_none() && is_public(config, &url);
    (public || of_development(config, &url)).then_some(Admitted(url))
}

fn is_public(config: &Config, url: &Url) -> bool {
    let Some(Host::Domain(name)) = url.host() else { return false };
    let name = name.trim_end_matches('.');
    let special = SPECIAL
        .iter()
        .any(|special| name.strip_suffix(special).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    let own = Url::parse(config.origin()).ok();
    let own = own.as_ref().and_then(Url::host_str);
    name.contains('.') && !special && own != Some(name)
}

/// Posts a form and gives the answer whatever its status, unless that is a redirect.
pub async fn post_form(cx: &Cx<'_>, url: &str, parameters: &[(&str, &str)]) -> Result<Answer> {
    post_form_as(cx, url, parameters, None).await
}

/// The same with an `Authorization` header.
pub async fn post_form_as(
    cx: &Cx<'_>,
    url: &str,
    parameters: &[(&str, &str)],
    authorization: Option<String>,
) -> Result<Answer> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let mut headers = vec![
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("accept", "application/json".to_owned()),
    ];
    headers.extend(authorization.map(|header| ("authorization", header)));
    post(cx, url, headers, body).await
}

/// Posts a body and gives the answer whatever its status, unless that is a redirect.
pub async fn post(cx: &Cx<'_>, url: &str, headers: Vec<(&'static str, String)>, body: String) -> Result<Answer> {
    send(cx, ("POST", url), headers, Some(body)).await.map_err(Failure::refusal)
}

/// Why a call has brought no answer that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its URL may not be called: nothing was sent.
    NotAdmitted,
    /// No connection, or one that broke.
    Unreachable,
    /// The time was up.
    Timeout,
    /// The answer was larger than is read.
    TooLarge,
    /// It redirects.
    Redirects,
}

/// Sends a request once, and gives the answer whatever its status, unless that is a redirect.
pub async fn send<N: Into<Cow<'static, str>>>(
    cx: &Cx<'_>,
    (method, url): (&'static str, &str),
    headers: Vec<(N, String)>,
    body: Option<String>,
) -> Result<Answer, Failure> {
    let Admitted(url) = admit(cx.config, url).ok_or(Failure::NotAdmitted)?;
    let headers = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
    let request =
        Outbound { method, url: url.into(), headers, body, timeout_millis: TIMEOUT_MILLIS, max_bytes: MAX_BYTES };
    match fetch(cx, request).await {
        Ok(Answer { status: 300..=399, .. }) => Err(Failure::Redirects),
        Ok(answer) => Ok(answer),
        Err(error) => Err(Failure::of(error)),
    }
}

/// A request that is passed on.
pub struct Passed {
    /// The method.
    pub method: String,
    /// The URL. It is sent as it is written, or not at all.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub payload: Payload,
}

/// How long the head of the answer may take to a request with that body, in milliseconds.
pub const fn head_millis(payload: &Payload) -> u64 {
    match payload {
        Payload::Chunks(..) => UPLOAD_MILLIS,
        Payload::Empty | Payload::Bytes(_) => FIRST_BYTE_MILLIS,
    }
}

/// Passes a request on, and gives the head of the answer whatever its status: a redirect, too, which is never followed. Who waits for it sees to
/// [`head_millis`].
pub async fn open(cx: &Cx<'_>, request: Passed) -> Result<Opened, Failure> {
    let Passed { method, url, headers, payload } = request;
    // What the parser of URLs changes is not what policy has seen.
    let Admitted(admitted) = admit(cx.config, &url).ok_or(Failure::NotAdmitted)?;
    if admitted.as_str() != url {
        return Err(Failure::NotAdmitted);
    }
    cx.note_wait();
    let opened = cx.world.fetch.open(Forward { method, url, headers, payload }).await;
    opened.map_err(Failure::of)
}

impl Failure {
    /// What it says of the service.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NotAdmitted => "its URL may not be called",
            Self::Unreachable => "it is unreachable",
            Self::Timeout => "it did not answer in time",
            Self::TooLarge => "its answer is too large",
            Self::Redirects => "it redirects",
        }
    }

    /// The refusal of a request that needed the answer.
    pub fn refusal(self) -> Error {
        match self {
            Self::Timeout => Reason::ProviderTimeout.into(),
            failure => Reason::ProviderFailed.because(failure.why()),
        }
    }

    const fn of(error: FetchError) -> Self {
        match error {
            FetchError::Unreachable => Self::Unreachable,
            FetchError::Timeout => Self::Timeout,
            FetchError::TooLarge => Self::TooLarge,
        }
    }
}

/// A kind of document that others publish.
pub struct Document {
    accept: &'static str,
    max_bytes: usize,
}

/// A key set (RFC 7517 §8.5.2). Kubernetes serves its own under the first type alone, most others under the second.
pub const KEY_SET: Document =
    Document { accept: "application/jwk-set+json, application/json", max_bytes: JwkSet::MAX_BYTES };
/// An OpenID configuration (OpenID Connect Discovery §4).
pub const CONFIGURATION: Document = Document { accept: "application/json", max_bytes: MAX_BYTES };
/// A metadata document of a client (draft-ietf-oauth-client-id-metadata-document §6.6).
const CLIENT: Document = Document { accept: "application/json", max_bytes: 5 * 1024 };

/// Gets a document. The error says why there is none that can be used; its subject is the document. The media type of the
/// answer is not compared: key sets are served under many.
pub async fn get(cx: &Cx<'_>, url: &str, document: &Document) -> Result<String, &'static str> {
    let Answer { body, .. } = get_answer(cx, url, document).await?;
    String::from_utf8(body).map_err(|_| "it is no text")
}

/// Gets the metadata document of a client, and what its `Cache-Control` says. Its media type is one of JSON.
pub async fn get_json(cx: &Cx<'_>, url: &str) -> Result<(String, Option<String>), &'static str> {
    let Answer { content_type, cache_control, body, .. } = get_answer(cx, url, &CLIENT).await?;
    let media = content_type.as_deref().and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let media = media.to_ascii_lowercase();
    if media != "application/json" && !(media.starts_with("application/") && media.ends_with("+json")) {
        return Err("its media type is none of JSON");
    }
    String::from_utf8(body).map(|text| (text, cache_control)).map_err(|_| "it is no text")
}

async fn get_answer(cx: &Cx<'_>, url: &str, document: &Document) -> Result<Answer, &'static str> {
    let Some(Admitted(url)) = admit(cx.config, url) else { return Err("its URL may not be called") };
    let request = Outbound {
        method: "GET",
        url: url.into(),
        headers: vec![("accept".into(), document.accept.to_owned())],
        body: None,
        timeout_millis: TIMEOUT_MILLIS,
        max_bytes: document.max_bytes,
    };
    match fetch_idempotent(cx, request).await {
        Ok(answer @ Answer { status: 200, .. }) => Ok(answer),
        Ok(Answer { status: 300..=399, .. }) => Err("it redirects"),
        Ok(Answer { status: 500..=599, .. }) => Err("its server is in trouble"),
        Ok(_) => Err("its server refuses it"),
        Err(FetchError::Timeout) => Err("its server is too slow"),
        Err(FetchError::Unreachable) => Err("its server cannot be reached"),
        Err(FetchError::TooLarge) => Err("it is too large"),
    }
}

async fn fetch(cx: &Cx<'_>, request: Outbound) -> std::result::Result<Answer, FetchError> {
    cx.note_wait();
    cx.world.fetch.fetch(request).await
}

/// Sends a request that may be sent twice, and does so if its connection broke.
async fn fetch_idempotent(cx: &Cx<'_>, request: Outbound) -> std::result::Result<Answer, FetchError> {
    let limit = cx.world.timer.sleep(request.timeout_millis);
    let exchange = Box::pin(async {
        match fetch(cx, request.clone()).await {
            Err(FetchError::Unreachable) => fetch(cx, request).await,
            answer => answer,
        }
    });
    match select(exchange, limit).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(FetchError::Timeout),
    }
}

/// Posts a security event token (RFC 8935 §2.1). True if its receiver took it; why not does not matter, for it comes again.
pub async fn post_event(cx: &Cx<'_>, url: &str, token: String, authorization: Option<String>) -> bool {
    let Some(Admitted(url)) = admit(cx.config, url) else { return false };
    let mut headers = vec![
        ("content-type".into(), "application/secevent+jwt".to_owned()),
        ("accept".into(), "application/json".to_owned()),
    ];
    headers.extend(authorization.map(|header| ("authorization".into(), header)));
    let request = Outbound {
        method: "POST",
        url: url.into(),
        headers,
        body: Some(token),
        timeout_millis: TIMEOUT_MILLIS,
        max_bytes: MAX_BYTES,
    };
    // RFC 8935 §2.2 asks for 202; receivers that answer 200 or 204 have taken it all the same.
    fetch(cx, request).await.is_ok_and(|answer| matches!(answer.status, 200 | 202 | 204))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(origin: &str, dev: &str) -> Config {
        let setting = |name: &str| match name {
            "ORIGIN" => Some(origin.to_owned()),
            "ROLES" => Some("discovery".to_owned()),
            "DEV_OUTBOUND" => Some(dev.to_owned()),
            _ => None,
        };
        Config::parse(setting).unwrap()
    }

    #[test]
    fn public_https_names_pass() {
        let config = config("https://id.example.com", "");
        for good in [
            "https://oauth2.googleapis.com/token",
            "https://OAUTH2.googleapis.com:443/token",
            "https://localhost.example.org/",
        ] {
            assert!(admit(&config, good).is_some(), "{good}");
        }
    }

    #[test]
    fn addresses_in_every_spelling_special_names_and_this_deployment_do_not() {
        let config = config("https://id.example.com", "");
        for bad in [
            "http://oauth2.googleapis.com/token",
            "ftp://oauth2.googleapis.com/",
            "https://oauth2.googleapis.com:8443/token",
            "https://user@oauth2.googleapis.com/",
            "https://user:word@oauth2.googleapis.com/",
            "https://:word@oauth2.googleapis.com/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://169.254.169.254/",
            "https://8.8.8.8/",
            "https://8.8.8.8./",
            "https://１２７.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[2001:db8::1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://printer.local/",
            "https://metadata.google.internal/",
            "https://metadata.google.internal./",
            "https://router.home.arpa/",
            "https://intranet/",
            "https://hidden.onion/",
            "https://id.example.com/t/main/token",
            "https://ID.example.com./t/main/token",
            "https:///path",
            "data:text/plain,x",
            "/token",
            "",
        ] {
            assert!(admit(&config, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn development_origins_pass_to_the_port_and_no_further() {
        let config = config("http://localhost:8787", "http://127.0.0.1:9010,http://localhost:9011");
        for good in ["http://127.0.0.1:9010/token", "http://localhost:9011/token"] {
            assert!(admit(&config, good).is_some() && is_development(&config, good), "{good}");
        }
        for bad in [
            "http://127.0.0.1:9011/token",
            "https://127.0.0.1:9010/token",
            "http://localhost:9010/token",
            "http://user@127.0.0.1:9010/token",
            "http://127.0.0.1/token",
            "http://localhost:8787/t/main/token",
        ] {
            assert!(admit(&config, bad).is_none() && !is_development(&config, bad), "{bad}");
        }
    }
}
