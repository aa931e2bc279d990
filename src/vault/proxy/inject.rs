//! What is sent in place of the caller's credential: the URL, the header or the query parameter with the secret, and what has to be looked for
//! in the answer.
//!
//! 1. A provider says how ([`Injection`]); what fills it is obtained for each call. Where the service wants a signature, [`crate::crypto::sigv4`] makes it.
//! 2. The path is the one that was matched: a URL whose parser reads another one is not called.

use super::rules::AllowList;
use super::scrub::MIN_SECRET;
use crate::crypto::Secret;
use crate::crypto::sigv4::{self, Session, Signed, Signing, Unsigned};
use crate::error::{Error, Fault, Result};
use crate::ports::Now;
use crate::vault::service::Proxy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use url::Url;

/// How calls through a connection go to its service.
pub struct Injection {
    /// Where they go, and where the credential stands.
    pub proxy: Proxy,
    /// Which calls there may be.
    pub allow: AllowList,
    /// How calls are signed, where a signature is the credential.
    pub signing: Option<Signing>,
}

/// A value that a format names, and what it stands for: `token`, or `username` and `password`.
pub type Filling<'a> = (&'static str, &'a str);

/// A request with its credential.
pub struct Injected {
    /// The URL.
    pub url: String,
    /// The header with the credential, and those that every call needs.
    pub headers: Vec<(String, String)>,
    /// What may not come back.
    pub secrets: Vec<Secret<String>>,
}

impl Injection {
    /// The host that calls go to.
    pub fn host(&self) -> Option<String> {
        Url::parse(&self.proxy.base_url).ok()?.host_str().map(str::to_owned)
    }

    /// The header that has the credential; nothing where a query parameter has it.
    fn header(&self) -> Option<String> {
        match (&self.proxy.header, &self.proxy.query) {
            (Some(header), _) => Some(header.to_ascii_lowercase()),
            (None, Some(_)) => None,
            (None, None) => Some("authorization".to_owned()),
        }
    }

