//! `connections/{name}/token`: who gets a downstream token, how often the provider is asked, and what its trouble breaks.

use super::chain::{ACCESS_TOKEN, EXCHANGE, ID_TOKEN};
use super::connections::{self, CANARY, READ, TOKEN_URI, WRITE, service_account};
use crate::support::hub::{Call, ISSUER, Isolate, RESOURCE, decode, with_claims};
use crate::support::keys::{rsa_jwk, verifies};
use crate::support::run::Clock;
use crate::support::{Credentials, Effect, Port, Reply, Scripted, Setup};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Waker};
use writ::crypto::unb64;
use writ::ports::{Alg, FetchError, Outbound};

const PATH: &str = "/t/main/connections/warehouse/token";
/// In every downstream token.
const UPSTREAM: &str = "upstream-canary";
/// In everything else that the provider says.
const WORDS: &str = "words-of-the-provider";

/// A strict stand-in for Google's token endpoint.
struct Google {
    clock: Clock,
    /// Key id, public key and token endpoint by address.
    accounts: RefCell<HashMap<String, (String, String)>>,
    lifetime: Cell<u64>,
    delay_millis: Cell<u64>,
    /// Says this instead, if there is something.
    instead: RefCell<Option<Scripted>>,
    /// The scopes of all exchanges so far.
    exchanges: RefCell<Vec<String>>,
}

impl Google {
    fn open(hub: &Setup) -> Rc<Self> {
        let google = Rc::new(Self {
            clock: hub.clock.clone(),
            accounts: RefCell::default(),
            lifetime: Cell::new(3600),
            delay_millis: Cell::new(0),
            instead: RefCell::default(),
            exchanges: RefCell::default(),
        });
        let answering = google.clone();
        hub.fetch.answer(move |request| answering.answer(request));
        google
    }

    fn add(&self, n: usize) {
        let account = service_account(n);
        let member = |name: &str| account[name].as_str().unwrap().to_owned();
        self.accounts.borrow_mut().insert(member("client_email"), (member("private_key_id"), rsa_jwk(n)));
    }

    fn asked(&self) -> usize {
        self.exchanges.borrow().len()
    }

    fn answer(&self, request: &Outbound) -> Scripted {
        if let Some(instead) = self.instead.borrow().clone() {
            self.exchanges.borrow_mut().push(String::new());
            return instead;
        }
        match self.check(request) {
            Ok(scope) => {
                self.exchanges.borrow_mut().push(scope);
                let token = format!("ya29.{UPSTREAM}.{}", self.asked());
                let body = json!({"access_token": token, "expires_in": self.lifetime.get(), "token_type": "Bearer"});
                Scripted::json(200, body).after(self.delay_millis.get())
            }
            Err(why) => {
                Scripted::json(400, json!({"error": "invalid_grant", "error_description": format!("{WORDS}: {why}")}))
            }
        }
    }

    /// Everything that Google looks at; the scope of a good request.
    fn check(&self, request: &Outbound) -> Result<String, &'static str> {
        let header =
            |name: &str| request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        if (request.method, request.url.as_str()) != ("POST", TOKEN_URI) {
            return Err("method or URL");
        }
        if header("content-type") != Some("application/x-www-form-urlencoded") || header("authorization").is_some() {
            return Err("headers");
        }
        let form: Vec<(String, String)> =
            form_urlencoded::parse(request.body.as_ref().unwrap().as_bytes()).into_owned().collect();
        let [(grant_name, grant), (assertion_name, assertion)] = form.as_slice() else { return Err("parameters") };
        if (grant_name.as_str(), grant.as_str()) != ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer") {
            return Err("grant type");
        }
        if assertion_name != "assertion" {
            return Err("assertion");
        }
        let (header, claims) = decode(assertion);
        let accounts = self.accounts.borrow();
        let (kid, jwk) = accounts.get(claims["iss"].as_str().unwrap()).ok_or("account")?;
        if header != json!({"alg": "RS256", "typ": "JWT", "kid": kid}) {
            return Err("header");
        }
        let (input, signature) = assertion.rsplit_once('.').unwrap();
        if !verifies(Alg::Rs256, jwk, input.as_bytes(), &unb64(signature).unwrap()) {
            return Err("signature");
        }
        let mut names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        if names != ["aud", "exp", "iat", "iss", "scope"] || claims["aud"] != TOKEN_URI {
            return Err("claims");
        }
        let (iat, exp) = (claims["iat"].as_u64().ok_or("iat")?, claims["exp"].as_u64().ok_or("exp")?);
        if exp - iat > 3600 || iat > self.clock.seconds() || self.clock.seconds() > iat + 30 {
            return Err("times");
        }
        Ok(claims["scope"].as_str().unwrap().to_owned())
    }
}

/// An agent, a resource server, a connection called `warehouse`, and a policy that lets the one lease from the other.
struct Shop {
    hub: Setup,
    google: Rc<Google>,
    agent: Credentials,
    server: Credentials,
}

