//! `admin/policies`, and what the policies in force say about a token.

use crate::support::hub::{ISSUER, RESOURCE};
use crate::support::run::Random;
use crate::support::{Credentials, Port, Setup};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use writ::cedar::{Mode, Source};

/// An agent that may have both scopes of its resource as far as its policy goes.
fn agent(hub: &Setup, cedar: &str) -> Credentials {
    let agent = hub.agent("agent", "mcp:read mcp:write");
    hub.put_policy("agent", cedar);
    agent
}

fn when(scope: &str, annotations: &str) -> String {
    format!("{annotations} permit(principal, action, resource) when {{ resource.name == \"{scope}\" }};\n")
}

// ── Depth ──

#[test]
fn a_policy_that_nests_too_deep_is_refused_with_its_place_and_the_rest_goes_on() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let clauses = |n: usize| format!("permit(principal, action, resource)\n{};", " when { context.dpop }".repeat(n));
    let brackets = |n: usize| {
        format!("permit(principal, action, resource) when {{ {}context.dpop{} }};", "(".repeat(n), ")".repeat(n))
    };
    for deep in [clauses(320), clauses(48), brackets(1_000), brackets(24)] {
        let body = json!({"cedar": deep, "mode": "off"});
        let problem = hub.admin("PUT", "policies/deep").json(&body).send().expect(400).json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("line ") && detail.contains("deeper than 50"), "{detail}");
    }
    for fine in [clauses(47), brackets(23)] {
        hub.put_policy("deep", &fine);
        hub.token(&agent, &[]).expect(200);
    }
}

// ── Obligations ──

#[test]
fn a_scope_whose_permit_requires_something_is_not_issued_where_nothing_meets_it() {
    let hub = Setup::new();
    let agent = agent(&hub, &(when("mcp:read", "") + &when("mcp:write", "@require(\"step_up\")")));
    assert_eq!(hub.token(&agent, &[]).expect(200).json()["scope"], "mcp:read");
    let refused = hub.token(&agent, &[("scope", "mcp:write")]).expect(400).json();
    assert_eq!(refused["error"], "invalid_scope", "a client on its own has nobody to send to a sign-in");
    // A second permit that requires nothing does not lift the requirement of the first.
    hub.put_policy("other", &when("mcp:write", ""));
    assert_eq!(hub.token(&agent, &[]).expect(200).json()["scope"], "mcp:read");
    hub.admin("DELETE", "policies/other").send().expect(204);
    hub.put_policy("agent", &(when("mcp:read", "") + &when("mcp:write", "")));
    assert_eq!(hub.token(&agent, &[]).expect(200).json()["scope"], "mcp:read mcp:write");
}

#[test]
fn of_two_scopes_the_shorter_ttl_bounds_the_token() {
    let hub = Setup::new();
    let agent = agent(&hub, &(when("mcp:read", "@ttl(\"200\")") + &when("mcp:write", "@ttl(\"100\")")));
    let lifetime = |scope: &str| hub.token(&agent, &[("scope", scope)]).expect(200).json()["expires_in"].clone();
    assert_eq!([lifetime("mcp:read mcp:write"), lifetime("mcp:write mcp:read")], [100, 100]);
    assert_eq!([lifetime("mcp:read"), lifetime("mcp:write")], [200, 100]);
    hub.put_policy("agent", &(when("mcp:read", "@ttl(\"100\")") + &when("mcp:write", "@ttl(\"200\")")));
    assert_eq!([lifetime("mcp:read mcp:write"), lifetime("mcp:write")], [100, 200]);
    hub.put_policy("agent", &(when("mcp:read", "@ttl(\"100\")") + &when("mcp:write", "")));
    assert_eq!([lifetime("mcp:read mcp:write"), lifetime("mcp:write")], [100, 300]);
}

// ── Why a scope is not given ──

