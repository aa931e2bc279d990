//! Quotas of a tenant: who sets them, what they count, and what it costs.

use super::admin::detail;
use super::connections;
use crate::support::hub::{Call, RESOURCE, permit};
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::{Value, json};

const NOTHING: &str = "forbid(principal, action == Action::\"lease\", resource);";

fn tenant<'a>(hub: &'a Setup, by: &str, of: &str, settings: &Value) -> Call<'a> {
    let path = format!("tenants/{of}");
    let shown = hub.admin_of(by, "GET", &path).send().expect(200).json();
    let body = json!({"name": shown["name"], "zone": shown["zone"], "settings": settings});
    hub.admin_of(by, "PUT", &path).header("if-match", "*").json(&body)
}

/// Sets the quotas of a tenant, as an administrator of `main` does.
pub fn set(hub: &Setup, of: &str, quotas: Value) {
    tenant(hub, "main", of, &json!({"quotas": quotas})).send().expect(200);
}

fn quotas(hub: &Setup, of: &str) -> Value {
    hub.admin_of(of, "GET", &format!("tenants/{of}")).send().expect(200).json()["settings"]["quotas"].clone()
}

/// A request that makes one of a kind in `main`.
fn make<'a>(hub: &'a Setup, token: &str, kind: &str, n: usize) -> Call<'a> {
    let path = |path: String| format!("/t/main/admin/{path}");
    match kind {
        "clients" => hub.call("POST", &path("clients".to_owned())).json(&json!({"client_name": n.to_string()})),
        "policies" => hub.call("PUT", &path(format!("policies/p{n}"))).json(&json!({"cedar": NOTHING})),
        _ => hub.call("PUT", &path(format!("connections/c{n}"))).json(&connections::body(0, &[connections::READ])),
    }
    .bearer(token)
}

fn count(hub: &Setup, kind: &str) -> usize {
    hub.db.query(&format!("SELECT 1 FROM {kind} WHERE tenant = 'main'")).len()
}

const KINDS: [&str; 3] = ["clients", "connections", "policies"];

#[track_caller]
fn full(reply: &Reply, kind: &str, most: usize, count: usize) {
    assert_eq!((reply.status, reply.error().as_str()), (409, "quota_reached"), "{reply:?}");
    let told = detail(reply);
    assert!(
        told.starts_with(&format!("the quota `{kind}` of this tenant is {most}, and there are {count}: ")),
        "{told}"
    );
}

#[test]
fn a_quota_over_a_count_refuses_what_is_beyond_it_and_says_which_and_how_many_there_are() {
    for kind in KINDS {
        let hub = Setup::new();
        let token = hub.admin_token();
        let there = count(&hub, kind);
        set(&hub, "main", json!({kind: there + 2}));
        let make = |n| make(&hub, &token, kind, n).send();
        make(0).expect(201);
        make(1).expect(201);
        let (keys, events) = (hub.kv.keys(), hub.events().len());
        full(&make(2), kind, there + 2, there + 2);
        assert_eq!((count(&hub, kind), hub.kv.keys()), (there + 2, keys), "{kind}");
        assert_eq!(hub.events().len(), events + 1, "the refusal alone");
        // Lowered below what is there.
        set(&hub, "main", json!({kind: 1}));
        full(&make(2), kind, 1, there + 2);
        // What is there can be changed, and makes room when it goes.
        set(&hub, "main", json!({kind: there + 2}));
        let (path, body) = match kind {
            "clients" => {
                let row = &hub.db.query("SELECT max(id) AS id FROM clients WHERE tenant = 'main'")[0];
                (format!("clients/{}", row["id"].as_str().unwrap()), json!({"client_name": "other"}))
            }
            "policies" => ("policies/p0".to_owned(), json!({"cedar": NOTHING, "description": "other"})),
            _ => ("connections/c0".to_owned(), connections::body(1, &[connections::READ])),
        };
        hub.admin("PUT", &path).header("if-match", "*").json(&body).send().expect(200);
        hub.admin("DELETE", &path).send().expect(204);
        make(3).expect(201);
        full(&make(4), kind, there + 2, there + 2);
        set(&hub, "main", json!({}));
        make(5).expect(201);
    }
}

