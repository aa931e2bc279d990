//! The hub under test: in process, or live.

use crate::support::hub::permit;
use crate::support::{Credentials, Reply, Setup};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::Duration;

/// The freshness bound: how long a change may take to be seen everywhere.
const BOUND: Duration = Duration::from_secs(5);
/// How long an event may take to be found, for it comes through a queue.
const DEADLINE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(100);

enum Place {
    InProcess(Box<Setup>),
    Live(ureq::Agent),
}

/// An agent of the demonstration.
#[derive(Clone)]
pub struct Agent {
    pub client: Credentials,
    pub scope: String,
}

/// A hub with a resource, an agent that may have some of its scopes, and a resource server.
pub struct Hub {
    pub origin: String,
    pub issuer: String,
    pub resource: String,
    pub agent: Agent,
    pub server: Credentials,
    admin: Credentials,
    place: Place,
}

impl Hub {
    /// The live server that `BASE_URL` names, or one in process.
    pub fn open() -> Self {
        match std::env::var("BASE_URL") {
            Ok(origin) => Self::live(origin.trim_end_matches('/')),
            Err(_) => Self::in_process(),
        }
    }

    fn in_process() -> Self {
        let setup = Setup::new();
        let resource = crate::support::hub::RESOURCE.to_owned();
        let client = setup.agent("reader", "mcp:read");
        let server = setup.create_client(json!({"kind": "resource_server", "allowed_resources": [resource]}));
        Self {
            origin: setup.origin().to_owned(),
            issuer: setup.issuer("main"),
            agent: Agent { client, scope: "mcp:read".to_owned() },
            admin: setup.admin_client("main"),
            place: Place::InProcess(Box::new(setup)),
            resource,
            server,
        }
    }

    fn live(origin: &str) -> Self {
        let file = std::env::var("WRIT_DEV_JSON").expect("BASE_URL needs WRIT_DEV_JSON: the dev.json of that server");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let dev: Value = serde_json::from_str(&text).unwrap();
        let credentials = |value: &Value| Credentials {
            client_id: value["client_id"].as_str().unwrap().to_owned(),
            client_secret: value["client_secret"].as_str().unwrap().to_owned(),
        };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            // workerd closes a connection that was idle for five seconds; let go of it before that.
            .max_idle_age(Duration::from_secs(2))
            .timeout_global(Some(Duration::from_secs(30)));
        Self {
            origin: origin.to_owned(),
            issuer: dev["issuer"].as_str().unwrap().to_owned(),
            resource: dev["resources"][0].as_str().unwrap().to_owned(),
            agent: Agent {
                client: credentials(&dev["agents"][0]),
                scope: dev["agents"][0]["scope"].as_str().unwrap().to_owned(),
            },
            server: credentials(&dev["resource_servers"][0]),
            admin: credentials(&dev["admin"]),
            place: Place::Live(config.build().into()),
        }
    }