/// What the newest event says of scopes that were asked for and not given.
fn refused_scopes(hub: &Setup, kind: &str) -> Value {
    hub.events_of(kind).pop().unwrap()["scope_refused"].clone()
}

#[test]
fn a_scope_that_was_asked_for_and_not_given_is_in_the_event_with_its_cause() {
    let hub = Setup::new();
    let names = ["given", "beyond", "unpermitted", "forbidden", "guarded", "erring"];
    let scopes: Vec<Value> = names.iter().map(|name| json!({"name": name, "description": name})).collect();
    hub.create_resource(json!({"scopes": scopes}));
    let ceiling = "given unpermitted forbidden guarded erring";
    let agent = hub.create_client(json!({"scope": ceiling, "allowed_resources": [RESOURCE]}));
    let all =
        when("given", "") + &when("forbidden", "") + &when("guarded", "@require(\"approval\")") + &when("erring", "");
    hub.put_policy("permits", &all);
    hub.put_policy("no", "forbid(principal, action, resource) when { resource.name == \"forbidden\" };");
    let overflow = "resource.name == \"erring\" && context.now * 9223372036854775807 > 0";
    hub.put_policy("bad", &format!("forbid(principal, action, resource) when {{ {overflow} }};"));
    let asked = "given beyond unpermitted forbidden guarded erring misspelt";
    assert_eq!(hub.token(&agent, &[("scope", asked)]).expect(200).json()["scope"], "given");
    let causes = json!([
        {"scope": "beyond", "because": "ceiling"},
        {"scope": "misspelt", "because": "not_registered"},
        {"scope": "unpermitted", "because": "no_permit"},
        {"scope": "forbidden", "because": "forbidden", "policies": ["no"]},
        {"scope": "guarded", "because": "requirement", "policies": ["permits"]},
        {"scope": "erring", "because": "error", "policies": ["bad"]},
    ]);
    assert_eq!(refused_scopes(&hub, "token.issued"), causes);

    // Without a scope everything is meant, and what is given is no refusal of the rest.
    hub.token(&agent, &[]).expect(200);
    assert_eq!(refused_scopes(&hub, "token.issued"), Value::Null);

    // Where nothing is left, the causes are those of everything that was meant.
    hub.token(&agent, &[("scope", "misspelt beyond")]).expect(400);
    let two = json!([causes[1], causes[0]]);
    assert_eq!(refused_scopes(&hub, "token.refused"), two);
    hub.put_policy("permits", &when("beyond", ""));
    hub.token(&agent, &[]).expect(400);
    let left: Vec<Value> = refused_scopes(&hub, "token.refused").as_array().unwrap().clone();
    assert_eq!(
        left.iter().map(|one| one["because"].as_str().unwrap()).collect::<Vec<_>>(),
        ["no_permit", "no_permit", "forbidden", "no_permit", "error"]
    );
}

#[test]
fn a_scope_beyond_the_subject_token_is_refused_by_the_ceiling_and_an_impersonation_by_whichever_forbids() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let grants = ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"];
    let agent = hub.create_client(json!({"allowed_resources": [RESOURCE], "grant_types": grants}));
    hub.put_policy("agent", "permit(principal, action, resource);");
    let subject = hub.access_token(&agent, "mcp:read");
    let exchange = |scope: &str| {
        let form = [
            ("grant_type", grants[1]),
            ("subject_token", subject.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("scope", scope),
        ];
        hub.call("POST", "/t/main/token").basic(&agent).form(&form).send()
    };
    exchange("mcp:read mcp:write").expect(200);
    assert_eq!(refused_scopes(&hub, "token.issued"), json!([{"scope": "mcp:write", "because": "ceiling"}]));
    hub.put_policy("no", "forbid(principal, action == Action::\"exchange\", resource);");
    exchange("mcp:read").expect(400);
    let because = json!([{"scope": "mcp:read", "because": "forbidden", "policies": ["no"]}]);
    assert_eq!(refused_scopes(&hub, "token.refused"), because);
}

