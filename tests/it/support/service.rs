//! A service with an authorization server of its own, as strict as real ones: codes and refresh tokens count once, and a refresh token that comes a
//! second time ends its grant.

use super::doubles::Scripted;
use super::flowing::{Flowing, Passed};
use super::hub::Setup;
use super::run::Clock;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use url::Url;
use writ::crypto::{b64, sha256};
use writ::ports::{FetchError, Outbound};

pub const ORIGIN: &str = "https://chat.example";
pub const CLIENT_ID: &str = "writ-at-chat";
pub const CLIENT_SECRET: &str = "chat-secret-canary";

/// A grant of one account.
#[derive(Clone, Default)]
struct Grant {
    account: String,
    scope: String,
    challenge: String,
    ended: bool,
}

/// The service.
pub struct Service {
    clock: Clock,
    /// Whether each refresh gives another refresh token.
    pub rotates: Cell<bool>,
    /// For how many seconds a refresh token that was used is taken once more.
    pub reuse_seconds: Cell<u64>,
    /// How many seconds access tokens live.
    pub lifetime: Cell<u64>,
    pub delay_millis: Cell<u64>,
    /// What becomes of the next token requests: taken, and then this instead of the answer.
    pub loses: Cell<usize>,
    /// Says this instead to everything, if there is something.
    pub instead: RefCell<Option<Scripted>>,
    /// What it grants of each scope that is asked for.
    pub refuses: RefCell<Vec<String>>,
    grants: RefCell<Vec<Grant>>,
    codes: RefCell<HashMap<String, usize>>,
    /// The refresh tokens with their grants, and when they were used.
    refresh: RefCell<HashMap<String, (usize, Option<u64>)>>,
    access: RefCell<HashMap<String, (usize, u64)>>,
    /// Whether its answers say how long a token lives.
    pub says_lifetime: Cell<bool>,
    /// Whether it is down once it has lost a reply.
    pub then_down: Cell<bool>,
    lost: Cell<bool>,
    /// Whose it says that the tokens of a refresh are, if not those of the grant's account.
    pub refreshes_as: RefCell<Option<String>>,
    pub refreshes: Cell<usize>,
    /// How often a refresh token came again beyond its window.
    pub reused: Cell<usize>,
    pub revoked: RefCell<Vec<String>>,
    counter: Cell<usize>,
}

impl Service {
    pub fn open(hub: &Setup) -> Rc<Self> {
        let service = Rc::new(Self {
            clock: hub.clock.clone(),
            rotates: Cell::new(true),
            reuse_seconds: Cell::new(0),
            lifetime: Cell::new(3_600),
            delay_millis: Cell::new(0),
            loses: Cell::new(0),
            instead: RefCell::default(),
            refuses: RefCell::default(),
            grants: RefCell::default(),
            codes: RefCell::default(),
            refresh: RefCell::default(),
            access: RefCell::default(),
            says_lifetime: Cell::new(true),
            then_down: Cell::new(false),
            lost: Cell::new(false),
            refreshes_as: RefCell::default(),
            refreshes: Cell::new(0),
            reused: Cell::new(0),
            revoked: RefCell::default(),
            counter: Cell::new(0),
        });
        let answering = service.clone();
        hub.fetch.answer(move |request| answering.answer(request));
        let flowing = service.clone();
        hub.fetch.flow(move |request| flowing.flow(request));
        service
    }

    /// How a connection describes it.
    pub fn described(&self) -> Value {
        json!({
            "name": "Chat",
            "oauth2": {
                "authorization_endpoint": format!("{ORIGIN}/authorize"),
                "token_endpoint": format!("{ORIGIN}/token"),
                "revocation_endpoint": format!("{ORIGIN}/revoke"),
                "token_endpoint_auth_method": "client_secret_basic",
                "refresh": if self.rotates.get() { "rotates" } else { "stays" },
                "reuse_seconds": self.reuse_seconds.get(),
            },
            "scopes": [{"name": "chat:write", "description": "Post messages", "effect": "changes"}],
            "proxy": {"base_url": format!("{ORIGIN}/api")},
            "check": {"path": "/me", "account": "/name", "account_id": "/id"},
        })
    }

    fn next(&self, what: &str) -> String {
        self.counter.set(self.counter.get() + 1);
        format!("chat-{what}-canary-{}", self.counter.get())
    }

    /// A person with that account goes where the hub has sent them, and allows it: where the service sends them back to.
    pub fn allow(&self, to: &str, account: &str) -> String {
        let url = Url::parse(to).unwrap();
        assert_eq!((url.origin().ascii_serialization().as_str(), url.path()), (ORIGIN, "/authorize"));
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let get = |name: &str| query.get(name).cloned().unwrap_or_else(|| panic!("no {name}: {to}"));
        assert_eq!((get("response_type").as_str(), get("client_id").as_str()), ("code", CLIENT_ID));
        assert!(get("redirect_uri").ends_with("/t/main/connect/chat/callback"), "{to}");
        assert_eq!(get("code_challenge_method"), "S256");
        let refuses = self.refuses.borrow();
        let granted = get("scope")
            .split(' ')
            .filter(|scope| !refuses.iter().any(|one| one == scope))
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let grant = Grant {
            account: account.to_owned(),
            scope: granted.join(" "),
            challenge: get("code_challenge"),
            ended: false,
        };
        self.grants.borrow_mut().push(grant);
        let code = self.next("code");
        self.codes.borrow_mut().insert(code.clone(), self.grants.borrow().len() - 1);
        format!("{}?code={code}&state={}", get("redirect_uri"), get("state"))
    }

