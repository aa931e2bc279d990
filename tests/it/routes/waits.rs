//! Every place where a request waits for a port: the call fails, its reply is lost, or the client hangs up there.
//!
//! Whatever happens, what counts once is worth one token at most, the same request sent again gets its answer or a refusal that is
//! true, and the next request need not wait.

use super::chain::{ACCESS_TOKEN, Chain, EXCHANGE, ID_JAG, ID_TOKEN, JWT, JWT_BEARER, TASKS};
use super::{client_assertions, connections};
use crate::support::hub::{Call, ISSUER, RESOURCE};
use crate::support::{Credentials, Effect, Port, Reply, Scripted, Setup, Signer};
use serde_json::{Value, json};
use writ::ports::Alg;

const PORTS: [Port; 5] = [Port::Db, Port::Kv, Port::Queue, Port::Fetch, Port::Keys];
const CLIENT_CREDENTIALS: &str = "client_credentials";
const PLATFORM: &str = "https://platform.example";
const DOMAIN: &str = "spiffe://prod.example.org";
const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
const CHAT: &str = "https://auth.chat.example";
const CHAT_MCP: &str = "https://mcp.chat.example/";

/// A request that can be sent again as it is.
#[derive(Default)]
struct Sent {
    path: &'static str,
    form: Vec<(&'static str, String)>,
    basic: Option<Credentials>,
    proof: Option<String>,
}

impl Sent {
    fn token(form: &[(&'static str, &str)]) -> Self {
        let form = form.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { path: "/t/main/token", form, ..Self::default() }
    }

    fn by(self, client: &Credentials) -> Self {
        Self { basic: Some(client.clone()), ..self }
    }

    fn call<'a>(&self, hub: &'a Setup) -> Call<'a> {
        let form: Vec<(&str, &str)> = self.form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let call = hub.call("POST", self.path).form(&form);
        let call = match &self.basic {
            Some(client) => call.basic(client),
            None => call,
        };
        match &self.proof {
            Some(proof) => call.header("dpop", proof),
            None => call,
        }
    }
}

/// One client for each way to authenticate, and what all grants need.
struct Scene {
    chain: Chain,
    key: Signer,
    signing: String,
    remote: String,
    poster: Credentials,
    server: Credentials,
    /// About the user, for the worker.
    user_token: String,
    /// The worker's own.
    own: String,
    /// The planner's own.
    lessee: String,
}

impl Scene {
    fn new() -> Self {
        let chain = Chain::new();
        let hub = &chain.hub;
        let key = Signer::new(Alg::Es256, 7);
        let set = key.jwks("k");
        let mut svid_keys = set.clone();
        svid_keys["keys"][0]["use"] = "jwt-svid".into();
        let register = |body: Value| {
            let made = hub.admin("POST", "clients").json(&body).send().expect(201).json();
            made["client_id"].as_str().unwrap().to_owned()
        };
        let assertion = |keys: Value| {
            let mut body = json!({"client_name": "a signer", "token_endpoint_auth_method": "private_key_jwt"});
            body.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            register(body)
        };
        let signing = assertion(json!({"jwks": set}));
        let remote = assertion(json!({"jwks_uri": "https://agent.example/jwks.json"}));
        for (issuer, preset, keys) in [(PLATFORM, "oidc", &set), (DOMAIN, "spiffe", &svid_keys)] {
            let body = json!({"issuer": issuer, "name": preset, "preset": preset, "uses": ["workload"], "jwks": keys});
            hub.admin("POST", "issuers").json(&body).send().expect(201);
        }
        for (method, issuer, subject) in [
            ("federated_jwt", PLATFORM, "agents/reader".to_owned()),
            ("spiffe_jwt", DOMAIN, format!("{DOMAIN}/agents/reader")),
        ] {
            register(json!({
                "client_name": method, "token_endpoint_auth_method": method,
                "grant_types": [CLIENT_CREDENTIALS, JWT_BEARER, EXCHANGE],
                "workload_identities": [{"issuer": issuer, "rules": [{"claim": "sub", "equals": subject}]}],
            }));
        }
        let poster = hub.create_client(json!({"token_endpoint_auth_method": "client_secret_post"}));
        let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        hub.create_resource(json!({"resource": CHAT_MCP, "authorization_server": CHAT}));
        hub.admin("PUT", "connections/warehouse").json(&connections::body(0, &[connections::READ])).send().expect(201);
        hub.put_policy("lease", "permit(principal, action == Action::\"lease\", resource);");
        hub.fetch.answer(move |request| match request.method {
            "GET" => Scripted::json(200, set.clone()),
            _ => Scripted::json(200, json!({"access_token": "ya29.x", "expires_in": 600, "token_type": "Bearer"})),
        });
        let user_token = chain.user_token(&chain.planner, TASKS, "mcp:read");
        let own = chain.own_token(&chain.worker, RESOURCE);
        let lessee = chain.own_token(&chain.planner, RESOURCE);
        Self { key, signing, remote, poster, server, user_token, own, lessee, chain }
    }

