//! A person with a browser: cookies, forms, and the way through the pages.

use super::call::Call;
use super::hub::{Reply, Setup};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use writ::crypto::{b64, sha256};

/// The verifier of every request of [`authorization`], and its challenge.
pub const VERIFIER: &str = "a-verifier-that-is-long-enough-to-be-one-0123456789";
/// Where clients of tests are answered.
pub const CALLBACK: &str = "https://client.example/callback";
/// An origin on which the demonstration person exists.
pub const DEVELOPMENT: (&str, &str) = ("ORIGIN", "http://localhost:8787");

/// A browser.
pub struct Browser<'a> {
    hub: &'a Setup,
    cookies: RefCell<BTreeMap<String, String>>,
    /// From which address it comes.
    pub ip: RefCell<Option<String>>,
    /// Whether the page that it shows lets it say where a form comes from.
    shows_origin: Cell<bool>,
}

impl<'a> Browser<'a> {
    pub fn new(hub: &'a Setup) -> Self {
        Self { hub, cookies: RefCell::default(), ip: RefCell::default(), shows_origin: Cell::new(true) }
    }

    /// Its cookies, as the header.
    pub fn cookies(&self) -> String {
        let pairs: Vec<String> = self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    /// Forgets the cookies whose names contain that.
    pub fn forget(&self, part: &str) {
        self.cookies.borrow_mut().retain(|name, _| !name.contains(part));
    }

    /// Keeps a cookie, whoever gave it.
    pub fn keep(&self, name: &str, value: &str) {
        self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// Goes to a path, or to a URL of the hub.
    pub fn get(&self, to: &str) -> Reply {
        self.send(self.hub.call("GET", self.path(to)))
    }

    /// Sends a form from a page of the hub.
    pub fn post(&self, to: &str, fields: &[(&str, &str)]) -> Reply {
        let origin = if self.shows_origin.get() { self.hub.origin() } else { "null" };
        self.send(self.hub.call("POST", self.path(to)).header("origin", origin).form(fields))
    }

    fn path<'b>(&self, to: &'b str) -> &'b str {
        to.strip_prefix(self.hub.origin()).unwrap_or(to)
    }

    /// Sends a request with the cookies, and takes those of the reply.
    pub fn send(&self, call: Call<'_>) -> Reply {
        let cookies = self.cookies();
        let call = if cookies.is_empty() { call } else { call.header("cookie", &cookies) };
        let call = match &*self.ip.borrow() {
            Some(ip) => call.ip(ip),
            None => call,
        };
        let reply = call.send();
        if reply.status != 303 {
            // A form of a page without a referrer comes from nowhere (Fetch, "append a request `Origin` header").
            self.shows_origin.set(reply.header("referrer-policy") != Some("no-referrer"));
        }
        for (_, cookie) in reply.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, rest) = cookie.split_once('=').unwrap();
            let (value, attributes) = rest.split_once(';').unwrap();
            assert!(name.starts_with("__Host-") && attributes.contains(" Secure; HttpOnly; SameSite=Lax"), "{cookie}");
            match attributes.ends_with("Max-Age=0") {
                true => self.cookies.borrow_mut().remove(name),
                false => self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned()),
            };
        }
        reply
    }

    /// Signs the demonstration person in, on the page that `reply` shows; the reply after the way back.
    pub fn sign_in(&self, reply: &Reply) -> Reply {
        let request = field(reply, "request");
        let back = self.post("/t/main/sign-in", &[("provider", "demo"), ("request", &request)]).expect(303);
        self.get(&location(&back))
    }

    /// Decides on the page that `reply` shows: allows these scopes for a month, or refuses where there are none.
    pub fn decide(&self, reply: &Reply, scopes: &[&str]) -> Reply {
        let decision = if scopes.is_empty() { "deny" } else { "allow" };
        self.decide_for(reply, scopes, &[("decision", decision), ("duration", "month")])
    }

    /// The same with other fields.
    pub fn decide_for(&self, reply: &Reply, scopes: &[&str], more: &[(&str, &str)]) -> Reply {
        let tag = field(reply, "tag");
        let fields =
            scopes.iter().map(|scope| ("scope", *scope)).chain([("tag", tag.as_str())]).chain(more.iter().copied());
        self.post(&action(reply), &fields.collect::<Vec<_>>())
    }

    /// The same as a call that can still be changed; the browser takes no cookies of its reply.
    pub fn deciding(&self, reply: &Reply, scopes: &[&str], more: &[(&str, &str)]) -> Call<'a> {
        let tag = field(reply, "tag");
        let fields = scopes.iter().map(|scope| ("scope", *scope)).chain([("tag", &*tag)]).chain(more.iter().copied());
        let call = self.hub.call("POST", &action(reply)).header("origin", self.hub.origin());
        call.header("cookie", &self.cookies()).form(&fields.collect::<Vec<_>>())
    }

    /// The code for a request: signs in if that is asked, allows these scopes if they are asked.
    pub fn code(&self, query: &str, scopes: &[&str]) -> String {
        let mut reply = self.get(&format!("/t/main/authorize?{query}"));
        if reply.text.contains("name=\"provider\"") {
            reply = self.sign_in(&reply);
        }
        if reply.status == 200 {
            reply = self.decide(&reply, scopes);
        }
        parameter(&reply, "code").unwrap_or_else(|| panic!("no code: {reply:?}"))
    }
}

/// Where a reply leads.
#[track_caller]
pub fn location(reply: &Reply) -> String {
    reply.header("location").unwrap_or_else(|| panic!("no location: {reply:?}")).to_owned()
}

/// A parameter of the response that a reply leads to.
pub fn parameter(reply: &Reply, name: &str) -> Option<String> {
    let location = reply.header("location")?;
    let query = location.split_once('?')?.1;
    form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// The value of a hidden field.
#[track_caller]
pub fn field(reply: &Reply, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    let start = reply.text.find(&mark).unwrap_or_else(|| panic!("no field {name}: {reply:?}")) + mark.len();
    let end = reply.text[start..].find('"').unwrap();
    reply.text[start..start + end].to_owned()
}

/// Where the first form of a page leads.
pub fn action(reply: &Reply) -> String {
    let start = reply.text.find("action=\"").unwrap() + 8;
    let end = reply.text[start..].find('"').unwrap();
    reply.text[start..start + end].to_owned()
}

/// The query of an authorization request with PKCE, and more of it.
pub fn authorization(client: &str, more: &[(&str, &str)]) -> String {
    let challenge = b64(sha256(VERIFIER).bytes());
    let base = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("state", "a state"),
    ];
    let kept = base.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let all: Vec<_> = kept.chain(more).filter(|(_, value)| *value != "-").collect();
    form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish()
}