    /// Whether this says a header itself, so that a caller may not.
    pub fn sets(&self, name: &str) -> bool {
        self.header().is_some_and(|header| header == name)
            || self.signing.is_some() && sigv4::HEADERS.contains(&name)
            || self.proxy.headers.keys().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The URL of a call. Path and query are those that [`super::rules`] gives.
    pub fn url(&self, (path, query): (&str, &str)) -> Result<Url> {
        let base = Url::parse(&self.proxy.base_url).map_err(|_| broken())?;
        let mut url = Url::parse(&[self.proxy.base_url.trim_end_matches('/'), path].concat()).map_err(|_| broken())?;
        let expected = [base.path().trim_end_matches('/'), path].concat();
        if !path.starts_with('/') || url.path() != expected || url.origin() != base.origin() {
            return Err(broken());
        }
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        Ok(url)
    }

    /// A call with its credential.
    pub fn fill(&self, (path, query): (&str, &str), filling: &[Filling<'_>]) -> Result<Injected> {
        let value = self.value(filling);
        if value.contains(char::is_control) || filling.is_empty() {
            return Err(broken());
        }
        let mut headers: Vec<(String, String)> =
            self.proxy.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        headers.extend(self.header().map(|header| (header, value.clone())));
        let mut url = self.url((path, query))?;
        if let (None, Some(name)) = (self.header(), &self.proxy.query) {
            url.query_pairs_mut().append_pair(name, &value);
        }
        // A user name is no secret where the password is one: it may be an address that answers are full of. Where the password is too short for that,
        // the user name is the key.
        let has_password = filling.iter().any(|(name, secret)| *name == "password" && secret.len() >= MIN_SECRET);
        let secret = filling.iter().filter(|(name, _)| *name != "username" || !has_password);
        let mut secrets: Vec<String> = secret.map(|(_, secret)| (*secret).to_owned()).collect();
        secrets.extend(pair(filling));
        // The scheme before it is none.
        secrets.push(value.split_once(' ').map_or(value.as_str(), |(_, value)| value).to_owned());
        Ok(Injected { url: url.into(), headers, secrets: secrets.into_iter().map(Secret::new).collect() })
    }

    /// What the header or the parameter has (RFC 6750 §2.1, RFC 7617 §2).
    fn value(&self, filling: &[Filling<'_>]) -> String {
        match (&self.proxy.format, pair(filling)) {
            (Some(format), _) => filling
                .iter()
                .fold(format.clone(), |text, (name, secret)| text.replace(&["{", name, "}"].concat(), secret)),
            (None, Some(pair)) => ["Basic ", &STANDARD.encode(pair)].concat(),
            (None, None) => {
                let token = filling.iter().map(|(_, secret)| *secret).next().unwrap_or_default();
                if self.header().is_some() { ["Bearer ", token].concat() } else { token.to_owned() }
            }
        }
    }
}

fn broken() -> Error {
    Fault::Broken("a credential does not fit what its connection says").into()
}

/// A call with a signature by the keys of a session, which are members of a lease.
pub fn signed(signing: &Signing, call: &Unsigned<'_>, session: &Map<String, Value>, now: Now) -> Result<Injected> {
    let member = |name: &str| session.get(name).and_then(Value::as_str).ok_or_else(broken);
    let session = Session {
        access_key_id: member("access_key_id")?,
        secret_access_key: member("secret_access_key")?,
        session_token: member("session_token")?,
    };
    let Signed { headers, signature } = signing.sign(call, &session, now).ok_or_else(broken)?;
    let secrets = [session.secret_access_key.to_owned(), session.session_token.to_owned(), signature];
    Ok(Injected { url: call.url.as_str().to_owned(), headers, secrets: secrets.map(Secret::new).into() })
}

/// The credentials of RFC 7617, where there are such.
fn pair(filling: &[Filling<'_>]) -> Option<String> {
    let find = |wanted: &str| filling.iter().find(|(name, _)| *name == wanted).map(|(_, secret)| *secret);
    Some([find("username")?, ":", find("password").unwrap_or_default()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injection(proxy: Proxy) -> Injection {
        let proxy = Proxy { base_url: "https://api.example/v1".into(), ..proxy };
        Injection { proxy, allow: AllowList::default(), signing: None }
    }

    fn filled(proxy: Proxy, filling: &[Filling<'_>]) -> (String, Vec<(String, String)>) {
        let Injected { url, headers, .. } = injection(proxy).fill(("/a", "b=c"), filling).unwrap();
        (url, headers)
    }

    #[test]
    fn a_credential_stands_where_the_service_wants_it() {
        let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let plain = "https://api.example/v1/a?b=c".to_owned();
        let token = [("token", "t0ken")];
        assert_eq!(filled(Proxy::default(), &token), (plain.clone(), header("authorization", "Bearer t0ken")));
        let proxy = Proxy { header: Some("X-Api-Key".into()), format: Some("{token}".into()), ..Proxy::default() };
        assert_eq!(filled(proxy, &token), (plain.clone(), header("x-api-key", "t0ken")));
        let pair = [("username", "u"), ("password", "p:w")];
        assert_eq!(filled(Proxy::default(), &pair), (plain, header("authorization", "Basic dTpwOnc=")));
        let proxy = Proxy { query: Some("key".into()), ..Proxy::default() };
        assert_eq!(filled(proxy, &[("token", "t&k")]), ("https://api.example/v1/a?b=c&key=t%26k".into(), vec![]));
    }

    #[test]
    fn a_url_that_would_be_read_in_another_way_is_not_called() {
        let plain = injection(Proxy::default());
        for path in ["/../a", "/a?b", "/a#b", "/a\\b", "/ä", "/%2e%2e/a", "@evil.example/"] {
            assert!(plain.fill((path, ""), &[("token", "t0ken")]).is_err(), "{path}");
        }
        assert!(plain.fill(("/a", ""), &[("token", "a\r\nb")]).is_err());
    }
}