    /// A refresh token of that account, which was given elsewhere.
    pub fn refresh_token(&self, account: &str, scope: &str) -> String {
        let grant = Grant { account: account.to_owned(), scope: scope.to_owned(), ..Grant::default() };
        self.grants.borrow_mut().push(grant);
        let token = self.next("refresh");
        self.refresh.borrow_mut().insert(token.clone(), (self.grants.borrow().len() - 1, None));
        token
    }

    pub fn answer(&self, request: &Outbound) -> Scripted {
        if let Some(instead) = self.instead.borrow().clone() {
            return instead;
        }
        let url = Url::parse(&request.url).unwrap();
        let reply = match (request.method, url.path()) {
            ("GET", "/token") => Scripted::json(405, json!({})),
            ("POST", "/token") if self.then_down.get() && self.lost.get() => Scripted::json(503, json!({})),
            ("POST", "/token") => {
                let reply = self.token(request);
                if self.loses.get() > 0 {
                    self.loses.set(self.loses.get() - 1);
                    self.lost.set(true);
                    return Scripted::failure(FetchError::Timeout);
                }
                reply
            }
            ("POST", "/revoke") => {
                self.expect_client(request);
                let token = form(request)["token"].clone();
                let grant = self.refresh.borrow().get(&token).map(|(grant, _)| *grant);
                if let Some(grant) = grant {
                    self.grants.borrow_mut()[grant].ended = true;
                }
                self.revoked.borrow_mut().push(token);
                Scripted::json(200, json!({}))
            }
            ("GET", "/api/me") => match self.bearer(request) {
                Some(grant) => {
                    Scripted::json(200, json!({"id": format!("id-{}", grant.account), "name": grant.account}))
                }
                None => Scripted::json(401, json!({"error": "invalid_token"})),
            },
            _ => Scripted::json(404, json!({})),
        };
        reply.after(self.delay_millis.get())
    }

    /// Its API: it says back what it was sent.
    fn flow(&self, request: &Passed) -> Flowing {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.takes(token)) {
            return Flowing::new(401, br#"{"error":"invalid_token"}"#).header("www-authenticate", "Bearer realm=chat");
        }
        let headers: BTreeMap<&str, &str> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = json!({
            "method": request.method, "url": request.url, "headers": headers, "body": String::from_utf8_lossy(&request.body),
        });
        Flowing::new(200, body.to_string().as_bytes())
    }

    /// The access tokens that it has given.
    pub fn access_tokens(&self) -> Vec<String> {
        self.access.borrow().keys().cloned().collect()
    }

    /// Whether an access token is good now.
    pub fn takes(&self, token: &str) -> bool {
        let access = self.access.borrow();
        access
            .get(token)
            .is_some_and(|(grant, until)| *until > self.clock.seconds() && !self.grants.borrow()[*grant].ended)
    }

    fn bearer(&self, request: &Outbound) -> Option<Grant> {
        let header = request.headers.iter().find(|(name, _)| *name == "authorization")?;
        let token = header.1.strip_prefix("Bearer ")?;
        let grant = self.access.borrow().get(token)?.0;
        self.takes(token).then(|| self.grants.borrow()[grant].clone())
    }

    fn expect_client(&self, request: &Outbound) {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
        let header = request.headers.iter().find(|(name, _)| *name == "authorization").map(|(_, value)| value.as_str());
        assert_eq!(header, Some(format!("Basic {pair}").as_str()));
    }

    fn token(&self, request: &Outbound) -> Scripted {
        self.expect_client(request);
        let form = form(request);
        let refused =
            || Scripted::json(400, json!({"error": "invalid_grant", "error_description": "words-of-the-service"}));
        let grant = match form["grant_type"].as_str() {
            "authorization_code" => {
                let Some(grant) = self.codes.borrow_mut().remove(&form["code"]) else { return refused() };
                assert_eq!(b64(sha256(&form["code_verifier"]).bytes()), self.grants.borrow()[grant].challenge);
                grant
            }
            "refresh_token" => {
                self.refreshes.set(self.refreshes.get() + 1);
                let now = self.clock.seconds();
                let mut refresh = self.refresh.borrow_mut();
                let Some((grant, used)) = refresh.get_mut(&form["refresh_token"]) else { return refused() };
                let grant = *grant;
                if self.rotates.get()
                    && used.is_some_and(|at| now - at > self.reuse_seconds.get() || self.reuse_seconds.get() == 0)
                {
                    self.reused.set(self.reused.get() + 1);
                    self.grants.borrow_mut()[grant].ended = true;
                }
                if self.grants.borrow()[grant].ended {
                    return refused();
                }
                used.get_or_insert(now);
                grant
            }
            other => panic!("{other}"),
        };
        let access = self.next("access");
        self.access.borrow_mut().insert(access.clone(), (grant, self.clock.seconds() + self.lifetime.get()));
        let Grant { scope, account, .. } = self.grants.borrow()[grant].clone();
        let account =
            self.refreshes_as.borrow().clone().filter(|_| form["grant_type"] == "refresh_token").unwrap_or(account);
        let mut body = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": self.lifetime.get(), "scope": scope, "account": account,
        });
        if !self.says_lifetime.get() {
            body.as_object_mut().unwrap().remove("expires_in");
        }
        if self.rotates.get() || form["grant_type"] == "authorization_code" {
            let token = self.next("refresh");
            self.refresh.borrow_mut().insert(token.clone(), (grant, None));
            body["refresh_token"] = token.into();
        }
        Scripted::json(200, body)
    }
}

fn form(request: &Outbound) -> HashMap<String, String> {
    form_urlencoded::parse(request.body.as_ref().unwrap().as_bytes()).into_owned().collect()
}