    fn assertion_of(&self, client: &str) -> Sent {
        let claims = self.chain.claims(json!({"iss": client, "sub": client}));
        let assertion = self.key.jwt(json!({"typ": "JWT", "kid": "k"}), &claims);
        Sent::token(&[
            ("grant_type", CLIENT_CREDENTIALS),
            ("client_assertion_type", client_assertions::JWT_BEARER),
            ("client_assertion", &assertion),
            ("resource", RESOURCE),
        ])
    }

    fn platform_token(&self) -> String {
        let claims = self.chain.claims(json!({"iss": PLATFORM, "sub": "agents/reader"}));
        self.key.jwt(json!({"typ": "JWT", "kid": "k"}), &claims)
    }

    fn jag(&self) -> String {
        let client = &self.chain.planner.client_id;
        let claims = self.chain.claims(json!({"client_id": client, "resource": RESOURCE, "scope": "mcp:read"}));
        self.chain.idp.jwt(json!({"typ": "oauth-id-jag+jwt", "kid": "k"}), &claims)
    }
}

/// A way to get something, whether the request counts once, and which event says that it was given.
struct Way {
    name: &'static str,
    counts_once: bool,
    event: &'static str,
    request: fn(&Scene) -> Sent,
}

const fn way(name: &'static str, counts_once: bool, request: fn(&Scene) -> Sent) -> Way {
    Way { name, counts_once, event: "token.issued", request }
}

const WAYS: &[Way] = &[
    way("client_secret_basic", false, |scene| {
        Sent::token(&[("grant_type", CLIENT_CREDENTIALS), ("resource", RESOURCE)]).by(&scene.chain.planner)
    }),
    way("client_secret_post", false, |scene| {
        Sent::token(&[
            ("grant_type", CLIENT_CREDENTIALS),
            ("client_id", &scene.poster.client_id),
            ("client_secret", &scene.poster.client_secret),
            ("resource", RESOURCE),
        ])
    }),
    way("a DPoP proof", true, |scene| Sent {
        proof: Some(scene.chain.proof(&Signer::new(Alg::Es256, 2))),
        ..Sent::token(&[("grant_type", CLIENT_CREDENTIALS), ("resource", RESOURCE)]).by(&scene.chain.planner)
    }),
    way("private_key_jwt", true, |scene| scene.assertion_of(&scene.signing)),
    way("private_key_jwt with a key set that is fetched", true, |scene| scene.assertion_of(&scene.remote)),
    way("federated_jwt", false, |scene| {
        Sent::token(&[
            ("grant_type", CLIENT_CREDENTIALS),
            ("client_assertion_type", client_assertions::JWT_BEARER),
            ("client_assertion", &scene.platform_token()),
            ("resource", RESOURCE),
        ])
    }),
    way("spiffe_jwt", false, |scene| {
        let now = scene.chain.now();
        let subject = format!("{DOMAIN}/agents/reader");
        let claims = json!({"sub": subject, "aud": [ISSUER], "iat": now, "exp": now + 120});
        Sent::token(&[
            ("grant_type", CLIENT_CREDENTIALS),
            ("client_assertion_type", JWT_SPIFFE),
            ("client_assertion", &scene.key.jwt(json!({"kid": "k"}), &claims)),
            ("resource", RESOURCE),
        ])
    }),
    way("the JWT bearer grant about a user", true, |scene| {
        let assertion = scene.chain.assertion(json!({}));
        Sent::token(&[("grant_type", JWT_BEARER), ("assertion", &assertion), ("resource", RESOURCE)])
            .by(&scene.chain.planner)
    }),
    way("the JWT bearer grant of a workload", false, |scene| {
        let assertion = scene.platform_token();
        Sent::token(&[("grant_type", JWT_BEARER), ("assertion", &assertion), ("resource", RESOURCE)])
    }),
    way("an ID-JAG that is taken", true, |scene| {
        Sent::token(&[("grant_type", JWT_BEARER), ("assertion", &scene.jag())]).by(&scene.chain.planner)
    }),
    way("an ID-JAG that is issued", false, |scene| {
        let id_token = scene.chain.assertion(json!({}));
        Sent::token(&[
            ("grant_type", EXCHANGE),
            ("requested_token_type", ID_JAG),
            ("subject_token", &id_token),
            ("subject_token_type", ID_TOKEN),
            ("audience", CHAT),
        ])
        .by(&scene.chain.planner)
    }),
    way("the exchange of a workload", false, |scene| {
        Sent::token(&[
            ("grant_type", EXCHANGE),
            ("subject_token", &scene.platform_token()),
            ("subject_token_type", JWT),
            ("audience", RESOURCE),
        ])
    }),
    way("the exchange of a user's token", false, |scene| {
        Sent::token(&[
            ("grant_type", EXCHANGE),
            ("subject_token", &scene.user_token),
            ("subject_token_type", ACCESS_TOKEN),
            ("actor_token", &scene.own),
            ("actor_token_type", ACCESS_TOKEN),
            ("resource", RESOURCE),
        ])
        .by(&scene.chain.worker)
    }),
    Way {
        name: "a lease",
        counts_once: false,
        event: "lease.granted",
        request: |scene| Sent {
            path: "/t/main/connections/warehouse/token",
            ..Sent::token(&[("subject_token", &scene.lessee)]).by(&scene.server)
        },
    },
];

impl Way {
    /// How many there are by the trail.
    fn given(&self, scene: &Scene) -> usize {
        let hub = &scene.chain.hub;
        while !hub.db.query("SELECT 1 FROM outbox LIMIT 1").is_empty() {
            hub.relay().unwrap();
        }
        hub.deliver();
        hub.trail.query(&format!("SELECT 1 FROM events WHERE type = '{}'", self.event)).len()
    }