    /// A request; the path may also be a URL of this hub.
    pub fn ask<'a>(&'a self, method: &'a str, path: &str) -> Ask<'a> {
        let path = path.strip_prefix(&self.origin).unwrap_or(path).to_owned();
        Ask { hub: self, method, path, headers: Vec::new(), body: None }
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).send()
    }

    /// A token request of a client that authenticates by Basic.
    pub fn token(&self, client: &Credentials, more: &[(&str, &str)]) -> Reply {
        let form: Vec<_> = [("grant_type", "client_credentials")].iter().chain(more).copied().collect();
        self.ask("POST", "/t/main/token").basic(client).form(&form).send()
    }

    /// A token request of the demonstration's agent for its resource.
    pub fn agents_token(&self, more: &[(&str, &str)]) -> Reply {
        let form: Vec<_> = [("resource", self.resource.as_str())].iter().chain(more).copied().collect();
        self.token(&self.agent.client, &form)
    }

    /// A request to the admin API with an administrator's token.
    pub fn admin<'a>(&'a self, method: &'a str, path: &str) -> Ask<'a> {
        let resource = format!("{}/admin", self.issuer);
        let token = self.token(&self.admin, &[("resource", &resource), ("scope", "admin")]).access_token();
        self.ask(method, &format!("/t/main/admin/{path}")).bearer(&token)
    }

    /// Registers something, which goes away with the guard.
    pub fn make(&self, list: &str, body: &Value, id: &str) -> Thing<'_> {
        self.made(list, &self.admin("POST", list).json(body).send().expect(201), id)
    }

    /// What an answer says was registered; it goes away with the guard.
    pub fn made(&self, list: &str, made: &Reply, id: &str) -> Thing<'_> {
        let path = format!("{list}/{}", made.json()[id].as_str().unwrap());
        Thing { hub: self, path, body: made.json() }
    }

    /// Writes a policy of a new name, which goes away with the guard.
    pub fn policy(&self, cedar: &str) -> Thing<'_> {
        let path = format!("policies/conformance-{}", unique());
        let body = json!({"description": "a test of conformance", "cedar": cedar, "mode": "enforce"});
        let made = self.admin("PUT", &path).json(&body).send();
        assert!(matches!(made.status, 200 | 201), "{made:?}");
        Thing { hub: self, path, body: made.json() }
    }

    /// A new client that may have everything of a resource.
    pub fn agent_for(&self, resource: &str, more: &Value) -> (Thing<'_>, Thing<'_>) {
        let mut body = json!({"client_name": "conformance", "allowed_resources": [resource]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let client = self.make("clients", &body, "client_id");
        let policy = self.policy(&permit(&client.credentials().client_id, resource));
        (client, policy)
    }

    /// What `look` finds once it finds something. A look that begins after the freshness bound has to find it.
    pub fn within_the_bound<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        self.within(BOUND, what, look)
    }

    /// The same for what comes through the queue.
    pub fn eventually<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        self.within(DEADLINE, what, || {
            if let Place::InProcess(setup) = &self.place {
                setup.events();
            }
            look()
        })
    }

    fn within<T>(&self, bound: Duration, what: &str, look: impl Fn() -> Option<T>) -> T {
        let begun = self.now();
        loop {
            let waited = self.now().saturating_sub(begun);
            if let Some(found) = look() {
                return found;
            }
            assert!(waited < bound, "not within {bound:?}: {what}");
            self.pass(STEP);
        }
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        match &self.place {
            Place::InProcess(setup) => setup.clock.advance_millis(time.as_millis() as u64),
            Place::Live(_) => std::thread::sleep(time),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a live server has a clock of its own")]
    fn now(&self) -> Duration {
        match &self.place {
            Place::InProcess(setup) => Duration::from_millis(setup.clock.now().millis()),
            Place::Live(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap(),
        }
    }
}

/// Something that a test made and that goes away with it.
pub struct Thing<'a> {
    hub: &'a Hub,
    pub path: String,
    pub body: Value,
}

impl Thing<'_> {
    pub fn credentials(&self) -> Credentials {
        let text = |name: &str| self.body[name].as_str().unwrap().to_owned();
        Credentials { client_id: text("client_id"), client_secret: text("client_secret") }
    }
}

impl Drop for Thing<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let reply = self.hub.admin("DELETE", &self.path).send();
            assert!(matches!(reply.status, 204 | 404), "{reply:?}");
        }
    }
}

/// A name that no other test and no other run has.
pub fn unique() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request in the making.
pub struct Ask<'a> {
    hub: &'a Hub,
    method: &'a str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
}

impl Ask<'_> {
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn basic(self, client: &Credentials) -> Self {
        let pair = format!("{}:{}", client.client_id, client.client_secret);
        self.header("authorization", &format!("Basic {}", STANDARD.encode(pair)))
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub fn send(self) -> Reply {
        match &self.hub.place {
            Place::InProcess(setup) => {
                let mut call = setup.call(self.method, &self.path).ip("192.0.2.1");
                for (name, value) in &self.headers {
                    call = call.header(name, value);
                }
                call.body(self.body.unwrap_or_default()).send()
            }
            Place::Live(agent) => {
                let url = format!("{}{}", self.hub.origin, self.path);
                let mut request = ureq::http::Request::builder().method(self.method).uri(url);
                for (name, value) in &self.headers {
                    request = request.header(*name, value);
                }
                let response = match self.body {
                    Some(body) => agent.run(request.body(body).unwrap()),
                    None => agent.run(request.body(()).unwrap()),
                };
                let mut response = response.unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path));
                let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap().to_owned();
                let headers =
                    response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
                let status = response.status().as_u16();
                let bytes = response.body_mut().read_to_vec().unwrap();
                let text = String::from_utf8(bytes.clone()).unwrap_or_default();
                Reply { status, headers, text, bytes: vec![], cut: false }
            }
        }
    }
}
