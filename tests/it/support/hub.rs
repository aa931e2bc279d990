//! A whole hub over doubles.

#[allow(unused_imports, reason = "each test target uses a part of the support")]
pub use super::call::{Call, Credentials, Reply, decode, with_claims};

use super::doubles::{MemoryKv, RecordedLog, RecordedQueue, ScriptedFetch, SeededEntropy, ZoneTable};
use super::faults::Faults;
use super::keys::NativeKeys;
use super::run::Clock;
use super::sqlite::Sqlite;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use writ::app::{App, Source};
use writ::config::Config;
use writ::error::Result;
use writ::ports::{Entropy, Pending, World};

pub const ORIGIN: &str = "https://id.example";
pub const ISSUER: &str = "https://id.example/t/main";
/// The resource of [`Setup::agent`]; its scopes are `mcp:read` and `mcp:write`.
pub const RESOURCE: &str = "https://mcp.example/mcp";
/// Tuesday 2026-01-06 12:00:00 UTC.
pub const START: u64 = 1_767_700_800;
pub const SIGNING_KEK: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
pub const VAULT_KEK: &str = "1:HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// For a Worker with the role `admin` alone.
pub const ADMIN_KEK: &str = "1:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Another isolate over the same ports.
#[derive(Clone)]
pub struct Isolate(Rc<App>);

impl Isolate {
    /// Its application.
    pub fn app(&self) -> &App {
        &self.0
    }
}

/// Doubles of every port, and one isolate over them.
pub struct Setup {
    pub clock: Clock,
    pub faults: Rc<Faults>,
    pub db: Rc<Sqlite>,
    pub trail: Rc<Sqlite>,
    pub kv: Rc<MemoryKv>,
    pub queue: Rc<RecordedQueue>,
    pub fetch: Rc<ScriptedFetch>,
    pub entropy: Rc<dyn Entropy>,
    pub keys: Rc<NativeKeys>,
    pub log: Rc<RecordedLog>,
    settings: HashMap<String, String>,
    first: RefCell<Isolate>,
    admins: RefCell<HashMap<String, Credentials>>,
    replies: RefCell<Vec<Reply>>,
}