fn shop() -> Shop {
    let hub = Setup::new();
    let google = Google::open(&hub);
    let agent = hub.agent("reader", "mcp:read mcp:write");
    let server = hub.create_client(json!({
        "kind": "resource_server", "allowed_resources": [RESOURCE], "grant_types": ["client_credentials", EXCHANGE],
    }));
    let shop = Shop { hub, google, agent, server };
    shop.google.add(8);
    shop.connect("warehouse", 8, &[READ]);
    shop.permit("warehouse", r#"when { context.scopes.contains("mcp:read") }"#);
    shop
}

impl Shop {
    fn connect(&self, name: &str, key: usize, scopes: &[&str]) {
        let path = format!("connections/{name}");
        let old = self.hub.admin("GET", &path).send();
        let call = self.hub.admin("PUT", &path).json(&connections::body(key, scopes));
        let call = match old.header("etag") {
            Some(etag) => call.header("if-match", etag),
            None => call,
        };
        let reply = call.send();
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    }

    fn permit(&self, connection: &str, condition: &str) {
        let head = format!(r#"principal == Client::"{}", action == Action::"lease""#, self.agent.client_id);
        let cedar = format!(r#"permit({head}, resource == Connection::"{connection}") {condition};"#);
        self.hub.put_policy(&format!("lease-{connection}"), &cedar);
    }

    fn subject_token(&self) -> String {
        self.hub.access_token(&self.agent, "mcp:read")
    }

    /// A lease with a token of its own, to be changed and sent.
    fn call(&self, more: &[(&str, &str)]) -> Call<'_> {
        self.call_with(&self.subject_token(), more)
    }

    fn call_with(&self, subject_token: &str, more: &[(&str, &str)]) -> Call<'_> {
        let form: Vec<_> = [("subject_token", subject_token)].iter().chain(more).copied().collect();
        self.hub.call("POST", PATH).basic(&self.server).form(&form)
    }

    fn lease(&self) -> Reply {
        self.call(&[]).send()
    }

    /// The same at the token endpoint, for the connection of that name.
    fn exchange(&self, connection: &str, more: &[(&str, &str)]) -> Reply {
        let (token, resource) = (self.subject_token(), format!("{ISSUER}/connections/{connection}"));
        let usual = [
            ("grant_type", EXCHANGE),
            ("subject_token", &*token),
            ("subject_token_type", ACCESS_TOKEN),
            ("resource", &*resource),
        ];
        let kept = usual.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
        let form: Vec<_> = kept.chain(more).filter(|(_, value)| !value.is_empty()).copied().collect();
        self.hub.call("POST", "/t/main/token").basic(&self.server).form(&form).send()
    }

    fn granted(&self) -> usize {
        self.hub.events_of("lease.granted").len()
    }

    /// What the queue took of that type, in the order in which it came.
    fn sent(&self, kind: &str) -> Vec<Value> {
        let sent = self.hub.queue.sent();
        let events = sent.iter().map(|text| serde_json::from_str::<Value>(text).unwrap());
        events.filter(|event| event["type"] == kind).collect()
    }

    fn last_refusal(&self) -> Value {
        self.sent("lease.refused").pop().unwrap()
    }

    /// Leases from `isolates` in turn, all at the same time.
    fn crowd(&self, seed: u64, isolates: &[Isolate], count: usize) -> Vec<Reply> {
        let token = self.subject_token();
        let calls = (0..count).map(|n| self.call_with(&token, &[]).on(&isolates[n % isolates.len()]).future());
        self.hub.together(seed, calls.collect())
    }
}

fn refused(reply: &Reply) -> (u16, String) {
    (reply.status, reply.error())
}

#[test]
fn a_lease_is_a_short_lived_token_with_its_expiry_and_one_event_that_tells_all() {
    let shop = shop();
    let subject_token = shop.subject_token();
    let reply = shop.call_with(&subject_token, &[("tool", "bigquery_read")]).ip("10.1.2.3").send().expect(200);
    let now = shop.hub.clock.seconds();
    let token = format!("ya29.{UPSTREAM}.1");
    let wanted = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": 3600, "expires_at": now + 3600, "scope": READ,
    });
    assert_eq!(reply.json(), wanted);
    assert_eq!(reply.header("cache-control"), Some("no-store"));

    let (_, claims) = decode(&subject_token);
    let event = shop.hub.events_of("lease.granted").pop().unwrap();
    for (member, value) in [
        ("tenant", json!("main")),
        ("client", json!(shop.agent.client_id)),
        ("subject", json!(shop.agent.client_id)),
        ("resource", json!(RESOURCE)),
        ("connection", json!("warehouse")),
        ("tool", json!("bigquery_read")),
        ("resource_server", json!(shop.server.client_id)),
        ("client_name", json!("reader")),
        ("subject_name", json!("reader")),
        ("resource_server_name", json!("a client")),
        ("auth_method", json!("client_secret_basic")),
        ("scope_given", json!(READ)),
        ("ip", json!("10.1.2.3")),
        ("policies", json!(["lease-warehouse"])),
        ("expires_at", json!(now + 3600)),
        ("jti_hash", json!(writ::crypto::sha256(claims["jti"].as_str().unwrap()).to_text())),
    ] {
        assert_eq!(event[member], value, "{member}");
    }
    assert_eq!(event["decision"], event["id"]);
    assert!(event["policy_version"].as_str().is_some_and(|version| !version.is_empty()));
    assert!(event.get("scope_asked").is_none());
}

/// RFC 8693, with the connection as the `resource`.
#[test]
fn a_token_exchange_for_a_connection_is_a_lease() {
    let shop = shop();
    let at_connection = shop.call(&[("scope", READ), ("tool", "query")]).send().expect(200).json();
    let exchanged = shop.exchange("warehouse", &[("scope", READ), ("tool", "query")]).expect(200);
    let answer = exchanged.json();
    assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
    for same in ["access_token", "token_type", "expires_in", "scope"] {
        assert_eq!(answer[same], at_connection[same], "{same}");
    }
    assert!(answer.get("refresh_token").is_none() && exchanged.header("cache-control") == Some("no-store"));
    let events = shop.sent("lease.granted");
    let [one, other] = events.as_slice() else { panic!("{events:?}") };
    for same in ["client", "subject", "connection", "resource_server", "tool", "scope_given", "auth_method"] {
        assert!(one.get(same).is_some() && one[same] == other[same], "{same}: {one} {other}");
    }
    assert_eq!(shop.google.asked(), 1);
    // `audience` names it as well, and both may name the same.
    let uri = format!("{ISSUER}/connections/warehouse");
    shop.exchange("warehouse", &[("audience", &uri)]).expect(200);
    shop.exchange("warehouse", &[("resource", ""), ("audience", &uri)]).expect(200);
}

#[test]
fn a_lease_by_token_exchange_that_rests_on_an_approval_has_its_id() {
    let shop = shop();
    assert!(shop.exchange("warehouse", &[]).expect(200).json().get("approval").is_none());
    let permit = r#"permit(principal, action == Action::"lease", resource == Connection::"warehouse");"#;
    shop.hub.put_policy("lease-warehouse", &format!("@require(\"approval\") {permit}"));
    // The same resource server for the same token: approved once, for one lease.
    let token = shop.subject_token();
    let again = || shop.exchange("warehouse", &[("subject_token", &token)]);
    let waiting = again().expect(400).json();
    assert_eq!(waiting["error"], "authorization_pending", "{waiting}");
    let path = format!("approvals/{}/decide", waiting["approval_id"].as_str().unwrap());
    shop.hub.admin("POST", &path).json(&json!({"decision": "approve"})).send().expect(200);
    let leased = again().expect(200).json();
    assert_eq!((&leased["approval"], &leased["scope"]), (&waiting["approval_id"], &json!(READ)), "{leased}");
    assert_eq!(shop.hub.events_of("lease.granted").pop().unwrap()["approval"], waiting["approval_id"]);
}

