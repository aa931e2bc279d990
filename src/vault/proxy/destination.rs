//! The connection that leads to a URL: code that calls a service by its own URL names none.
//!
//! In scope: which connection of the tenant is meant. Out of scope: whether it may be used (`permit`), and for which calls (`rules`).
//!
//! 1. A connection leads to a URL of the same origin whose path begins with that of its base URL, in whole segments. `http` at its usual port
//!    stands for `https`, for no network lies between such code and this Worker; the call itself is `https`.
//! 2. Of several the one with the longest base URL is meant. Of two with the same one it is the one that the binding names first; where it names
//!    none, neither is: nobody guesses which credential is used.
//! 3. A connection that is suspended is still the one that is meant, so that its calls go through no other one; one that was stopped for good is
//!    none any more.

use super::rules;
use crate::context::Cx;
use crate::directory::connections::{self, Base, Bases, BasesKey};
use crate::error::{Reason, Result};
use crate::model::id::is_slug;
use crate::model::{Connection, Status};
use crate::store;
use crate::vault::provider;
use url::Url;

/// How many connections are read at once.
const PAGE: usize = 100;
/// How many such pages are looked through where the binding names none; the last has to be short.
const MAX_PAGES: usize = 3;
/// How many connections a binding names at most.
const MAX_NAMED: usize = 20;
/// The longest host name (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// Where code has sent a request, and the connections that its binding names.
#[derive(Clone)]
pub struct Destination {
    url: Url,
    named: Option<Vec<String>>,
}

impl Destination {
    /// The destination of that URL; nothing if it has a user in it. `named` are connections.
    pub fn new(url: &str, named: Option<Vec<String>>) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        (is_plain && url.host_str().is_some_and(|host| host.len() <= MAX_HOST)).then_some(Self { url, named })
    }

    /// Whether these may be the names in a binding.
    pub fn may_name(names: &[String]) -> bool {
        names.len() <= MAX_NAMED && names.iter().all(|name| is_slug(name))
    }

    /// The host.
    pub fn host(&self) -> Option<String> {
        self.url.host_str().map(str::to_owned)
    }

    /// The path.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// What follows a base URL; nothing if it does not lead here.
    fn after(&self, base: &Url) -> Option<String> {
        let is_https = self.url.scheme() == "http" && self.url.port().is_none() && base.scheme() == "https";
        let scheme = if is_https { "https" } else { self.url.scheme() };
        if (scheme, self.url.host_str(), self.url.port()) != (base.scheme(), base.host_str(), base.port()) {
            return None;
        }
        // In the form that is matched and sent: an encoded letter leads to no other connection.
        let normal = |path: &str| rules::normal_path(path).unwrap_or_else(|| path.to_owned());
        let (path, base) = (normal(self.url.path()), normal(base.path()));
        path.strip_prefix(base.trim_end_matches('/')).filter(|rest| rest.starts_with('/')).map(str::to_owned)
    }

    /// The connection that leads here, and what follows its base URL.
    fn among(&self, bases: &[Base]) -> Result<Option<(String, String)>> {
        let leading = bases.iter().filter_map(|base| {
            let url = Url::parse(&base.url).ok()?;
            Some((url.path().trim_end_matches('/').len(), base, self.after(&url)?))
        });
        let leading: Vec<_> = leading.collect();
        let longest = leading.iter().map(|(length, ..)| *length).max();
        let mut meant = leading.into_iter().filter(|(length, ..)| Some(*length) == longest);
        match (meant.next(), meant.next()) {
            (Some(_), Some(_)) if self.named.is_none() => Err(Reason::NoConnection
                .because("several connections have the same base URL: name one in the props of the binding")),
            (first, _) => Ok(first.map(|(_, base, rest)| (base.connection.clone(), rest))),
        }
    }

    /// The name of the connection that is meant, and the path of the call; nothing where there is none.
    pub async fn find(&self, cx: &Cx<'_>) -> Result<Option<(String, String)>> {
        let Some(named) = &self.named else {
            let all = cx.cached(&BasesKey, async || bases(cx).await.map(Some)).await?;
            return match all.as_ref().and_then(|bases| bases.0.as_ref()) {
                Some(bases) => self.among(bases),
                None => Err(Reason::NoConnection.because(
                    "the tenant has too many connections to look through: name some in the props of the binding",
                )),
            };
        };
        let mut bases = Vec::new();
        for name in named {
            bases.extend(connections::load(cx, name).await?.and_then(|connection| base(&connection)));
        }
        self.among(&bases)
    }
}

