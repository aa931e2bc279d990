//! A request and a response, as little of HTTP as the endpoints need.

use super::admin::feed::Feed;
use crate::ports::{Chunks, Payload};
use crate::vault::proxy::{Destination, Proxied};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// The methods that any endpoint knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Do or make.
    Post,
    /// Write.
    Put,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
    /// Ask what a browser may do.
    Options,
    /// Anything else; no endpoint takes it.
    Other,
}

impl Method {
    /// The method of that name; `HEAD` is read as `GET`.
    pub fn parse(name: &str) -> Self {
        match name {
            "GET" | "HEAD" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "",
        }
    }
}

/// The request headers that any endpoint reads; a host need not pass on others.
pub const HEADERS: &[&str] = &[
    "accept",
    "accept-language",
    "authorization",
    "content-type",
    "cookie",
    "dpop",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "origin",
    "writ-subject-token",
];

/// How many bytes of a body are read at most.
pub const MAX_BODY: usize = 64 * 1024;

/// A body that comes in pieces, and how long it will be if that is known.
pub type Upload = (Chunks, Option<u64>);

/// What a request has besides, where its endpoint passes it on.
#[derive(Clone, Default)]
pub struct Passage {
    /// All headers: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, where it is too large to be read first.
    pub body: Rc<RefCell<Option<Upload>>>,
    /// Where code has sent it whose outbound Worker this is; nothing of any other request.
    pub destination: Option<Destination>,
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passage").finish_non_exhaustive()
    }
}

/// A request, whole.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method's name.
    pub method: String,
    /// The path as it was sent, percent-encoding included.
    pub path: String,
    /// The query without `?`; empty if there is none.
    pub query: String,
    /// Lower-case names of [`HEADERS`] with their values.
    pub headers: Vec<(&'static str, String)>,
    /// The body; nothing if it has more than [`MAX_BODY`] bytes.
    pub body: Option<Vec<u8>>,
    /// Who sent it.
    pub peer: crate::context::Peer,
    /// What an endpoint that passes requests on needs; nothing for any other.
    pub passage: Option<Passage>,
}

impl Request {
    /// The value of a header among [`HEADERS`].
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The body as it is to be passed on. It can be taken once.
    pub fn payload(&self) -> Payload {
        let streamed = self.passage.as_ref().and_then(|passage| passage.body.take());
        match (streamed, &self.body) {
            (Some((chunks, length)), _) => Payload::Chunks(chunks, length),
            (None, Some(body)) if !body.is_empty() => Payload::Bytes(body.clone()),
            (None, _) => Payload::Empty,
        }
    }

    /// The cookies, as names and values (RFC 6265 §5.4).
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header("cookie")
            .into_iter()
            .flat_map(|header| header.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// A response: whole, or with the answer of a service on its way.
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// A body that is no text, in place of it.
    pub bytes: Vec<u8>,
    /// The answer of a service, with further headers, in place of the body.
    pub proxied: Option<Box<Proxied>>,
    /// What comes in pieces, in place of the body.
    pub feed: Option<Box<Feed>>,
}

impl Response {
    /// A JSON response that nobody may keep.
    pub fn json(status: u16, body: &impl serde::Serialize) -> Self {
        // Every type that is rendered has string keys and no fallible serializer, so this cannot fail; `null` would show it.
        let body = serde_json::to_string(body).unwrap_or_else(|_| "null".to_owned());
        Self { body, ..Self::empty(status) }.with("content-type", "application/json").with("cache-control", "no-store")
    }

    /// No body.
    pub const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), bytes: Vec::new(), proxied: None, feed: None }
    }

    /// What a service answers. A page of it has nothing of this origin.
    pub fn proxied(answer: Proxied) -> Self {
        let response = Self { proxied: Some(Box::new(answer)), ..Self::empty(200) };
        let status = response.proxied.as_ref().map_or(502, |answer| answer.status);
        Self { status, ..response }.with("content-security-policy", "sandbox; default-src 'none'")
    }

    /// Text of that media type that comes in pieces.
    pub fn fed(feed: Feed, media: &str) -> Self {
        Self { feed: Some(Box::new(feed)), ..Self::empty(200) }.with("content-type", media)
    }

    /// Goes to another place with `GET` (RFC 9700 §4.12).
    pub fn redirect(to: impl Into<String>) -> Self {
        Self::empty(303).with("location", to).with("cache-control", "no-store").with("referrer-policy", "no-referrer")
    }

    /// Sets a cookie of this host that scripts do not see and other sites' requests do not carry, for so many seconds; 0 removes it
    /// (RFC 6265bis §4.1.3).
    #[must_use]
    pub fn cookie(mut self, name: &str, value: &str, seconds: i64) -> Self {
        let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
        self.headers.push(("set-cookie", cookie));
        self
    }

    /// Sets a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }
}