#[test]
fn an_exchange_for_a_connection_is_refused_as_a_lease_is() {
    let shop = shop();
    shop.connect("secret-plans", 8, &[READ]);
    let forbidden = shop.exchange("secret-plans", &[]);
    assert_eq!(refused(&forbidden), (403, "access_denied".to_owned()));
    let event = shop.last_refusal();
    assert_eq!((&event["id"], &event["reason"]), (&forbidden.json()["decision"], &json!("LeaseDenied")));
    assert_eq!(
        (&event["client"], &event["resource_server"]),
        (&json!(shop.agent.client_id), &json!(shop.server.client_id))
    );
    let mut unknown = shop.exchange("no-such-plan", &[]).json();
    unknown["decision"] = forbidden.json()["decision"].clone();
    assert_eq!(unknown, forbidden.json());
    let other = format!("{ISSUER}/connections/other");
    for (more, code, reason) in [
        (("scope", WRITE), "invalid_scope", "LeaseScope"),
        (("subject_token", "x"), "invalid_request", "InvalidSubjectToken"),
        (("subject_token", ""), "invalid_request", "MissingSubjectToken"),
        (("subject_token_type", ID_TOKEN), "invalid_request", "UnsupportedTokenType"),
        (("subject_token_type", ""), "invalid_request", "UnsupportedTokenType"),
        (("requested_token_type", ID_TOKEN), "invalid_request", "UnsupportedRequestedTokenType"),
        (("actor_token", "x"), "invalid_request", "MalformedForm"),
    ] {
        let reply = shop.exchange("warehouse", &[more]);
        assert_eq!(refused(&reply).1, code, "{more:?}");
        let event = shop.last_refusal();
        assert_eq!((&event["reason"], &event["resource_server"]), (&json!(reason), &json!(shop.server.client_id)));
        assert!(event.get("client").is_none_or(|client| *client == shop.agent.client_id), "{event}");
    }
    for second in [RESOURCE, &other] {
        assert_eq!(refused(&shop.exchange("warehouse", &[("audience", second)])).1, "invalid_target");
    }
    // A client that serves nothing, and one that may not exchange.
    let form = |token: &str| {
        [
            ("grant_type", EXCHANGE.to_owned()),
            ("subject_token", token.to_owned()),
            ("subject_token_type", ACCESS_TOKEN.to_owned()),
            ("resource", format!("{ISSUER}/connections/warehouse")),
        ]
    };
    for (metadata, code) in [
        (json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}), "unauthorized_client"),
        (json!({"grant_types": ["client_credentials", EXCHANGE]}), "unauthorized_client"),
    ] {
        let client = shop.hub.create_client(metadata);
        let token = shop.subject_token();
        let form = form(&token);
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = shop.hub.call("POST", "/t/main/token").basic(&client).form(&form).send();
        assert_eq!(refused(&reply).1, code);
    }
    assert_eq!(shop.granted(), 0);
}

#[test]
fn a_worker_without_the_vault_key_says_where_leases_are() {
    let shop = shop();
    let token = shop.hub.isolate_with(&[("ROLES", "token"), ("VAULT_KEK", "")]);
    let (subject, resource) = (shop.subject_token(), format!("{ISSUER}/connections/warehouse"));
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &*subject),
        ("subject_token_type", ACCESS_TOKEN),
        ("resource", &*resource),
    ];
    let reply = shop.hub.call("POST", "/t/main/token").basic(&shop.server).form(&form).on(&token).send();
    assert_eq!(refused(&reply), (400, "invalid_target".to_owned()));
    assert!(reply.text.contains("{issuer}/connections/{name}/token"), "{}", reply.text);
}

#[test]
fn the_agents_token_and_the_key_never_leave_and_only_the_lease_carries_the_providers_token() {
    let shop = shop();
    let subject_token = shop.subject_token();
    let lease = shop.call_with(&subject_token, &[]).send().expect(200);
    shop.call_with(&subject_token, &[]).on(&shop.hub.isolate()).send().expect(200);
    *shop.google.instead.borrow_mut() = Some(Scripted::json(400, json!({"error": WORDS})));
    shop.hub.admin("DELETE", "connections/warehouse").send().expect(204);
    shop.connect("warehouse", 8, &[READ, WRITE]);
    shop.lease().expect(502);
    let events = format!("{:?}", shop.hub.events());

    assert!(lease.text.contains(UPSTREAM));
    let at_rest = shop.hub.dump_at_rest() + &events;
    let everything = shop.hub.dump_everything() + &events;
    let signature = subject_token.rsplit_once('.').unwrap().1;
    assert!(at_rest.contains("lease.granted") && at_rest.contains("warehouse"));
    for canary in [UPSTREAM, WORDS, signature, &shop.server.client_secret, &shop.agent.client_secret] {
        assert!(!at_rest.contains(canary), "{canary}");
    }
    for canary in connections::traces(8).iter().map(String::as_str).chain([WORDS]) {
        assert!(!everything.contains(canary), "{canary}");
    }
    let sent: String = shop.hub.fetch.requests().iter().map(|request| format!("{request:?}")).collect();
    assert!(sent.contains("assertion=") && !sent.contains(signature));
    let piece = &connections::traces(8)[0];
    assert!(!sent.contains(piece.as_str()));
}

#[test]
fn twenty_leases_at_once_in_two_isolates_ask_once_and_make_twenty_events() {
    for seed in 0..6 {
        let shop = shop();
        shop.google.delay_millis.set(700);
        let isolates = [shop.hub.isolate(), shop.hub.isolate()];
        let replies = shop.crowd(seed, &isolates, 20);
        let token = replies[0].access_token();
        assert!(replies.iter().all(|reply| reply.access_token() == token), "seed {seed}");
        assert_eq!(shop.google.asked(), 1, "seed {seed}");
        let events = shop.hub.events_of("lease.granted");
        let ids: std::collections::HashSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!((events.len(), ids.len()), (20, 20), "seed {seed}");
        for reply in &replies {
            let expires_in = reply.json()["expires_at"].as_u64().unwrap() - shop.hub.clock.seconds();
            assert!(reply.json()["expires_in"].as_u64().unwrap().abs_diff(expires_in) <= 2, "{reply:?}");
        }
    }
}

#[test]
fn leases_that_wait_for_a_failed_exchange_share_its_failure() {
    for seed in 0..6 {
        let shop = shop();
        *shop.google.instead.borrow_mut() = Some(Scripted::json(500, json!({"error": WORDS})).after(700));
        let replies = shop.crowd(seed, &[shop.hub.isolate(), shop.hub.isolate()], 20);
        for reply in &replies {
            assert_eq!(refused(reply), (502, "temporarily_unavailable".to_owned()), "seed {seed}");
        }
        assert_eq!(shop.google.asked(), 1, "seed {seed}");
        assert_eq!((shop.granted(), shop.hub.events_of("lease.refused").len()), (0, 20));
        *shop.google.instead.borrow_mut() = None;
        shop.lease().expect(200);
    }
}

#[test]
fn leases_that_wait_share_even_a_token_that_is_too_short_to_be_reused() {
    let shop = shop();
    shop.google.lifetime.set(60);
    shop.google.delay_millis.set(700);
    let replies = shop.crowd(1, &[shop.hub.isolate(), shop.hub.isolate()], 10);
    assert!(replies.iter().all(|reply| reply.access_token() == replies[0].access_token()));
    assert_eq!(shop.google.asked(), 1);
    shop.lease().expect(200);
    assert_eq!(shop.google.asked(), 2);
}