#[test]
fn what_is_made_at_once_does_not_pass_a_quota() {
    for kind in KINDS {
        for seed in 0..15 {
            let hub = Setup::new();
            let token = hub.admin_token();
            let there = count(&hub, kind);
            set(&hub, "main", json!({kind: there + 2}));
            let isolates: Vec<_> = (0..5).map(|_| hub.isolate()).collect();
            let futures = isolates.iter().enumerate();
            let replies =
                hub.together(seed, futures.map(|(n, one)| make(&hub, &token, kind, n).on(one).future()).collect());
            let made = replies.iter().filter(|reply| reply.status == 201).count();
            // Policies that are written at once may also find that others came first.
            assert!(made == 2 || (kind == "policies" && made < 2), "{kind} {seed}: {replies:?}");
            assert_eq!(count(&hub, kind), there + made, "{kind} {seed}");
        }
    }
}

#[test]
fn a_quota_is_its_tenants_own_and_off_at_first() {
    let hub = Setup::new();
    hub.create_tenant("acme");
    assert_eq!((quotas(&hub, "main"), quotas(&hub, "acme")), (Value::Null, Value::Null));
    set(&hub, "main", json!({"clients": 1, "tokens_per_minute": 1}));
    let agent = json!({"client_name": "a", "allowed_resources": [RESOURCE]});
    for _ in 0..3 {
        hub.admin_of("acme", "POST", "clients").json(&agent).send().expect(201);
    }
    full(&hub.admin("POST", "clients").json(&agent).send(), "clients", 1, 1);
}

#[test]
fn administrators_of_the_first_tenant_alone_set_quotas() {
    let hub = Setup::new();
    let (first, raised) =
        (json!({"clients": 5, "tokens_per_minute": 100}), json!({"clients": 6, "tokens_per_minute": 100}));
    let body = json!({"id": "acme", "name": "Acme", "settings": {"quotas": {"clients": 7}}});
    let made = hub.admin("POST", "tenants").json(&body).send().expect(201).json();
    assert_eq!(made["settings"]["quotas"], json!({"clients": 7}));
    hub.first_admin("acme");
    set(&hub, "acme", first.clone());
    assert_eq!(quotas(&hub, "acme"), first);
    // Its own administrator: other quotas, fewer quotas, none at all.
    for sent in [raised.clone(), json!({"clients": 5}), json!({})] {
        let reply = tenant(&hub, "acme", "acme", &json!({"max_actors": 3, "quotas": sent})).send().expect(403);
        assert_eq!(reply.json()["reason"], "FirstTenantOnly");
        assert!(detail(&reply).contains("`settings.quotas`"), "{reply:?}");
    }
    assert_eq!(quotas(&hub, "acme"), first);
    // What was read may be sent back, or left out; both keep it.
    tenant(&hub, "acme", "acme", &json!({"max_actors": 3, "quotas": first})).send().expect(200);
    tenant(&hub, "acme", "acme", &json!({"max_actors": 4})).send().expect(200);
    let shown = hub.admin_of("acme", "GET", "tenants/acme").send().json();
    assert_eq!(
        shown["settings"],
        json!({"max_actors": 4, "dpop_nonce": false, "event_retention_days": 400, "quotas": first})
    );
    hub.admin_of("acme", "PUT", "tenants/acme").header("if-match", "*").json(&shown).send().expect(200);
    hub.admin_of("acme", "PUT", "tenants/main").json(&shown).send().expect(404);
    // Administrators of `main` raise it, and take it away by leaving it out.
    set(&hub, "acme", raised.clone());
    assert_eq!(quotas(&hub, "acme"), raised);
    tenant(&hub, "main", "acme", &json!({})).send().expect(200);
    assert_eq!(quotas(&hub, "acme"), Value::Null);
    for bad in
        [json!({"clients": 0}), json!({"clients": -1}), json!({"policies": 100_001}), json!({"tokens": 1}), json!(7)]
    {
        tenant(&hub, "main", "acme", &json!({"quotas": bad})).send().expect(400);
    }
}