// ── Shards ──

/// What KV has of the policies of `main`.
fn stored(hub: &Setup) -> BTreeMap<String, String> {
    let keys = hub.kv.keys().into_iter().filter(|key| key.starts_with("policy/main/"));
    keys.map(|key| (key.clone(), hub.kv.value(&key).unwrap())).collect()
}

fn permit_to(client: &str) -> String {
    format!(
        "permit(principal == Client::\"{client}\", action == Action::\"issue\", resource in Resource::\"{RESOURCE}\");"
    )
}

#[test]
fn one_policy_among_many_is_written_as_one_shard_and_a_manifest() {
    let hub = Setup::new();
    for n in 0..600 {
        let body = json!({"cedar": permit_to(&format!("client_{n}"))});
        hub.admin("PUT", &format!("policies/p{n}")).json(&body).send().expect(201);
    }
    let before = stored(&hub);
    hub.put_policy("p7", &permit_to("client_7").replace("permit", "forbid"));
    let written: Vec<usize> =
        stored(&hub).into_iter().filter(|(key, _)| !before.contains_key(key)).map(|(_, value)| value.len()).collect();
    let whole: usize =
        hub.db.query("SELECT cedar FROM policies").iter().map(|row| row["cedar"].as_str().unwrap().len()).sum();
    println!("one policy among 600 ({whole} bytes) writes {written:?} bytes");
    assert!(written.len() == 2 && written.iter().sum::<usize>() < whole / 10, "{written:?} of {whole}");
}

#[test]
fn a_cold_isolate_reads_the_manifest_and_the_shards_that_its_question_reaches() {
    let (hub, agent) = (Setup::new(), "agent");
    let client = hub.agent(agent, "mcp:read");
    for n in 0..100 {
        hub.put_policy(&format!("p{n}"), &permit_to(&format!("client_{n}")));
        hub.put_policy(
            &format!("r{n}"),
            &format!("forbid(principal, action, resource in Resource::\"https://{n}.example/\");"),
        );
    }
    hub.put_policy("all", "forbid(principal, action, resource) when { context.dpop };");
    let isolate = hub.isolate();
    let before = hub.faults.calls(Port::Kv);
    hub.token_call(&client, &[]).on(&isolate).send().expect(200);
    let reads = hub.faults.calls(Port::Kv) - before;
    assert!((3..=4).contains(&reads), "{reads}");
    hub.token_call(&client, &[]).on(&isolate).send().expect(200);
    assert_eq!(hub.faults.calls(Port::Kv) - before, reads, "and never again");
    hub.put_policy("elsewhere", &permit_to("client_elsewhere"));
    hub.clock.advance(10);
    hub.token_call(&client, &[]).on(&isolate).send().expect(200);
    let after = hub.faults.calls(Port::Kv);
    hub.token_call(&client, &[]).on(&isolate).send().expect(200);
    assert_eq!(hub.faults.calls(Port::Kv), after);
}