#[test]
fn leases_that_wait_do_not_fall_back_to_a_token_that_is_about_to_expire() {
    for (works, status) in [(true, 200), (false, 502)] {
        let shop = shop();
        let old = shop.lease().access_token();
        shop.hub.clock.advance(3500);
        shop.google.delay_millis.set(700);
        if !works {
            *shop.google.instead.borrow_mut() = Some(Scripted::json(500, json!({})).after(700));
        }
        for reply in shop.crowd(2, &[shop.hub.isolate(), shop.hub.isolate()], 6) {
            assert_eq!(reply.status, status, "{reply:?}");
            assert!(!reply.text.contains(&old));
        }
        assert_eq!(shop.google.asked(), 2);
    }
}

#[test]
fn a_token_is_reused_until_two_minutes_before_it_expires() {
    let shop = shop();
    let first = shop.lease().access_token();
    shop.hub.clock.advance(3600 - 121);
    let again = shop.lease().expect(200);
    assert_eq!((again.access_token(), again.json()["expires_in"].clone()), (first.clone(), json!(121)));
    assert_eq!(shop.call(&[]).on(&shop.hub.isolate()).send().access_token(), first, "isolates share");
    shop.hub.clock.advance(1);
    let next = shop.lease().expect(200);
    assert_ne!(next.access_token(), first);
    assert_eq!((next.json()["expires_in"].clone(), shop.google.asked()), (json!(3600), 2));
    assert_eq!(shop.granted(), 4);
}

#[test]
fn a_lease_of_a_known_token_reads_neither_d1_nor_kv() {
    let shop = shop();
    let token = shop.subject_token();
    shop.call_with(&token, &[]).send().expect(200);
    let before = (shop.hub.faults.calls(Port::Db), shop.hub.faults.calls(Port::Kv), shop.hub.faults.calls(Port::Queue));
    shop.call_with(&token, &[]).send().expect(200);
    let after = (shop.hub.faults.calls(Port::Db), shop.hub.faults.calls(Port::Kv), shop.hub.faults.calls(Port::Queue));
    assert_eq!(after, (before.0, before.1, before.2 + 1));
}

#[test]
fn scope_is_narrowed_on_demand_and_shared_by_all_its_spellings() {
    let shop = shop();
    shop.connect("warehouse", 8, &[READ, WRITE]);
    let scopes = |scope: &str| shop.call(&[("scope", scope)]).send().expect(200).json()["scope"].clone();
    assert_eq!(scopes(READ), READ);
    let both = format!("{READ} {WRITE}");
    assert_eq!(scopes(&format!("{WRITE} {READ}")), both);
    assert_eq!(scopes(&both), both);
    assert_eq!(shop.lease().json()["scope"], both);
    assert_eq!(*shop.google.exchanges.borrow(), [READ.to_owned(), both.clone()]);
    let event = shop.sent("lease.granted").swap_remove(1);
    assert_eq!((&event["scope_asked"], &event["scope_given"]), (&json!(format!("{WRITE} {READ}")), &json!(both)));
}

#[test]
fn scope_that_the_connection_does_not_offer_is_refused() {
    let shop = shop();
    for (scope, reason) in [
        (WRITE, "LeaseScope"),
        (&format!("{READ} {WRITE}"), "LeaseScope"),
        (" ", "LeaseScope"),
        ("a\"b", "MalformedScope"),
    ] {
        let reply = shop.call(&[("scope", scope)]).send();
        assert_eq!(refused(&reply), (400, "invalid_scope".to_owned()), "{scope}");
        assert_eq!(shop.last_refusal()["reason"], reason, "{scope}");
    }
    assert_eq!(shop.google.asked(), 0);
}

#[test]
fn an_unknown_connection_looks_like_a_forbidden_one() {
    let shop = shop();
    shop.connect("secret-plans", 8, &[READ]);
    let token = shop.subject_token();
    let at = |name: &str| {
        let path = format!("/t/main/connections/{name}/token");
        shop.hub.call("POST", &path).basic(&shop.server).form(&[("subject_token", &token)]).send()
    };
    let forbidden = at("secret-plans");
    assert_eq!(refused(&forbidden), (403, "access_denied".to_owned()));
    let decision = forbidden.json()["decision"].as_str().unwrap().to_owned();
    let event = shop.last_refusal();
    assert_eq!(
        (&event["id"], &event["reason"], &event["connection"]),
        (&json!(decision), &json!("LeaseDenied"), &json!("secret-plans"))
    );
    for unknown in ["no-such-plan", "NO%20SLUG", "x%27%3BDROP%20TABLE%20connections--"] {
        let reply = at(unknown);
        assert_eq!(
            (reply.status, &reply.headers, reply.text.len()),
            (403, &forbidden.headers, forbidden.text.len()),
            "{unknown}"
        );
        let (mut one, mut other) = (reply.json(), forbidden.json());
        one["decision"] = Value::Null;
        other["decision"] = Value::Null;
        assert_eq!(one, other);
        assert_eq!(shop.last_refusal()["id"], reply.json()["decision"]);
    }
    // Not even a policy that permits everything tells them apart.
    shop.hub.put_policy("all", r#"permit(principal, action == Action::"lease", resource);"#);
    assert_eq!(refused(&at("no-such-plan")), (403, "access_denied".to_owned()));
    at("secret-plans").expect(200);
}

#[test]
fn policy_sees_the_agent_the_tool_the_server_and_the_scope() {
    let shop = shop();
    let server = &shop.server.client_id;
    let condition = format!(
        r#"when {{ principal.kind == "autonomous" && context.scopes.contains("mcp:read") && !context.scopes.contains("mcp:write")
           && context.resource_server == "{server}" && context.auth_method == "client_secret_basic"
           && context has tool && context.tool == "read" && context has ip && context.ip.isInRange(ip("10.0.0.0/8"))
           && resource.kind == "google_service_account" && context.chain.isEmpty() && !(context has subject) }}"#
    );
    let condition =
        condition.replace("context.resource_server ==", "context has resource_server && context.resource_server ==");
    let condition = condition.replace("context.auth_method ==", "context has auth_method && context.auth_method ==");
    shop.permit("warehouse", &condition);
    let with = |scope: &str, tool: &str, ip: &str| {
        let token = shop.hub.access_token(&shop.agent, scope);
        shop.call_with(&token, &[("tool", tool)]).ip(ip).send().status
    };
    assert_eq!(with("mcp:read", "read", "10.9.9.9"), 200);
    assert_eq!(with("mcp:read mcp:write", "read", "10.9.9.9"), 403);
    assert_eq!(with("mcp:read", "write", "10.9.9.9"), 403);
    assert_eq!(with("mcp:read", "read", "11.9.9.9"), 403);
}