// ── Tokens ──

fn ready(quota: usize) -> (Setup, Credentials) {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    hub.token(&agent, &[]).expect(200);
    set(&hub, "main", json!({"tokens_per_minute": quota}));
    (hub, agent)
}

#[track_caller]
fn used_up(reply: &Reply, seconds: u64) {
    assert_eq!((reply.status, reply.error().as_str()), (429, "too_many_requests"), "{reply:?}");
    assert!(reply.json()["error_description"].as_str().unwrap().contains("`tokens_per_minute`"), "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some(seconds.to_string().as_str()));
}

#[test]
fn beyond_the_quota_of_a_minute_there_is_429_until_the_next_and_one_event() {
    let (hub, agent) = ready(3);
    hub.clock.advance(10);
    for _ in 0..3 {
        hub.token(&agent, &[]).expect(200);
    }
    let isolates = [hub.isolate(), hub.isolate()];
    for _ in 0..5 {
        used_up(&hub.token(&agent, &[]), 50);
        isolates.iter().for_each(|isolate| used_up(&hub.token_call(&agent, &[]).on(isolate).send(), 50));
    }
    let events = hub.events_of("quota.reached");
    assert_eq!(
        (events.len(), &events[0]["target"], &events[0]["detail"]),
        (1, &json!("tokens_per_minute"), &json!("3"))
    );
    assert_eq!(hub.events_of("token.refused").len(), 0, "no event a refusal");
    hub.clock.advance(49);
    used_up(&hub.token(&agent, &[]), 1);
    hub.clock.advance(1);
    for isolate in &isolates {
        hub.token_call(&agent, &[]).on(isolate).send().expect(200);
    }
    hub.token(&agent, &[]).expect(200);
    used_up(&hub.token(&agent, &[]), 60);
    assert_eq!(hub.events_of("quota.reached").len(), 2);
}

#[test]
fn every_grant_counts_and_what_policy_refuses_does_not() {
    let (hub, agent) = ready(3);
    hub.token(&agent, &[("scope", "mcp:write")]).expect(400);
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    let metadata = json!({"grant_types": ["client_credentials", exchange], "allowed_resources": [RESOURCE]});
    let other = hub.create_client(metadata);
    let also = permit(&other.client_id, RESOURCE)
        .replace("action == Action::\"issue\"", "action in [Action::\"issue\", Action::\"exchange\"]");
    hub.put_policy("other", &also);
    let own = hub.token(&other, &[]).access_token();
    let (kind, form) = ("urn:ietf:params:oauth:token-type:access_token", [("grant_type", exchange)]);
    let form = [
        &form[..],
        &[("subject_token", &own), ("subject_token_type", kind), ("actor_token", &own), ("actor_token_type", kind)],
    ]
    .concat();
    let ask = || hub.call("POST", "/t/main/token").basic(&other).form(&form).send();
    ask().expect(200);
    ask().expect(200);
    used_up(&ask(), 60);
    used_up(&hub.token(&agent, &[]), 60);
    // A refusal for another reason is told as ever.
    hub.token(&agent, &[("scope", "mcp:write")]).expect(400);
}

#[test]
fn an_administrator_gets_a_token_whatever_has_used_the_quota_up() {
    let (hub, agent) = ready(1);
    hub.token(&agent, &[]).expect(200);
    used_up(&hub.token(&agent, &[]), 60);
    hub.admin("POST", &format!("clients/{}/kill", agent.client_id)).send().expect(200);
    set(&hub, "main", json!({"tokens_per_minute": 2}));
    // The first token was of this minute too.
    let next = hub.create_client(json!({"allowed_resources": [RESOURCE]}));
    hub.put_policy("next", &permit(&next.client_id, RESOURCE));
    hub.token(&next, &[]).expect(200);
    used_up(&hub.token(&next, &[]), 60);
}

#[test]
fn isolates_together_never_pass_the_quota_and_leave_less_than_half_of_it_unused() {
    for (seed, quota) in [1_usize, 7, 20, 60, 100].into_iter().cycle().enumerate().take(20) {
        let (hub, agent) = ready(quota);
        let isolates: Vec<_> = (0..4).map(|_| hub.isolate()).collect();
        let all = isolates.iter().cycle().take(quota * 2 + 8);
        let replies = hub.together(seed as u64, all.map(|one| hub.token_call(&agent, &[]).on(one).future()).collect());
        let issued = replies.iter().filter(|reply| reply.status == 200).count();
        assert!(issued <= quota && issued * 2 >= quota, "{seed}: {issued} of {quota}");
        assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 429)));
        assert_eq!(hub.events_of("quota.reached").len(), 1);
    }
}