#[test]
fn whatever_is_written_where_the_policies_in_force_are_those_that_were_written_last() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let clients: Vec<Credentials> =
        (0..3).map(|n| hub.create_client(json!({"client_name": format!("c{n}")}))).collect();
    let mut random = Random(7);
    // What each policy permits: a client, or all of them.
    let mut permitted: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    for round in 0..60 {
        let (id, whom) = (random.below(4), random.below(clients.len() + 2));
        let path = format!("policies/p{id}");
        match clients.get(whom) {
            Some(client) => {
                hub.put_policy(&format!("p{id}"), &permit_to(&client.client_id));
                permitted.insert(id, Some(whom));
            }
            None if whom == clients.len() => {
                hub.put_policy(&format!("p{id}"), "permit(principal, action == Action::\"issue\", resource is Scope);");
                permitted.insert(id, None);
            }
            None if round % 2 == 0 => {
                let body = json!({"cedar": permit_to(&clients[0].client_id), "mode": "off"});
                let call = hub.admin("PUT", &path).json(&body);
                let call = if permitted.contains_key(&id) || hub.admin("GET", &path).send().status == 200 {
                    call.header("if-match", "*")
                } else {
                    call
                };
                assert!(call.send().status < 300);
                permitted.remove(&id);
            }
            None => {
                hub.admin("DELETE", &path).send();
                permitted.remove(&id);
            }
        }
        let isolate = hub.isolate();
        if round % 3 == 0 {
            hub.faults.fail(Port::Kv);
        }
        for (n, client) in clients.iter().enumerate() {
            let status = hub.token_call(client, &[("resource", RESOURCE)]).on(&isolate).send().status;
            let expected = permitted.values().any(|whom| whom.is_none_or(|whom| whom == n));
            assert_eq!(status, if expected { 200 } else { 400 }, "round {round}, client {n}: {permitted:?}");
        }
        hub.faults.heal();
        let shards = hub.db.query("SELECT shard FROM policy_shards").len();
        let used = hub.db.query("SELECT DISTINCT shard FROM policies WHERE mode <> 'off'").len();
        assert_eq!(shards, used, "no shard is kept that is empty");
    }
}

#[test]
fn policies_from_d1_that_do_not_have_their_hash_decide_nothing() {
    let damage = [
        "UPDATE policies SET cedar = 'permit(principal, action, resource);'",
        "UPDATE policies SET mode = 'shadow'",
        "DELETE FROM policies",
        "UPDATE policy_shards SET hash = 'x'",
        "DELETE FROM policy_shards",
    ];
    for (round, statement) in damage.into_iter().enumerate() {
        for everywhere in [false, true] {
            let hub = Setup::new();
            let client = hub.agent("agent", "mcp:read");
            if everywhere {
                hub.put_policy("agent", "permit(principal, action, resource is Scope);");
            }
            hub.faults.fail(Port::Kv);
            hub.token_call(&client, &[]).on(&hub.isolate()).send().expect(200);
            hub.db.execute(statement);
            hub.token_call(&client, &[]).on(&hub.isolate()).send().expect(503);
            assert!(round > 2 || hub.db.query("SELECT shard FROM policy_shards").len() == 1);
        }
    }
}

/// All policies in force as they were stored before there were shards, and their hash.
fn unsharded(cedar: &str) -> (String, String) {
    let source = Source { id: "agent".into(), cedar: cedar.to_owned(), mode: Mode::Enforce };
    let all = serde_json::to_string(&[source]).unwrap();
    let hash = writ::crypto::sha256(&all).to_text();
    (all, hash)
}

#[test]
fn policies_that_were_stored_before_there_were_shards_decide_and_move_when_they_are_written() {
    for kv in [true, false] {
        let hub = Setup::new();
        let client = hub.agent("agent", "mcp:read");
        let other = hub.create_client(json!({"client_name": "other"}));
        // The pointer named all policies, and no policy had a shard.
        let (all, hash) = unsharded(&permit_to(&client.client_id));
        hub.db.execute(&format!(
            "UPDATE policies SET shard = ''; UPDATE tenants SET policy_hash = '{hash}'; \
             UPDATE policy_shards SET shard = '', hash = '{hash}';"
        ));
        if kv {
            hub.kv.set(&format!("policy/main/{hash}"), Some(all));
        }
        let status =
            |client: &Credentials| hub.token_call(client, &[("resource", RESOURCE)]).on(&hub.isolate()).send().status;
        assert_eq!([status(&client), status(&other)], [200, 400]);
        hub.put_policy("other", &permit_to(&other.client_id));
        assert_eq!([status(&client), status(&other)], [200, 200]);
        hub.put_policy("agent", &format!("{} // moved", permit_to(&client.client_id)));
        assert_eq!([status(&client), status(&other)], [200, 200]);
        assert!(hub.db.query("SELECT shard FROM policy_shards WHERE shard = ''").is_empty());

        // A version without shards has moved the pointer: the next change makes them anew.
        let (all, hash) = unsharded(&permit_to(&client.client_id));
        hub.kv.set(&format!("policy/main/{hash}"), Some(all));
        hub.db.execute(&format!(
            "UPDATE tenants SET policy_hash = '{hash}'; UPDATE policies SET mode = 'off' WHERE id = 'other'"
        ));
        hub.put_policy("third", "forbid(principal, action == Action::\"lease\", resource);");
        assert_eq!([status(&client), status(&other)], [200, 400]);
    }
}