#[test]
fn a_requirement_that_nobody_can_meet_denies_and_a_ttl_does_not() {
    let shop = shop();
    let statement = |annotation: &str| {
        format!(r#"{annotation} permit(principal, action == Action::"lease", resource == Connection::"warehouse");"#)
    };
    shop.hub.put_policy("lease-warehouse", &statement("@require(\"step_up\")"));
    assert_eq!(refused(&shop.lease()), (403, "access_denied".to_owned()));
    assert_eq!(shop.last_refusal()["detail"], "lease-warehouse requires: step_up");
    shop.hub.put_policy("lease-warehouse", &statement("@ttl(\"60\")"));
    assert_eq!(shop.lease().expect(200).json()["expires_in"], 3600);
}

#[test]
fn a_policy_change_bites_at_the_next_lease_within_the_bound() {
    let shop = shop();
    let elsewhere = shop.hub.isolate();
    let at = |isolate: &Isolate, token: &str| shop.call_with(token, &[]).on(isolate).send().status;
    let token = shop.subject_token();
    assert_eq!((at(&elsewhere, &token), shop.lease().status), (200, 200));
    shop.permit("warehouse", "when { context.now < 0 }");
    assert_eq!(shop.lease().status, 403, "the isolate that changed it knows at once");
    shop.hub.clock.advance(5);
    assert_eq!(at(&elsewhere, &token), 403);
    assert_eq!(shop.google.asked(), 1);
}

#[test]
fn a_suspended_agent_or_resource_server_leases_nothing_within_the_bound() {
    let shop = shop();
    let token = shop.subject_token();
    let elsewhere = shop.hub.isolate();
    let at = || shop.call_with(&token, &[]).on(&elsewhere).send();
    let turn = |client: &Credentials, how: &str| {
        let reply = shop.hub.admin("POST", &format!("clients/{}/{how}", client.client_id)).send();
        assert!(matches!(reply.status, 200 | 204), "{reply:?}");
        shop.hub.clock.advance(5);
    };
    at().expect(200);
    turn(&shop.agent, "suspend");
    assert_eq!(refused(&at()), (400, "invalid_request".to_owned()));
    assert_eq!(shop.last_refusal()["reason"], "InvalidSubjectToken");
    turn(&shop.agent, "resume");
    at().expect(200);
    turn(&shop.server, "suspend");
    assert_eq!(refused(&at()), (401, "invalid_client".to_owned()));
}

#[test]
fn only_a_live_token_for_a_resource_of_the_caller_is_a_subject_token() {
    let shop = shop();
    let good = shop.subject_token();
    let (_, mut claims) = decode(&good);
    claims["scope"] = json!("mcp:read mcp:write");
    let forged = with_claims(&good, &claims);
    let elsewhere = "https://elsewhere.example/mcp";
    shop.hub.create_resource(json!({"resource": elsewhere}));
    let stranger = shop.hub.create_client(json!({"allowed_resources": [elsewhere]}));
    shop.hub.put_policy("stranger", &crate::support::hub::permit(&stranger.client_id, elsewhere));
    let foreign = shop.hub.token(&stranger, &[]).access_token();

    shop.hub.create_tenant("other");
    shop.hub.create_resource_of("other", json!({}));
    let cousin = shop.hub.create_client_of("other", json!({"allowed_resources": [RESOURCE]}));
    shop.hub.put_policy_of("other", "cousin", &crate::support::hub::permit(&cousin.client_id, RESOURCE));
    let form = [("grant_type", "client_credentials")];
    let of_another_tenant = shop.hub.call("POST", "/t/other/token").basic(&cousin).form(&form).send().access_token();

    let lease = shop.call_with(&good, &[]).send().access_token();
    let wrong = [
        &shop.hub.admin_token(),
        &foreign,
        &forged,
        &of_another_tenant,
        &lease,
        &good[..good.len() - 1],
        "nonsense",
        "a.b.c",
    ];
    let mut texts: Vec<String> = Vec::new();
    for token in wrong {
        let reply = shop.call_with(token, &[]).send();
        assert_eq!(refused(&reply), (400, "invalid_request".to_owned()), "{token}");
        assert_eq!(shop.last_refusal()["reason"], "InvalidSubjectToken");
        texts.push(reply.text);
    }
    shop.hub.clock.advance(299);
    shop.call_with(&good, &[]).send().expect(200);
    shop.hub.clock.advance(300);
    let expired = shop.call_with(&good, &[]).send();
    assert_eq!(expired.status, 400);
    assert!(texts.iter().all(|text| *text == expired.text), "one answer for all");
    assert_eq!(shop.google.asked(), 1);
}

#[test]
fn a_killed_agents_token_leases_nothing() {
    let shop = shop();
    let token = shop.subject_token();
    shop.call_with(&token, &[]).send().expect(200);
    let reply = shop.hub.admin("POST", &format!("clients/{}/kill", shop.agent.client_id)).send();
    assert!(matches!(reply.status, 200 | 204), "{reply:?}");
    assert_eq!(shop.call_with(&token, &[]).send().status, 400);
}

#[test]
fn only_an_authenticated_resource_server_leases() {
    let shop = shop();
    let token = shop.subject_token();
    let form = [("subject_token", token.as_str())];
    let by = |client: &Credentials| shop.hub.call("POST", PATH).basic(client).form(&form).send();
    assert_eq!(refused(&by(&shop.agent)), (403, "unauthorized_client".to_owned()));
    let impostor = Credentials { client_secret: shop.agent.client_secret.clone(), ..shop.server.clone() };
    assert_eq!(refused(&by(&impostor)), (401, "invalid_client".to_owned()));
    assert_eq!(shop.last_refusal()["resource_server"], shop.server.client_id);
    assert_eq!(refused(&shop.hub.call("POST", PATH).form(&form).send()), (401, "invalid_client".to_owned()));
    let bearer = shop.hub.call("POST", PATH).bearer(&token).form(&form).send();
    assert_eq!(refused(&bearer), (401, "invalid_client".to_owned()));

    let method = "client_secret_post";
    let posting = shop.hub.create_client(
        json!({"kind": "resource_server", "allowed_resources": [RESOURCE], "token_endpoint_auth_method": method}),
    );
    let with_secret =
        [form[0], ("client_id", posting.client_id.as_str()), ("client_secret", posting.client_secret.as_str())];
    shop.hub.call("POST", PATH).form(&with_secret).send().expect(200);
    let both = shop.hub.call("POST", PATH).basic(&shop.server).form(&with_secret).send();
    assert_eq!(refused(&both), (400, "invalid_request".to_owned()));
}

#[test]
fn malformed_requests_are_refused_alike_and_change_nothing() {
    let shop = shop();
    let token = shop.subject_token();
    let long = "x".repeat(201);
    let call = || shop.hub.call("POST", PATH).basic(&shop.server);
    let cases = [
        (call().form(&[]), 400, "MissingSubjectToken"),
        (call().form(&[("subject_token", "")]), 400, "MissingSubjectToken"),
        (call().form(&[("subject_token", &token), ("subject_token", &token)]), 400, "DuplicateParameter"),
        (call().form(&[("subject_token", &token), ("tool", &long)]), 400, "MalformedForm"),
        (call().form(&[("subject_token", &token), ("tool", "a\nb")]), 400, "MalformedForm"),
        (call().json(&json!({"subject_token": token})), 400, "WrongMediaType"),
        (
            call().header("content-type", "application/x-www-form-urlencoded").body(vec![b'x'; 70_000]),
            413,
            "BodyTooLarge",
        ),
        (call().form(&[("subject_token", &"x".repeat(20_000))]), 400, "InvalidSubjectToken"),
    ];
    for (call, status, reason) in cases {
        let reply = call.send();
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.text.len() < 200 && !reply.text.contains("xxx"), "{reply:?}");
        let event = shop.last_refusal();
        assert_eq!(event["reason"], reason);
        assert!(event.to_string().len() < 1000, "{event}");
    }
    assert_eq!(shop.hub.call("GET", PATH).send().status, 405);
    assert_eq!(shop.hub.call("POST", "/t/nobody/connections/warehouse/token").send().status, 404);
    shop.lease().expect(200);
}