#[test]
fn requests_at_once_in_one_isolate_take_one_block_and_none_is_refused_while_there_are_tokens() {
    for seed in 0..5 {
        let (hub, agent) = ready(200);
        let taken =
            || hub.db.query("SELECT taken FROM token_counts WHERE tenant = 'main'")[0]["taken"].as_u64().unwrap();
        let mut issued = 0;
        // Until blocks have their full size, a twentieth, and the isolate holds nothing.
        while issued < 80 || issued < taken() {
            hub.token(&agent, &[]).expect(200);
            issued += 1;
        }
        let replies = hub.together(seed, (0..40).map(|_| hub.token_call(&agent, &[]).future()).collect());
        let refused = replies.iter().filter(|reply| reply.status != 200).count();
        assert_eq!((refused, hub.events_of("quota.reached").len()), (0, 0), "seed {seed}");
        assert!(taken() <= issued + 40 + 2 * 10, "seed {seed}: {} for {}", taken(), issued + 40);
    }
}

#[test]
fn a_quota_costs_a_call_of_d1_for_a_block_of_tokens_and_a_refusal_none() {
    let (hub, agent) = ready(1_000);
    hub.token(&agent, &[]).expect(200);
    let calls = |times: usize, status: u16| {
        let before = hub.faults.calls(Port::Db);
        (0..times).for_each(|_| drop(hub.token(&agent, &[]).expect(status)));
        hub.faults.calls(Port::Db) - before
    };
    let first = calls(499, 200);
    assert!(first <= 15, "{first}");
    let rest = calls(500, 200);
    assert!(rest <= 10, "{rest}: blocks of a twentieth");
    assert_eq!(calls(1, 429), 2, "the claim, and the event");
    assert_eq!(calls(50, 429), 0);
}

#[test]
fn a_claim_that_fails_is_503_and_one_whose_reply_is_lost_is_not_given_again() {
    let (hub, agent) = ready(2);
    hub.token(&agent, &[]).expect(200);
    let is_claim = |text: &str| text.starts_with("INSERT INTO token_counts");
    hub.faults.fail_when(Port::Db, move |call| is_claim(&call.text), Effect::Fails);
    hub.token(&agent, &[]).expect(503);
    hub.faults.heal();
    hub.faults.fail_when(Port::Db, move |call| is_claim(&call.text), Effect::LosesReply);
    hub.token(&agent, &[]).expect(503);
    hub.faults.heal();
    // The event that cannot be kept is told by the next refusal.
    hub.faults.fail_when(Port::Db, |call| call.text.starts_with("UPDATE token_counts"), Effect::Fails);
    hub.token(&agent, &[]).expect(503);
    hub.faults.heal();
    used_up(&hub.token(&agent, &[]), 60);
    assert_eq!(hub.events_of("quota.reached").len(), 1);
}

#[test]
fn a_quota_that_is_raised_or_lowered_counts_within_its_minute() {
    let (hub, agent) = ready(4);
    let elsewhere = hub.isolate();
    let ask = || hub.token_call(&agent, &[]).on(&elsewhere).send();
    ask().expect(200);
    ask().expect(200);
    set(&hub, "main", json!({"tokens_per_minute": 2}));
    hub.clock.advance(5);
    used_up(&ask(), 55);
    set(&hub, "main", json!({"tokens_per_minute": 3}));
    hub.clock.advance(5);
    ask().expect(200);
    used_up(&ask(), 50);
    set(&hub, "main", json!({}));
    hub.clock.advance(5);
    ask().expect(200);
}