// ── Warnings ──

#[test]
fn a_ceiling_with_a_scope_that_no_resource_has_is_a_warning_of_the_answer() {
    let hub = Setup::new();
    hub.create_resource(json!({}));
    let warned = |reply: &crate::support::Reply| reply.json()["warnings"].to_string();
    let body = |scope: &str| json!({"client_name": "agent", "allowed_resources": [RESOURCE], "scope": scope});
    let post = |scope: &str| hub.admin("POST", "clients").json(&body(scope)).send().expect(201);
    assert_eq!(warned(&post("mcp:read")), "null");
    let reply = post("mcp:read mcp:raed admin");
    assert_eq!(warned(&reply), r#"["`scope`: no resource has a scope `mcp:raed` yet; is it spelt as registered?"]"#);
    let path = format!("clients/{}", reply.json()["client_id"].as_str().unwrap());
    let put = |scope: &str| hub.admin("PUT", &path).header("if-match", "*").json(&body(scope)).send().expect(200);
    assert!(warned(&put("mcp:wirte")).contains("`mcp:wirte`"));
    assert_eq!(warned(&put("mcp:write")), "null");
}

#[test]
fn names_that_match_nothing_and_conditions_that_never_hold_are_warnings_of_the_answer() {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    let warnings = |cedar: &str| -> Vec<String> {
        let reply = hub.admin("PUT", "policies/p").header("if-match", "*").json(&json!({"cedar": cedar})).send();
        let reply = if reply.status == 412 {
            hub.admin("PUT", "policies/p").json(&json!({"cedar": cedar})).send()
        } else {
            reply
        };
        assert!(reply.status < 300, "{reply:?}");
        assert!(hub.admin("GET", "policies/p").send().json()["warnings"].is_null(), "only a change is warned of");
        let warnings = reply.json()["warnings"].clone();
        warnings.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let fine = format!(
        "permit(principal == Client::\"{}\", action == Action::\"issue\", resource in Resource::\"{RESOURCE}\")\n\
         when {{ [\"mcp:read\"].contains(resource.name) || resource == Scope::\"{RESOURCE} mcp:write\" }};\n\
         permit(principal, action, resource in Resource::\"{ISSUER}/admin\") when {{ resource.name == \"admin:read\" }};",
        client.client_id
    );
    assert_eq!(warnings(&fine), Vec::<String>::new());
    let names = format!(
        "permit(principal == Client::\"reader\", action, resource in Resource::\"https://mcp.example\")\n\
         when {{ [\"mcp:raed\"].contains(resource.name) || resource == Scope::\"{RESOURCE} mcp:wirte\" }};\n\
         forbid(principal, action, resource == Connection::\"bigquery\") when {{ context has subject && context.subject == User::\"ada\" }};"
    );
    let found = warnings(&names);
    for (warning, (place, word)) in found.iter().zip([
        ("line 1, column 21: ", "`reader`"),
        ("line 1, column 59: ", "`https://mcp.example`"),
        ("line 2, column 9: ", "`mcp:raed`"),
        ("line 2, column 60: ", "mcp:wirte"),
        ("line 3, column 39: ", "`bigquery`"),
        ("line 3, column 112: ", "`ada`"),
    ]) {
        assert!(warning.starts_with(place) && warning.contains(word), "{warning}");
    }
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(warnings("permit(principal, action, resource);")[0].contains("permits everything to every client"));
    let night = "forbid(principal, action, resource) when { context.hour >= 22 && context.hour < 4 };";
    assert!(warnings(night)[0].starts_with("line 1, column 44: no hour is both"));
}

// ── Time zones ──

#[test]
fn a_policy_with_a_zone_sees_the_clock_there_and_an_unknown_zone_is_refused_with_its_place() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    // It is 12:00 in UTC, which is the tenant's zone, 13:00 in Berlin, and a Tuesday.
    let at = |zone: &str, hour: u8| {
        format!(
            "{zone} permit(principal, action, resource is Scope) when {{ context.hour == {hour} && context.weekday == 2 }};"
        )
    };
    for (zone, hour, status) in [
        ("", 12, 200),
        ("@zone(\"Europe/Berlin\")", 13, 200),
        ("@zone(\"Europe/Berlin\")", 12, 400),
        ("@zone(\"America/Los_Angeles\")", 4, 200),
    ] {
        hub.put_policy("agent", &at(zone, hour));
        assert_eq!(hub.token(&agent, &[]).status, status, "{zone} {hour}");
    }
    for unknown in ["Europe/Berlim", "+02:00", "Mars", "Europe/\\u{42}erlin", " "] {
        let body = json!({"cedar": format!("// two lines\n@zone(\"{unknown}\") permit(principal, action, resource);")});
        let problem = hub.admin("PUT", "policies/agent").header("if-match", "*").json(&body).send().expect(400).json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("line 2, column ") && detail.contains("zone"), "{detail}");
    }
}