#[test]
fn a_provider_in_trouble_is_reported_without_its_words_and_nothing_of_it_sticks() {
    let shop = shop();
    let html = format!("<html>{WORDS}</html>");
    let token = |change: Value| {
        let mut body = json!({"access_token": "ya29.x", "expires_in": 3600, "token_type": "Bearer"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Scripted::json(200, body)
    };
    let failed = (502, "temporarily_unavailable");
    let cases = [
        ("unreachable", Scripted::failure(FetchError::Unreachable), failed),
        ("slow", token(json!({})).after(60_000), (504, "temporarily_unavailable")),
        ("large", Scripted::answer(200, "application/json", format!("\"{}\"", WORDS.repeat(10_000))), failed),
        ("302", Scripted::answer(302, "application/json", json!({"error": WORDS}).to_string()), failed),
        (
            "307 with a token",
            Scripted::json(307, json!({"access_token": WORDS, "expires_in": 3600, "token_type": "Bearer"})),
            failed,
        ),
        ("html", Scripted::answer(200, "text/html", html.clone()), failed),
        ("html that says it is JSON", Scripted::answer(200, "application/json", html.clone()), failed),
        (
            "JSON that says it is HTML",
            Scripted::answer(
                200,
                "text/html",
                json!({"access_token": WORDS, "expires_in": 3600, "token_type": "Bearer"}).to_string(),
            ),
            failed,
        ),
        ("half", Scripted::answer(200, "application/json", format!("{{\"{WORDS}\": [")), failed),
        (
            "twice",
            Scripted::answer(
                200,
                "application/json",
                r#"{"access_token":"a","access_token":"b","expires_in":3600,"token_type":"Bearer"}"#,
            ),
            failed,
        ),
        (
            "twice what nobody reads",
            Scripted::answer(
                200,
                "application/json",
                r#"{"access_token":"a","x":1,"x":2,"expires_in":3600,"token_type":"Bearer"}"#,
            ),
            failed,
        ),
        ("empty", Scripted::answer(200, "application/json", ""), failed),
        ("500", Scripted::json(500, json!({"error": "invalid_grant", "error_description": WORDS})), failed),
        ("429", Scripted::json(429, json!({"error": WORDS})), failed),
        (
            "201",
            Scripted::json(201, json!({"access_token": WORDS, "expires_in": 3600, "token_type": "Bearer"})),
            failed,
        ),
        ("400 in HTML", Scripted::answer(400, "text/html", html), failed),
        ("400 without a code", Scripted::json(400, json!({"error": {"message": WORDS}})), failed),
        ("no token", token(json!({"access_token": null})), failed),
        ("an empty token", token(json!({"access_token": ""})), failed),
        ("a token with a line break", token(json!({"access_token": "a\r\nb"})), failed),
        ("a token with a space", token(json!({"access_token": "a b"})), failed),
        ("a token of 17 KB", token(json!({"access_token": "a".repeat(17_000)})), failed),
        ("a proof token", token(json!({"token_type": "DPoP"})), failed),
        ("no type", token(json!({"token_type": null})), failed),
        ("no lifetime", token(json!({"expires_in": null})), failed),
        ("a lifetime in words", token(json!({"expires_in": "3600"})), failed),
        ("a broken lifetime", token(json!({"expires_in": 3600.5})), failed),
        ("a lifetime of 59 s", token(json!({"expires_in": 59})), failed),
        ("a lifetime of more than a day", token(json!({"expires_in": 86_401})), failed),
        ("a negative lifetime", token(json!({"expires_in": -1})), failed),
    ];
    let mut granted = 0;
    for (name, scripted, (status, error)) in cases {
        shop.hub.db.execute("DELETE FROM leases");
        shop.hub.restart();
        *shop.google.instead.borrow_mut() = Some(scripted);
        let reply = shop.lease();
        assert_eq!((reply.status, reply.error().as_str()), (status, error), "{name}");
        assert!(reply.text.len() < 200, "{name}: {reply:?}");
        *shop.google.instead.borrow_mut() = None;
        let before = shop.hub.clock.now();
        shop.lease().expect(200);
        assert_eq!(shop.hub.clock.now(), before, "{name}: the next lease need not wait");
        granted += 1;
        assert_eq!(shop.granted(), granted, "{name}");
    }
    let everything = shop.hub.dump_everything() + &format!("{:?}", shop.hub.events());
    assert!(!everything.contains(WORDS));
}

#[test]
fn a_redirect_is_not_followed() {
    let shop = shop();
    *shop.google.instead.borrow_mut() = Some(Scripted::json(307, json!({})));
    shop.lease().expect(502);
    assert_eq!((shop.hub.fetch.requests().len(), &shop.last_refusal()["detail"]), (1, &json!("it redirects")));
}

#[test]
fn a_credential_that_the_provider_refuses_is_named_by_an_oauth_code_and_nothing_else() {
    let shop = shop();
    for (status, code, detail) in [
        (400, "invalid_grant", json!("invalid_grant")),
        (401, "invalid_client", json!("invalid_client")),
        (400, WORDS, Value::Null),
    ] {
        *shop.google.instead.borrow_mut() =
            Some(Scripted::json(status, json!({"error": code, "error_description": WORDS})));
        let reply = shop.lease();
        assert_eq!(refused(&reply), (502, "access_denied".to_owned()));
        assert!(!reply.text.contains("invalid_") && !reply.text.contains(WORDS));
        let event = shop.last_refusal();
        assert_eq!((&event["reason"], &event["detail"]), (&json!("ProviderRefused"), &detail));
    }
    *shop.google.instead.borrow_mut() = None;
    shop.connect("warehouse", 9, &[READ]);
    let reply = shop.lease();
    assert_eq!(refused(&reply), (502, "access_denied".to_owned()), "an account that the provider does not know");
    shop.google.add(9);
    shop.lease().expect(200);
}

#[test]
fn another_credential_means_another_token() {
    let shop = shop();
    let first = shop.lease().access_token();
    shop.google.add(9);
    shop.connect("warehouse", 9, &[READ]);
    assert_ne!(shop.lease().access_token(), first);
    shop.hub.restart();
    assert_ne!(shop.lease().access_token(), first);
    assert_eq!((shop.google.asked(), shop.hub.db.query("SELECT * FROM leases").len()), (2, 1));
}

#[test]
fn what_a_late_isolate_stored_for_the_old_credential_is_not_handed_out() {
    let shop = shop();
    let old = shop.lease().access_token();
    let row = shop.hub.db.query("SELECT * FROM leases").remove(0);
    shop.google.add(9);
    shop.connect("warehouse", 9, &[READ]);
    let text = |column: &str| row[column].as_str().unwrap();
    shop.hub.db.execute(&format!(
        "INSERT INTO leases (tenant, connection, scope, credential, sealed, expires_at) \
         VALUES ('main', 'warehouse', '{}', '{}', '{}', {})",
        text("scope"),
        text("credential"),
        text("sealed"),
        row["expires_at"]
    ));
    shop.google.delay_millis.set(700);
    for reply in shop.crowd(4, &[shop.hub.isolate(), shop.hub.isolate()], 4) {
        assert_ne!(reply.access_token(), old);
    }
    assert_eq!(shop.google.asked(), 2);
}

#[test]
fn a_deleted_connection_leases_nothing_and_keeps_nothing() {
    let shop = shop();
    let elsewhere = shop.hub.isolate();
    let token = shop.subject_token();
    shop.call_with(&token, &[]).on(&elsewhere).send().expect(200);
    shop.lease().expect(200);
    shop.hub.admin("DELETE", "connections/warehouse").send().expect(204);
    assert_eq!(refused(&shop.lease()), (403, "access_denied".to_owned()));
    shop.hub.clock.advance(5);
    assert_eq!(shop.call_with(&token, &[]).on(&elsewhere).send().status, 403);
    assert!(shop.hub.db.query("SELECT * FROM leases").is_empty());
    assert!(shop.hub.db.query("SELECT * FROM credentials").is_empty());
}

#[test]
fn what_is_fetched_for_a_connection_that_goes_meanwhile_is_dropped() {
    let shop = shop();
    shop.google.delay_millis.set(700);
    let (token, admin) = (shop.subject_token(), shop.hub.admin_token());
    let delete = async {
        writ::ports::Timer::sleep(&shop.hub.clock, 300).await;
        shop.hub.call("DELETE", "/t/main/admin/connections/warehouse").bearer(&admin).future().await
    };
    let replies = shop.hub.together(1, vec![shop.call_with(&token, &[]).future(), Box::pin(delete)]);
    assert_eq!((replies[0].status, replies[1].status), (503, 204));
    assert_eq!((shop.google.asked(), shop.granted()), (1, 0));
    assert_eq!(shop.lease().status, 403);
}

#[test]
fn ciphertexts_keys_and_tokens_of_another_place_do_not_open() {
    let shop = shop();
    shop.google.add(9);
    shop.connect("annex", 9, &[READ]);
    shop.permit("annex", "");
    let lease = |name: &str| {
        shop.hub.restart();
        let token = shop.subject_token();
        let path = format!("/t/main/connections/{name}/token");
        shop.hub.call("POST", &path).basic(&shop.server).form(&[("subject_token", &token)]).send()
    };
    // Gives each of two rows what the other one has.
    let swap = |table: &str, column: &str| {
        let rows = shop.hub.db.query(&format!("SELECT connection, {column} AS value FROM {table}"));
        for (one, other) in [(0, 1), (1, 0)] {
            let (connection, value) =
                (rows[one]["connection"].as_str().unwrap(), rows[other]["value"].as_str().unwrap());
            shop.hub.db.execute(&format!("UPDATE {table} SET {column} = '{value}' WHERE connection = '{connection}'"));
        }
    };
    swap("credentials", "wrapped_key");
    assert_eq!((lease("warehouse").status, lease("annex").status), (500, 500));
    swap("credentials", "wrapped_key");

    let rows = shop.hub.db.query("SELECT id FROM credentials");
    let keys: Vec<String> = rows.iter().map(|row| format!("credential/main/{}", row["id"].as_str().unwrap())).collect();
    let swap_ciphertexts = || {
        let [one, two] = [&keys[0], &keys[1]].map(|key| shop.hub.kv.value(key));
        shop.hub.kv.set(&keys[0], two);
        shop.hub.kv.set(&keys[1], one);
    };
    swap_ciphertexts();
    assert_eq!((lease("warehouse").status, lease("annex").status), (500, 500));
    swap_ciphertexts();
    assert_eq!(shop.google.asked(), 0);

    assert_eq!((lease("warehouse").status, lease("annex").status), (200, 200));
    swap("leases", "sealed");
    assert_eq!((lease("warehouse").status, lease("annex").status), (500, 500));
}

#[test]
fn another_vault_key_reads_nothing_and_an_older_one_still_does() {
    let shop = shop();
    let token = shop.subject_token();
    let (old, new) = (crate::support::hub::VAULT_KEK, "2:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    let with = |kek: &str| {
        let isolate = shop.hub.isolate_with(&[("VAULT_KEK", kek)]);
        shop.call_with(&token, &[]).on(&isolate).send().status
    };
    assert_eq!(with(new), 500);
    assert_eq!(with(&new.replace("2:", "1:")), 500);
    assert_eq!(shop.google.asked(), 0);
    assert_eq!(with(&format!("{new} {old}")), 200);
    assert_eq!(with(new), 500, "a token of the old key is not readable either");
}

#[test]
fn a_ciphertext_that_kv_does_not_show_yet_is_a_503() {
    let shop = shop();
    shop.lease().expect(200);
    shop.google.add(9);
    shop.connect("warehouse", 9, &[READ]);
    let token = shop.subject_token();
    shop.hub.kv.serve_stale(1);
    let reply = shop.call_with(&token, &[]).send();
    assert_eq!(refused(&reply), (503, "temporarily_unavailable".to_owned()));
    assert_eq!(shop.google.asked(), 1);
    shop.call_with(&token, &[]).send().expect(200);
}

#[test]
fn whichever_port_call_fails_there_is_no_token_without_its_event_and_the_next_lease_works() {
    let shop = shop();
    for port in [Port::Db, Port::Kv, Port::Queue, Port::Fetch, Port::Keys] {
        for effect in [Effect::Fails, Effect::LosesReply] {
            let mut reached = 0;
            for nth in 0.. {
                shop.hub.db.execute("DELETE FROM leases");
                shop.hub.restart();
                let token = shop.subject_token();
                let elsewhere = shop.hub.isolate();
                let granted = shop.granted();
                let before = shop.hub.faults.calls(port);
                shop.hub.faults.fail_nth(port, nth, effect);
                let reply = shop.call_with(&token, &[]).on(&elsewhere).send();
                shop.hub.faults.heal();
                let where_ = format!("{port:?} {nth} {effect:?}: {reply:?}");
                if shop.hub.faults.calls(port) <= before + nth {
                    break;
                }
                reached += 1;
                match reply.status {
                    200 => assert_eq!(shop.granted(), granted + 1, "{where_}"),
                    502 | 503 => assert!(!reply.text.contains(UPSTREAM), "{where_}"),
                    _ => panic!("{where_}"),
                }
                let moment = shop.hub.clock.now();
                shop.call_with(&token, &[]).on(&elsewhere).send().expect(200);
                assert_eq!(shop.hub.clock.now(), moment, "the next lease need not wait; {where_}");
            }
            assert!(reached > 0, "{port:?} is never called");
        }
    }
}

#[test]
fn without_a_durable_event_there_is_no_token() {
    let shop = shop();
    let token = shop.subject_token();
    shop.call_with(&token, &[]).send().expect(200);
    shop.hub.events();
    shop.hub.faults.fail(Port::Queue);
    shop.call_with(&token, &[]).send().expect(200);
    assert_eq!(shop.hub.db.query("SELECT id FROM outbox").len(), 1);
    shop.hub.faults.fail_when(Port::Db, |call| call.text.contains("outbox"), Effect::Fails);
    let granted = shop.call_with(&token, &[]).send();
    assert_eq!(refused(&granted), (503, "temporarily_unavailable".to_owned()));
    let refusal = shop.call_with("nonsense", &[]).send();
    assert_eq!((refusal.status, &refusal.text), (503, &granted.text));
    assert!(!granted.text.contains(UPSTREAM));
    shop.hub.faults.heal();
    shop.call_with(&token, &[]).send().expect(200);
}

#[test]
fn the_longest_token_that_registration_allows_is_taken_by_every_endpoint() {
    let Shop { hub, .. } = &shop();
    let resource = format!("https://mcp.example/{}", "a".repeat(490));
    let body = |length: usize| {
        let scopes = (0..100).map(|n| json!({"name": format!("{n:03}{}", "s".repeat(length - 3)), "description": "x"}));
        json!({"resource": resource, "name": "long", "scopes": scopes.collect::<Vec<_>>()})
    };
    let refused = hub.admin("POST", "resources").json(&body(61)).send().expect(400);
    assert!(refused.json()["detail"].as_str().unwrap().contains("`scopes`"), "{refused:?}");
    hub.create_resource(body(60));
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    let agent = hub.create_client(json!({"grant_types": ["client_credentials", exchange]}));
    let server = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [resource]}));
    let principal = format!(r#"principal == Client::"{}""#, agent.client_id);
    hub.put_policy("long", &format!("permit({principal}, action, resource);"));

    let token = hub.token(&agent, &[("resource", &resource)]).access_token();
    assert!(token.len() > 8_192, "{}", token.len());
    let form = [("subject_token", &*token)];
    hub.call("POST", "/t/main/connections/warehouse/token").basic(&server).form(&form).send().expect(200);
    let introspect = || hub.call("POST", "/t/main/introspect").basic(&server).form(&[("token", &token)]).send().json();
    assert_eq!(introspect()["active"], true);
    let access_token = "urn:ietf:params:oauth:token-type:access_token";
    let form = [
        ("grant_type", exchange),
        ("subject_token", &*token),
        ("subject_token_type", access_token),
        ("actor_token", &token),
        ("actor_token_type", access_token),
        ("resource", &resource),
    ];
    let next = hub.call("POST", "/t/main/token").basic(&agent).form(&form).send().access_token();
    assert!(next.len() > token.len());
    hub.call("POST", "/t/main/revoke").basic(&agent).form(&[("token", &token)]).send().expect(200);
    assert_eq!(introspect()["active"], false);
}