impl Setup {
    /// Tenant `main` with its first administrator, at [`START`].
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// The same with other settings.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let clock = Clock::new(START);
        let faults = Rc::new(Faults::new(clock.clone()));
        let entropy: Rc<dyn Entropy> = Rc::new(SeededEntropy::new(1));
        let base = [("ORIGIN", ORIGIN), ("SIGNING_KEK", SIGNING_KEK), ("VAULT_KEK", VAULT_KEK)];
        let settings: HashMap<_, _> =
            base.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let db = Rc::new(Sqlite::new(faults.clone()));
        let trail = Rc::new(Sqlite::trail(faults.clone()));
        let kv = Rc::new(MemoryKv::new(faults.clone()));
        let queue = Rc::new(RecordedQueue::new(faults.clone()));
        let fetch = Rc::new(ScriptedFetch::new(clock.clone(), faults.clone()));
        let keys = Rc::new(NativeKeys::new(entropy.clone(), faults.clone()));
        let log = Rc::new(RecordedLog::default());
        let world = World {
            db: db.clone(),
            trail: trail.clone(),
            kv: kv.clone(),
            queue: queue.clone(),
            fetch: fetch.clone(),
            keys: keys.clone(),
            entropy: entropy.clone(),
            zones: Rc::new(ZoneTable),
            timer: Rc::new(clock.clone()),
            lifetime: Rc::new(clock.clone()),
            log: log.clone(),
        };
        let first = RefCell::new(isolate(world, &settings));
        let hub = Self {
            clock,
            faults,
            db,
            trail,
            kv,
            queue,
            fetch,
            entropy,
            keys,
            log,
            settings,
            first,
            admins: RefCell::default(),
            replies: RefCell::default(),
        };
        hub.first_admin("main");
        hub
    }

    /// The ports, shared by all isolates.
    pub fn world(&self) -> World {
        World {
            db: self.db.clone(),
            trail: self.trail.clone(),
            kv: self.kv.clone(),
            queue: self.queue.clone(),
            fetch: self.fetch.clone(),
            keys: self.keys.clone(),
            entropy: self.entropy.clone(),
            zones: Rc::new(ZoneTable),
            timer: Rc::new(self.clock.clone()),
            lifetime: Rc::new(self.clock.clone()),
            log: self.log.clone(),
        }
    }

    /// The origin that the settings name.
    pub fn origin(&self) -> &str {
        &self.settings["ORIGIN"]
    }

    /// The issuer of a tenant.
    pub fn issuer(&self, tenant: &str) -> String {
        format!("{}/t/{tenant}", self.origin())
    }

    /// Another isolate that remembers nothing yet.
    pub fn isolate(&self) -> Isolate {
        isolate(self.world(), &self.settings)
    }

    /// Another isolate with some settings of its own, such as `ROLES`; an empty value unsets one.
    pub fn isolate_with(&self, settings: &[(&str, &str)]) -> Isolate {
        let mut all = self.settings.clone();
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        isolate(self.world(), &all)
    }

    /// The first isolate forgets what it remembers, as after a deployment.
    pub fn restart(&self) {
        *self.first.borrow_mut() = self.isolate();
    }

    /// A request to the first isolate.
    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call::new(self, self.first.borrow().clone(), method, path)
    }

    /// A request to the admin API of `main` with an administrator's token: `hub.admin("GET", "clients")`.
    pub fn admin(&self, method: &str, path: &str) -> Call<'_> {
        self.admin_of("main", method, path)
    }

    /// The same for another tenant.
    pub fn admin_of(&self, tenant: &str, method: &str, path: &str) -> Call<'_> {
        let token = self.admin_token_of(tenant);
        self.call(method, &format!("/t/{tenant}/admin/{path}")).bearer(&token)
    }

    /// A new administrator's token of `main`.
    pub fn admin_token(&self) -> String {
        self.admin_token_of("main")
    }

    /// The same for another tenant.
    pub fn admin_token_of(&self, tenant: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", "admin")];
        self.call("POST", &format!("/t/{tenant}/token"))
            .basic(&self.admin_client(tenant))
            .form(&form)
            .send()
            .access_token()
    }

    /// The first administrator's client of a tenant.
    pub fn admin_client(&self, tenant: &str) -> Credentials {
        self.admins.borrow()[tenant].clone()
    }

    /// Makes the first administrator of a tenant as an operator does: `writ init`, and its SQL into the database.
    pub fn first_admin(&self, tenant: &str) -> Credentials {
        let words = ["init", "--origin", self.origin(), "--tenant", tenant].map(str::to_owned);
        let printed = writ::cli::run(&words, self.clock.now(), &*self.entropy).unwrap();
        let printed: Value = serde_json::from_str(&printed).unwrap();
        self.db.execute(printed["sql"].as_str().unwrap());
        let credentials = credentials(&printed);
        self.admins.borrow_mut().insert(tenant.to_owned(), credentials.clone());
        credentials
    }

    /// Makes a tenant with its first administrator.
    pub fn create_tenant(&self, tenant: &str) -> Credentials {
        let made = self.admin("POST", "tenants").json(&json!({"id": tenant, "name": tenant})).send().expect(201);
        let credentials = credentials(&made.json());
        self.admins.borrow_mut().insert(tenant.to_owned(), credentials.clone());
        credentials
    }

    /// Registers a client of `main`; whatever `metadata` leaves out is as for an agent.
    pub fn create_client(&self, metadata: Value) -> Credentials {
        self.create_client_of("main", metadata)
    }

    /// The same for another tenant.
    pub fn create_client_of(&self, tenant: &str, metadata: Value) -> Credentials {
        let mut body = json!({"client_name": "a client", "token_endpoint_auth_method": "client_secret_basic"});
        body.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        credentials(&self.admin_of(tenant, "POST", "clients").json(&body).send().expect(201).json())
    }

    /// Registers a resource of `main` and answers its `id`; whatever `body` leaves out is as for [`RESOURCE`].
    pub fn create_resource(&self, body: Value) -> String {
        self.create_resource_of("main", body)
    }

    /// The same for another tenant.
    pub fn create_resource_of(&self, tenant: &str, body: Value) -> String {
        let scope = |name: &str, tool: &str| json!({"name": name, "description": name, "tool": tool});
        let scopes = [scope("mcp:read", "read"), scope("mcp:write", "write")];
        let mut whole = json!({"resource": RESOURCE, "name": "A resource", "scopes": scopes});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let made = self.admin_of(tenant, "POST", "resources").json(&whole).send().expect(201);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// Writes a policy of `main` that is enforced.
    pub fn put_policy(&self, id: &str, cedar: &str) {
        self.put_policy_of("main", id, cedar);
    }

    /// The same for another tenant.
    pub fn put_policy_of(&self, tenant: &str, id: &str, cedar: &str) {
        let path = format!("policies/{id}");
        let old = self.admin_of(tenant, "GET", &path).send();
        let call = self.admin_of(tenant, "PUT", &path);
        let call = match old.header("etag") {
            Some(etag) => call.header("if-match", etag),
            None => call,
        };
        let reply = call.json(&json!({"description": id, "cedar": cedar, "mode": "enforce"})).send();
        assert!(matches!(reply.status, 200 | 201 | 204), "{reply:?}");
    }

    /// An agent with [`RESOURCE`], a ceiling of `scope`, and a policy called `name` that permits it all of that.
    pub fn agent(&self, name: &str, scope: &str) -> Credentials {
        if self.db.query("SELECT id FROM resources WHERE tenant = 'main'").is_empty() {
            self.create_resource(json!({}));
        }
        let agent = self.create_client(json!({"client_name": name, "scope": scope, "allowed_resources": [RESOURCE]}));
        self.put_policy(name, &permit(&agent.client_id, RESOURCE));
        agent
    }

    /// Asks `main` for a token by `client_credentials`, with `more` in the form.
    pub fn token(&self, client: &Credentials, more: &[(&str, &str)]) -> Reply {
        self.token_call(client, more).send()
    }

    /// The same as a call that can still be changed.
    pub fn token_call(&self, client: &Credentials, more: &[(&str, &str)]) -> Call<'_> {
        let form: Vec<_> = [("grant_type", "client_credentials")].iter().chain(more).copied().collect();
        self.call("POST", "/t/main/token").basic(client).form(&form)
    }

    /// An access token for `scope` of the client's only resource.
    pub fn access_token(&self, client: &Credentials, scope: &str) -> String {
        self.token(client, &[("scope", scope)]).access_token()
    }

    /// Drives futures at the same time; the seed decides who goes when, and how long each port call takes.
    pub fn together<'a, T>(&'a self, seed: u64, futures: Vec<Pending<'a, T>>) -> Vec<T> {
        self.faults.jitter(Some(seed));
        let done = self.clock.drive(seed, futures);
        self.faults.jitter(None);
        done
    }

    /// The cron of the first isolate.
    pub fn tick(&self) -> Result<()> {
        let app = self.first.borrow().0.clone();
        self.clock.block_on(app.tick(&|| self.clock.now()))
    }

    /// Reads the tenants anew that an isolate finds old, as the host does after an answer; which they are.
    pub fn renew(&self, Isolate(app): &Isolate) -> Vec<String> {
        let ageing = app.take_ageing();
        self.clock.block_on(app.renew(&ageing, self.clock.now()));
        ageing
    }

    /// Sends what waits in the outbox, as the host does after an answer.
    pub fn relay(&self) -> Result<()> {
        let app = self.first.borrow().0.clone();
        self.clock.block_on(app.relay(self.clock.now()))
    }

    /// Hands messages to the consumer.
    pub fn consume(&self, source: Source, messages: &[String]) -> Result<()> {
        let app = self.first.borrow().0.clone();
        self.clock.block_on(app.consume(source, messages, self.clock.now()))
    }

    /// Delivers everything that waits in the queue.
    pub fn deliver(&self) {
        self.consume(Source::Audit, &self.queue.take()).unwrap();
    }

    /// Delivers everything, and sends sinks what they have not taken, as the host does.
    pub fn deliver_to_sinks(&self) -> Result<()> {
        while !self.db.query("SELECT id FROM outbox LIMIT 1").is_empty() {
            self.relay().unwrap();
        }
        let messages = self.queue.take();
        self.consume(Source::Audit, &messages).unwrap();
        let app = self.first.borrow().0.clone();
        self.clock.block_on(app.deliver(&messages, self.clock.now()))
    }

    /// Every event of every tenant, in the order in which they were recorded, after the outbox has been relayed and the
    /// queue delivered. Ids alone tell no order here: the clock stands still.
    pub fn events(&self) -> Vec<Value> {
        loop {
            let staged = self.db.query("SELECT id FROM outbox").len();
            if staged == 0 {
                break;
            }
            self.relay().unwrap();
            assert!(self.db.query("SELECT id FROM outbox").len() < staged, "the relay moves nothing");
        }
        self.deliver();
        let order = self.faults.order();
        let rows = self.trail.query("SELECT body FROM events");
        let mut events: Vec<Value> =
            rows.iter().map(|row| serde_json::from_str(row["body"].as_str().unwrap()).unwrap()).collect();
        events.sort_by_key(|event| order.get(event["id"].as_str().unwrap()).copied());
        events
    }

    /// The events of one type.
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["type"] == kind).collect()
    }

    /// Keeps a reply for [`Self::dump_everything`].
    pub fn keep(&self, reply: Reply) {
        self.replies.borrow_mut().push(reply);
    }

    /// All rows, all that KV and the queue ever had, and the log.
    pub fn dump_at_rest(&self) -> String {
        [self.db.dump(), self.trail.dump(), self.kv.dump(), self.queue.sent().join("\n"), self.log.lines().join("\n")]
            .join("\n")
    }

    /// The same with every reply so far.
    pub fn dump_everything(&self) -> String {
        let replies: String = self.replies.borrow().iter().map(|reply| format!("{reply:?}\n")).collect();
        self.dump_at_rest() + "\n" + &replies
    }
}

fn isolate(world: World, settings: &HashMap<String, String>) -> Isolate {
    let config = Config::parse(|name| settings.get(name).cloned()).unwrap();
    Isolate(Rc::new(App::new(world, config)))
}

fn credentials(body: &Value) -> Credentials {
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    Credentials { client_id: text("client_id"), client_secret: text("client_secret") }
}

/// A policy that permits a client everything of a resource.
pub fn permit(client_id: &str, resource: &str) -> String {
    format!(
        r#"permit(principal == Client::"{client_id}", action == Action::"issue", resource in Resource::"{resource}");"#
    )
}