// ── What policies see of a client, and warnings about others ──

#[test]
fn policies_see_how_a_client_came_and_whether_an_administrator_vouches_for_it() {
    let hub = Setup::new();
    let admin = agent(&hub, "permit(principal, action, resource) when { principal.registration == \"admin\" };");
    hub.token(&admin, &[]).expect(200);
    hub.put_policy("agent", "permit(principal, action, resource) when { principal.verified };");
    hub.token(&admin, &[]).expect(200);
    // As one that has registered itself.
    hub.db.execute(&format!("UPDATE clients SET registration = 'dynamic' WHERE id = '{}'", admin.client_id));
    hub.restart();
    hub.token(&admin, &[]).expect(400);
    hub.put_policy("agent", "permit(principal, action, resource) when { principal.registration == \"dynamic\" };");
    hub.token(&admin, &[]).expect(200);
}

#[test]
fn a_statement_that_another_policy_makes_pointless_is_a_warning_of_the_answer() {
    let hub = Setup::new();
    hub.put_policy("all", "permit(principal, action, resource in Resource::\"https://mcp.example/mcp\");");
    let put = |id: &str, cedar: &str| {
        let made = hub.admin("PUT", &format!("policies/{id}")).json(&json!({"cedar": cedar})).send().expect(201).json();
        let warnings: Vec<String> = serde_json::from_value(made["warnings"].clone()).unwrap_or_default();
        warnings.into_iter().filter(|warning| warning.contains(" in ")).collect::<Vec<_>>()
    };
    let cedar =
        "\n permit(principal, action == Action::\"issue\", resource == Scope::\"https://mcp.example/mcp mcp:read\");";
    assert_eq!(put("one", cedar), ["line 2, column 2: a permit without a condition permits all of this in all"]);
    let never = "permit(principal, action, resource) when { context.hour > 23 };";
    let made = hub.admin("PUT", "policies/never").json(&json!({"cedar": never})).send().expect(201).json();
    assert_eq!(made["warnings"], json!(["line 1, column 44: `context.hour` is from 0 to 23: this never holds"]));
    assert_eq!(put("fine", "forbid(principal, action, resource) when { context.dpop };"), Vec::<String>::new());
}
