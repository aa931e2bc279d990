//! `admin/policies`, and what the policies in force say about a token.

use crate::support::{Credentials, Setup};
use serde_json::json;

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