async fn bases(cx: &Cx<'_>) -> Result<Bases> {
    let (mut bases, mut after) = (Vec::new(), String::new());
    // A page at a time: a config may be large, and little of it stays.
    for _ in 0..MAX_PAGES {
        let page = cx.all(store::connections::list(&cx.tenant.id, &after, PAGE as i64)).await?;
        bases.extend(page.iter().filter_map(base));
        match page.last() {
            Some(last) if page.len() == PAGE => after.clone_from(&last.name),
            _ => return Ok(Bases(Some(bases))),
        }
    }
    Ok(Bases(None))
}

fn base(connection: &Connection) -> Option<Base> {
    let inject = provider::find(&connection.kind)?.inject.filter(|_| connection.status != Status::Retired)?;
    let url = inject(&connection.settings.config).ok()?.proxy.base_url;
    (!url.is_empty()).then(|| Base { connection: connection.name.clone(), url })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(url: &str, bases: &[(&str, &str)], named: bool) -> Result<Option<(String, String)>, ()> {
        let bases: Vec<Base> = bases
            .iter()
            .map(|(connection, url)| Base { connection: (*connection).to_owned(), url: (*url).to_owned() })
            .collect();
        let Some(destination) = Destination::new(url, named.then(Vec::new)) else { return Ok(None) };
        destination.among(&bases).map_err(drop)
    }

    fn found(url: &str, bases: &[(&str, &str)]) -> Option<(String, String)> {
        meant(url, bases, false).unwrap()
    }

    #[test]
    fn a_url_means_the_connection_whose_base_url_begins_it_and_no_other() {
        let bases = [
            ("chat", "https://chat.example/api"),
            ("code", "https://code.example/"),
            ("dev", "http://127.0.0.1:9010/v1"),
        ];
        for (url, connection, path) in [
            ("https://chat.example/api/messages/1?q=a", "chat", "/messages/1"),
            ("https://chat.example/api/", "chat", "/"),
            ("https://CHAT.example:443/api/x", "chat", "/x"),
            ("http://chat.example/api/x", "chat", "/x"),
            ("https://code.example", "code", "/"),
            ("https://code.example/a/b/", "code", "/a/b/"),
            ("http://127.0.0.1:9010/v1/x", "dev", "/x"),
        ] {
            assert_eq!(found(url, &bases), Some((connection.to_owned(), path.to_owned())), "{url}");
        }
        for url in [
            "https://chat.example/api",
            "https://chat.example/apis/x",
            "https://chat.example/API/x",
            "https://chat.example/",
            "https://chat.example/api/../x",
            "https://chat.example:8443/api/x",
            "http://chat.example:8080/api/x",
            "https://chat.example./api/x",
            "https://a.chat.example/api/x",
            "https://chat.example.evil.example/api/x",
            "https://chat.example@evil.example/api/x",
            "https://user@chat.example/api/x",
            "https://:word@chat.example/api/x",
            "ftp://chat.example/api/x",
            "ws://chat.example:443/api/x",
            "https://127.0.0.1:9010/v1/x",
            "http://127.0.0.1/v1/x",
            "data:text/plain,x",
            "/api/x",
            "",
        ] {
            assert_eq!(found(url, &bases), None, "{url}");
        }
    }

    #[test]
    fn the_longest_base_url_wins_and_of_two_alike_nobody_guesses() {
        let bases =
            [("all", "https://a.example"), ("admin", "https://a.example/api/admin"), ("api", "https://a.example/api/")];
        for (url, connection) in [
            ("https://a.example/api/admin/x", "admin"),
            ("https://a.example/api/adminx", "api"),
            ("https://a.example/api/admin", "api"),
            ("https://a.example/x", "all"),
        ] {
            assert_eq!(found(url, &bases).unwrap().0, connection, "{url}");
        }
        let alike = [("b", "https://a.example/api"), ("a", "https://a.example/api/"), ("c", "https://a.example")];
        assert!(meant("https://a.example/api/x", &alike, false).is_err());
        assert_eq!(meant("https://a.example/api/x", &alike, true).unwrap().unwrap().0, "b", "the one named first");
        assert_eq!(found("https://a.example/x", &alike).unwrap().0, "c");
    }
}