    /// Nothing is remembered, and nothing is kept of a lease.
    fn begin(&self, scene: &Scene) {
        scene.chain.hub.db.execute("DELETE FROM leases");
        scene.chain.hub.restart();
    }

    /// After `first`, if its answer came, the request is sent again as it is, and then another one of its kind; nobody waits.
    fn holds(&self, scene: &Scene, sent: &Sent, first: Option<&Reply>, before: usize, place: &str) {
        let hub = &scene.chain.hub;
        let place = format!("{}, {place}: {first:?}", self.name);
        if let Some(reply) = first {
            match reply.status {
                200 => assert_eq!(self.given(scene), before + 1, "its event is kept: {place}"),
                503 => assert_eq!(reply.error(), "temporarily_unavailable", "{place}"),
                502 => assert_eq!(self.event, "lease.granted", "{place}"),
                _ => panic!("{place}"),
            }
        }
        let moment = hub.clock.now();
        let again = sent.call(hub).send();
        match again.status {
            200 => assert!(!self.counts_once || first.is_none_or(|reply| reply.status != 200), "twice: {place}"),
            400 | 401 => assert!(self.counts_once, "{place}, then {again:?}"),
            _ => panic!("{place}, then {again:?}"),
        }
        let most = if self.counts_once { before + 1 } else { before + 2 };
        assert!(self.given(scene) <= most, "{place}");
        let before = self.given(scene);
        (self.request)(scene).call(hub).send().expect(200);
        match first {
            Some(_) => assert_eq!((self.given(scene), hub.clock.now()), (before + 1, moment), "nobody waits: {place}"),
            // A request that is held goes on, and may come to its end meanwhile.
            None => assert!((before + 1..=before + 2).contains(&self.given(scene)), "{place}"),
        }
    }
}

#[test]
fn what_counts_once_is_worth_one_token_and_what_does_not_is_worth_more() {
    let scene = Scene::new();
    for way in WAYS {
        let sent = (way.request)(&scene);
        sent.call(&scene.chain.hub).send().expect(200);
        let again = sent.call(&scene.chain.hub).send().status;
        assert_eq!(again == 200, !way.counts_once, "{}: {again}", way.name);
    }
}

#[test]
fn whichever_call_of_a_port_fails_or_loses_its_reply_the_request_can_be_sent_again_and_counts_once() {
    for way in WAYS {
        let scene = Scene::new();
        let hub = &scene.chain.hub;
        let mut tried = 0;
        for (port, effect) in PORTS.into_iter().flat_map(|port| [(port, Effect::Fails), (port, Effect::LosesReply)]) {
            for nth in 0.. {
                way.begin(&scene);
                let (sent, before) = ((way.request)(&scene), way.given(&scene));
                let reached = hub.faults.calls(port) + nth;
                hub.faults.fail_nth(port, nth, effect);
                let reply = sent.call(hub).send();
                hub.faults.heal();
                if hub.faults.calls(port) <= reached {
                    break;
                }
                tried += 1;
                way.holds(&scene, &sent, Some(&reply), before, &format!("{port:?} {nth} {effect:?}"));
            }
        }
        assert!(tried >= 12, "{}: {tried}", way.name);
    }
}

#[test]
fn a_client_that_hangs_up_at_any_moment_can_send_its_request_again_and_counts_once() {
    for way in WAYS {
        let scene = Scene::new();
        let hub = &scene.chain.hub;
        for rounds in 0.. {
            way.begin(&scene);
            let (sent, before) = ((way.request)(&scene), way.given(&scene));
            hub.faults.jitter(Some(rounds as u64));
            let gone = sent.call(hub).abandon(rounds);
            hub.faults.jitter(None);
            let done = gone.is_some();
            way.holds(&scene, &sent, gone.as_ref(), before, &format!("after {rounds} rounds"));
            if done {
                assert!(rounds > 5, "{} waits for its ports", way.name);
                break;
            }
        }
    }
}

// ── What administrators write ──

/// A change by the admin API, each time of a record of its own.
struct Write {
    name: &'static str,
    /// Whether the same request sent again changes nothing more.
    counts_once: bool,
    request: fn(&Setup, usize) -> (&'static str, String, Value),
    /// Counts what it does: the path and the number of the trial are `{path}` and `{n}`.
    effect: &'static str,
}

fn subject(hub: &Setup, n: usize) -> String {
    hub.create_client(json!({"client_name": format!("subject-{n}")})).client_id
}

const WRITES: &[Write] = &[
    Write {
        name: "a client",
        counts_once: false,
        request: |_, n| ("POST", "clients".to_owned(), json!({"client_name": format!("made-{n}.")})),
        effect: "SELECT count(*) AS n FROM clients WHERE metadata LIKE '%made-{n}.%'",
    },
    Write {
        name: "a secret",
        counts_once: false,
        request: |hub, n| ("POST", format!("clients/{}/secrets", subject(hub, n)), json!({})),
        effect: "SELECT count(*) - 1 AS n FROM client_secrets WHERE '{path}' = 'clients/' || client || '/secrets'",
    },
    Write {
        name: "a policy",
        counts_once: true,
        request: |_, n| {
            let body = json!({"description": "x", "cedar": "forbid(principal, action, resource) when { context.hour == 25 };", "mode": "enforce"});
            ("PUT", format!("policies/p{n}"), body)
        },
        effect: "SELECT count(*) AS n FROM policies WHERE id = 'p{n}'",
    },
    Write {
        name: "a connection",
        counts_once: true,
        request: |_, n| ("PUT", format!("connections/c{n}"), connections::body(0, &[connections::READ])),
        effect: "SELECT count(*) AS n FROM connections WHERE name = 'c{n}'",
    },
    Write {
        name: "a suspension",
        counts_once: true,
        request: |hub, n| ("POST", format!("clients/{}/suspend", subject(hub, n)), json!({})),
        effect: "SELECT count(*) AS n FROM clients WHERE '{path}' = 'clients/' || id || '/suspend' AND status = 'suspended'",
    },
    Write {
        name: "a kill",
        counts_once: true,
        request: |hub, n| ("POST", format!("clients/{}/kill", subject(hub, n)), json!({})),
        effect: "SELECT count(*) AS n FROM clients WHERE '{path}' = 'clients/' || id || '/kill' AND status = 'retired'",
    },
    Write {
        name: "a removal",
        counts_once: true,
        request: |hub, n| ("DELETE", format!("clients/{}", subject(hub, n)), json!({})),
        effect: "SELECT 1 - count(*) AS n FROM clients WHERE '{path}' = 'clients/' || id",
    },
];

/// A [`Write`] that is tried, with an administrator's token.
struct Trial<'a> {
    hub: &'a Setup,
    write: &'a Write,
    token: &'a str,
    n: usize,
    request: (&'static str, String, Value),
    told: usize,
}

/// How many events say that something was changed.
fn told(hub: &Setup) -> usize {
    while !hub.db.query("SELECT 1 FROM outbox LIMIT 1").is_empty() {
        hub.relay().unwrap();
    }
    hub.deliver();
    hub.trail.query("SELECT 1 FROM events WHERE refused = 0 AND type NOT LIKE 'token.%'").len()
}

impl<'a> Trial<'a> {
    fn new(hub: &'a Setup, write: &'a Write, token: &'a str, n: usize) -> Self {
        let request = (write.request)(hub, n);
        hub.restart();
        Self { hub, write, token, n, request, told: told(hub) }
    }