#[test]
fn a_client_that_hangs_up_at_any_moment_leaves_no_other_waiting_longer_than_the_exchange_takes() {
    for rounds in 0.. {
        let shop = shop();
        let token = shop.subject_token();
        shop.google.delay_millis.set(2_000);
        shop.hub.faults.jitter(Some(rounds as u64));
        let gone = shop.call_with(&token, &[]).abandon(rounds);
        shop.hub.faults.jitter(None);
        let before = shop.hub.clock.seconds();
        let other = shop.call_with(&token, &[]).on(&shop.hub.isolate()).send();
        assert_eq!(other.status, 200, "after {rounds} rounds: {other:?}");
        assert!(shop.hub.clock.seconds() - before <= 4, "after {rounds} rounds");
        assert_eq!(shop.google.asked(), 1, "after {rounds} rounds");
        if gone.is_some() {
            assert!(rounds > 10);
            return;
        }
    }
}

#[test]
fn a_holder_that_vanishes_blocks_nobody_for_longer_than_its_claim() {
    let shop = shop();
    let token = shop.subject_token();
    shop.google.delay_millis.set(5_000);
    let mut vanishing = shop.call_with(&token, &[]).future();
    while shop.hub.fetch.requests().is_empty() {
        assert!(vanishing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(vanishing);
    shop.hub.clock.end_what_is_held();
    shop.google.delay_millis.set(0);

    let impatient = shop.call_with(&token, &[]).send();
    assert_eq!(refused(&impatient), (504, "temporarily_unavailable".to_owned()));
    let before = shop.hub.clock.seconds();
    shop.call_with(&token, &[]).send().expect(200);
    assert!(shop.hub.clock.seconds() - before <= 6, "what is left of 20 seconds");
    assert_eq!(shop.google.asked(), 2);
}

#[test]
fn a_wait_stays_below_the_subrequests_of_a_free_plan() {
    let shop = shop();
    let token = shop.subject_token();
    shop.google.delay_millis.set(9_000);
    let (holder, waiter) = (shop.hub.isolate(), shop.hub.isolate());
    shop.call_with(&token, &[]).on(&waiter).send().expect(200);
    shop.hub.db.execute("DELETE FROM leases");
    shop.connect("warehouse", 8, &[READ]);
    shop.hub.clock.advance(5);
    let before = shop.hub.faults.calls(Port::Db) + shop.hub.faults.calls(Port::Kv) + shop.hub.faults.calls(Port::Queue);
    let calls =
        vec![shop.call_with(&token, &[]).on(&holder).future(), shop.call_with(&token, &[]).on(&waiter).future()];
    let replies = shop.hub.together(3, calls);
    assert_eq!((replies[0].status, replies[1].status), (200, 200));
    let after = shop.hub.faults.calls(Port::Db) + shop.hub.faults.calls(Port::Kv) + shop.hub.faults.calls(Port::Queue);
    assert!(after - before < 50, "{} calls of both together", after - before);
}

#[test]
fn the_canary_is_in_the_key_file() {
    assert!(service_account(8).to_string().contains(CANARY));
}
