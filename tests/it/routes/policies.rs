//! `admin/policies`, and what the policies in force say about a token.

use crate::support::hub::RESOURCE;
use crate::support::{Credentials, Setup};
use serde_json::{Value, json};

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
fn a_scope_whose_permit_requires_something_is_not_issued_as_nothing_can_meet_it() {
    let hub = Setup::new();
    let agent = agent(&hub, &(when("mcp:read", "") + &when("mcp:write", "@require(\"approval\")")));
    assert_eq!(hub.token(&agent, &[]).expect(200).json()["scope"], "mcp:read");
    let refused = hub.token(&agent, &[("scope", "mcp:write")]).expect(400).json();
    assert_eq!(refused["error"], "invalid_scope");
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