    fn call(&self) -> Call<'a> {
        let (method, path, body) = &self.request;
        let call = self.hub.call(method, &format!("/t/main/admin/{path}")).bearer(self.token);
        if *method == "DELETE" { call.header("if-match", "*") } else { call.json(body) }
    }

    /// How often it has happened, by the records and by the events, which agree.
    fn happened(&self, place: &str) -> usize {
        let sql = self.write.effect.replace("{path}", &self.request.1).replace("{n}", &self.n.to_string());
        let effect = self.hub.db.query(&sql)[0]["n"].as_u64().unwrap() as usize;
        assert_eq!(told(self.hub) - self.told, effect, "{}: {place}", self.write.name);
        effect
    }

    /// What was answered has happened, with its event; sent again, it has happened once more or is refused because it has.
    fn holds(&self, first: Option<&Reply>, place: &str) {
        let place = format!("{} {place}: {first:?}", self.write.name);
        let before = self.happened(&place);
        assert!(before <= 1, "{place}");
        match first.map(|reply| reply.status) {
            Some(200..=299) => assert_eq!(before, 1, "{place}"),
            Some(status) => assert_eq!(status, 503, "{place}"),
            None => {}
        }
        let moment = self.hub.clock.now();
        let again = self.call().send();
        match again.status {
            200..=299 => {}
            404 | 409 | 412 | 428 => assert_eq!((before, self.write.counts_once), (1, true), "{place}, then {again:?}"),
            _ => panic!("{place}, then {again:?}"),
        }
        let most = if self.write.counts_once { 1 } else { before + 1 };
        assert_eq!(self.happened(&place), most, "{place}, then {again:?}");
        assert_eq!(self.hub.clock.now(), moment, "nobody waits: {place}");
    }
}

#[test]
fn whichever_call_of_a_port_fails_or_loses_its_reply_a_change_has_happened_once_with_its_event_or_not_at_all() {
    for write in WRITES {
        let hub = Setup::new();
        let token = hub.admin_token();
        let (mut trials, mut tried) = (0.., 0);
        for (port, effect) in PORTS.into_iter().flat_map(|port| [(port, Effect::Fails), (port, Effect::LosesReply)]) {
            for nth in 0.. {
                let trial = Trial::new(&hub, write, &token, trials.next().unwrap());
                let reached = hub.faults.calls(port) + nth;
                hub.faults.fail_nth(port, nth, effect);
                let reply = trial.call().send();
                hub.faults.heal();
                if hub.faults.calls(port) <= reached {
                    break;
                }
                tried += 1;
                trial.holds(Some(&reply), &format!("{port:?} {nth} {effect:?}"));
            }
        }
        assert!(tried >= 6, "{}: {tried}", write.name);
    }
}

#[test]
fn an_administrator_who_hangs_up_at_any_moment_leaves_a_change_whole_or_not_made() {
    for write in WRITES {
        let hub = Setup::new();
        let token = hub.admin_token();
        for rounds in 0.. {
            let trial = Trial::new(&hub, write, &token, rounds);
            hub.faults.jitter(Some(rounds as u64));
            let gone = trial.call().abandon(rounds);
            hub.faults.jitter(None);
            trial.holds(gone.as_ref(), &format!("after {rounds} rounds"));
            if gone.is_some() {
                assert!(rounds > 5, "{} waits for its ports", write.name);
                break;
            }
        }
    }
}
