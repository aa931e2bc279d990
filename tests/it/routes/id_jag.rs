//! Identity Assertion Authorization Grants, issued and taken.

use super::chain::{ACCESS_TOKEN, Chain, EXCHANGE, ID_JAG, ID_TOKEN, IDP, JWT_BEARER, TASKS, claims, refused};
use crate::support::hub::{ISSUER, RESOURCE, decode, with_claims};
use crate::support::{Reply, Signer};
use serde_json::{Value, json};
use writ::crypto::sha256;
use writ::ports::Alg;

/// The authorization server of somebody else, and what it guards.
const CHAT: &str = "https://auth.chat.example";
const CHAT_MCP: &str = "https://mcp.chat.example/";

/// A hub that may take its users to [`CHAT_MCP`].
fn with_chat() -> Chain {
    let chain = Chain::new();
    chain.hub.create_resource(json!({"resource": CHAT_MCP, "authorization_server": CHAT}));
    chain.hub.restart();
    chain
}

fn ask(chain: &Chain, subject: &str, kind: &str, more: &[(&str, &str)]) -> Reply {
    let form = [
        ("grant_type", EXCHANGE),
        ("requested_token_type", ID_JAG),
        ("subject_token", subject),
        ("subject_token_type", kind),
    ];
    chain.post(&chain.planner, &[&form, more].concat()).send()
}

mod issued {
    use super::*;

    #[test]
    fn an_id_token_takes_its_user_to_a_resource_of_another_authorization_server() {
        let chain = with_chat();
        let id_token = chain.assertion(json!({"acr": "urn:mfa", "auth_time": 1_767_700_000}));
        let form = [("audience", CHAT), ("resource", CHAT_MCP), ("scope", "mcp:read other")];
        let reply = ask(&chain, &id_token, ID_TOKEN, &form).expect(200);
        let body = reply.json();
        assert_eq!((&body["issued_token_type"], &body["token_type"]), (&json!(ID_JAG), &json!("N_A")));
        assert_eq!((&body["scope"], body["expires_in"].as_i64() <= Some(300)), (&json!("mcp:read"), true));
        assert!(body.get("refresh_token").is_none());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let (header, jag) = decode(&reply.access_token());
        assert_eq!(header["typ"], "oauth-id-jag+jwt");
        let told = json!({
            "iss": ISSUER, "sub": chain.user, "aud": CHAT, "client_id": chain.planner.client_id, "jti": jag["jti"],
            "iat": chain.now(), "exp": decode(&id_token).1["exp"], "resource": CHAT_MCP, "scope": "mcp:read",
            "acr": "urn:mfa", "auth_time": 1_767_700_000,
        });
        assert_eq!(jag, told);
        let event = chain.hub.events_of("token.issued").pop().unwrap();
        assert_eq!((&event["subject"], &event["target"]), (&json!(chain.user), &json!(CHAT)));
        assert_eq!(event["jti_hash"], sha256(jag["jti"].as_str().unwrap()).to_text());
    }

    #[test]
    fn it_lives_five_minutes_at_most_and_without_a_resource_the_only_one_is_meant() {
        let chain = with_chat();
        let id_token = chain.assertion(json!({"exp": chain.now() + 3600}));
        let reply = ask(&chain, &id_token, ID_TOKEN, &[("audience", CHAT)]);
        assert_eq!(
            (claims(&reply)["resource"].as_str(), reply.json()["expires_in"].as_i64()),
            (Some(CHAT_MCP), Some(300))
        );
        chain.hub.create_resource(json!({"resource": "https://two.chat.example/", "authorization_server": CHAT}));
        chain.hub.restart();
        refused(&ask(&chain, &id_token, ID_TOKEN, &[("audience", CHAT)]), "invalid_target");
    }

    #[test]
    fn one_that_rests_on_an_approval_lives_a_minute() {
        let chain = with_chat();
        let id_token = chain.assertion(json!({"exp": chain.now() + 3600}));
        let form = [("audience", CHAT), ("scope", "mcp:read")];
        let forbid = format!(
            "@require(\"approval\") permit(principal, action == Action::\"exchange\", resource in Resource::\"{CHAT_MCP}\");"
        );
        chain.hub.put_policy("asks", &forbid);
        let waits = ask(&chain, &id_token, ID_TOKEN, &form).json();
        let decide = format!("approvals/{}/decide", waits["approval_id"].as_str().unwrap());
        chain.hub.admin("POST", &decide).json(&json!({"decision": "approve"})).send().expect(200);
        assert_eq!(ask(&chain, &id_token, ID_TOKEN, &form).expect(200).json()["expires_in"], 60);
    }

    #[test]
    fn it_has_the_actor_and_the_key_if_there_are_any() {
        let chain = with_chat();
        let token = chain.user_token(&chain.planner, TASKS, "mcp:read");
        let key = Signer::new(Alg::Es256, 2);
        let form = [("requested_token_type", ID_JAG), ("audience", CHAT)];
        let reply = chain.delegate(&chain.worker, &token, &form).header("dpop", &chain.proof(&key)).send();
        let jag = claims(&reply);
        assert_eq!(jag["act"], json!({"sub": chain.worker.client_id, "act": {"sub": chain.planner.client_id}}));
        assert_eq!((&jag["cnf"]["jkt"], &jag["client_id"]), (&json!(key.thumbprint()), &json!(chain.worker.client_id)));
        assert_eq!(jag["scope"], "mcp:read", "no more than the subject token");
    }

    #[test]
    fn only_registered_pairs_of_server_and_resource_are_served() {
        let chain = with_chat();
        let id_token = chain.assertion(json!({}));
        for form in [
            vec![],
            vec![("resource", CHAT_MCP)],
            vec![("audience", "https://elsewhere.example")],
            vec![("audience", "https://elsewhere.example"), ("resource", CHAT_MCP)],
            vec![("audience", CHAT), ("resource", RESOURCE)],
            vec![("audience", CHAT), ("resource", "https://unknown.example")],
            vec![("audience", CHAT), ("resource", CHAT_MCP), ("resource", CHAT_MCP)],
            vec![("audience", ISSUER), ("resource", RESOURCE)],
            vec![("audience", ISSUER)],
        ] {
            refused(&ask(&chain, &id_token, ID_TOKEN, &form), "invalid_target");
        }
    }

    #[test]
    fn a_resource_elsewhere_gets_no_access_token_from_us() {
        let chain = with_chat();
        let token = chain.user_token(&chain.planner, RESOURCE, "mcp:read");
        for reply in [
            chain.hub.token(&chain.planner, &[("resource", CHAT_MCP)]),
            chain.delegate(&chain.planner, &token, &[("resource", CHAT_MCP)]).send(),
            chain.delegate(&chain.planner, &token, &[("audience", CHAT_MCP)]).send(),
            chain.by_assertion(&chain.planner, &chain.assertion(json!({})), &[("resource", CHAT_MCP)]).send(),
        ] {
            refused(&reply, "invalid_target");
        }
        let document = chain.hub.call("GET", "/t/main/.well-known/oauth-authorization-server").send().json();
        assert!(!document["protected_resources"].as_array().unwrap().contains(&json!(CHAT_MCP)));
    }

    #[test]
    fn it_is_about_a_user_and_needs_an_authenticated_client_and_the_consent_of_policy() {
        let chain = with_chat();
        let own = chain.own_token(&chain.planner, RESOURCE);
        refused(&ask(&chain, &own, ACCESS_TOKEN, &[("audience", CHAT)]), "invalid_request");
        let id_token = chain.assertion(json!({}));
        let form = [
            ("grant_type", EXCHANGE),
            ("requested_token_type", ID_JAG),
            ("subject_token", &*id_token),
            ("subject_token_type", ID_TOKEN),
            ("audience", CHAT),
        ];
        chain.hub.call("POST", "/t/main/token").form(&form).send().expect(401);
        chain.hub.call("POST", "/t/main/token").form(&[&form[..], &[("client_id", "x")]].concat()).send().expect(401);
        chain.hub.put_policy("everything", "permit(principal, action == Action::\"issue\", resource);");
        refused(&ask(&chain, &id_token, ID_TOKEN, &[("audience", CHAT)]), "invalid_scope");
        let exchange =
            format!("permit(principal, action == Action::\"exchange\", resource in Resource::\"{CHAT_MCP}\");");
        chain.hub.put_policy("chat", &exchange);
        ask(&chain, &id_token, ID_TOKEN, &[("audience", CHAT)]).expect(200);
    }

    #[test]
    fn a_stopped_user_is_taken_nowhere() {
        let chain = with_chat();
        chain.hub.db.execute("UPDATE users SET status = 'suspended'");
        chain.hub.restart();
        refused(&ask(&chain, &chain.assertion(json!({})), ID_TOKEN, &[("audience", CHAT)]), "invalid_request");
    }

    #[test]
    fn ours_are_worth_nothing_here() {
        let chain = with_chat();
        let jag = ask(&chain, &chain.assertion(json!({})), ID_TOKEN, &[("audience", CHAT)]).access_token();
        refused(&chain.by_assertion(&chain.planner, &jag, &[]).send(), "invalid_grant");
        refused(&chain.delegate(&chain.planner, &jag, &[("resource", RESOURCE)]).send(), "invalid_request");
        refused(&ask(&chain, &jag, ID_TOKEN, &[("audience", CHAT)]), "invalid_request");
        let form = [("subject_token", &*jag)];
        let server = chain.hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE]}));
        refused(
            &chain.hub.call("POST", "/t/main/connections/x/token").basic(&server).form(&form).send(),
            "invalid_request",
        );
        chain.hub.call("GET", "/t/main/admin/clients").bearer(&jag).send().expect(401);
    }
}

mod taken {
    use super::*;

    /// One by the identity provider for the planner.
    fn jag(chain: &Chain, more: Value) -> String {
        let mut claims =
            json!({"client_id": chain.planner.client_id, "resource": RESOURCE, "scope": "mcp:read mcp:write"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        chain.idp.jwt(json!({"typ": "oauth-id-jag+jwt", "kid": "k"}), &chain.claims(claims))
    }

    fn redeem(chain: &Chain, jag: &str, more: &[(&str, &str)]) -> Reply {
        chain.by_assertion(&chain.planner, jag, more).send()
    }

    #[track_caller]
    fn worthless(reply: &Reply) {
        refused(reply, "invalid_grant");
        assert_eq!(reply.json()["error_description"], "the assertion is not valid here");
    }

    #[test]
    fn one_is_worth_an_access_token_for_its_resource_with_the_scope_that_both_name() {
        let chain = Chain::new();
        let reply = redeem(&chain, &jag(&chain, json!({})), &[("scope", "mcp:read other")]);
        let token = claims(&reply);
        assert_eq!(
            (token["sub"].as_str(), token["client_id"].as_str()),
            (Some(&*chain.user), Some(&*chain.planner.client_id))
        );
        assert_eq!((token["aud"].as_str(), token["scope"].as_str()), (Some(RESOURCE), Some("mcp:read")));
        assert!(reply.json().get("refresh_token").is_none());
        assert_eq!(claims(&redeem(&chain, &jag(&chain, json!({"scope": "mcp:write"})), &[]))["scope"], "mcp:write");
        refused(
            &redeem(&chain, &jag(&chain, json!({"scope": "mcp:write"})), &[("scope", "mcp:read")]),
            "invalid_scope",
        );
    }

    #[test]
    fn one_counts_once_in_all_isolates() {
        let chain = Chain::new();
        let one = jag(&chain, json!({}));
        redeem(&chain, &one, &[]).expect(200);
        worthless(&redeem(&chain, &one, &[]));
        chain.hub.clock.advance(125);
        worthless(&redeem(&chain, &one, &[]));
        for seed in 0..20 {
            let one = jag(&chain, json!({}));
            let isolates: Vec<_> = (0..4).map(|_| chain.hub.isolate()).collect();
            let ask = |isolate| chain.by_assertion(&chain.planner, &one, &[]).on(isolate).future();
            let replies = chain.hub.together(seed, isolates.iter().map(ask).collect());
            assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1, "{replies:?}");
        }
    }

    /// Two identity providers may use one `jti`: nobody burns another's.
    #[test]
    fn a_jti_belongs_to_its_issuer() {
        let chain = Chain::new();
        let other = chain.trust_another("https://other.example", json!({"creates_users": true}));
        let theirs = json!({"iss": "https://other.example", "jti": "same", "client_id": chain.planner.client_id, "resource": RESOURCE});
        let theirs = other.jwt(json!({"typ": "oauth-id-jag+jwt", "kid": "k"}), &chain.claims(theirs));
        redeem(&chain, &theirs, &[]).expect(200);
        redeem(&chain, &jag(&chain, json!({"jti": "same"})), &[]).expect(200);
    }

    #[test]
    fn the_client_that_it_names_has_to_be_the_one_that_authenticated() {
        let chain = Chain::new();
        for bad in [json!(chain.worker.client_id), json!(null), json!([chain.planner.client_id]), json!("")] {
            worthless(&redeem(&chain, &jag(&chain, json!({"client_id": bad})), &[]));
        }
        let one = jag(&chain, json!({}));
        let form = [("grant_type", JWT_BEARER), ("assertion", &*one)];
        chain.hub.call("POST", "/t/main/token").form(&form).send().expect(401);
    }

    #[test]
    fn its_audience_is_our_issuer_alone_and_its_resource_is_registered_here() {
        let chain = with_chat();
        for bad in [
            json!({"aud": format!("{ISSUER}/token")}),
            json!({"aud": RESOURCE}),
            json!({"aud": [ISSUER, "https://x.example"]}),
            json!({"resource": "https://unknown.example"}),
            json!({"resource": CHAT_MCP}),
            json!({"resource": [RESOURCE]}),
            json!({"resource": "x"}),
            json!({"iat": null}),
            json!({"exp": null}),
            json!({"jti": null}),
            json!({"sub": "bob"}),
            json!({"exp": chain.now() - 60}),
            json!({"authorization_details": []}),
            json!({"cnf": {"x5t#S256": "x"}}),
            json!({"act": {"sub": "client_admin"}}),
        ] {
            worthless(&redeem(&chain, &jag(&chain, bad.clone()), &[]));
        }
        worthless(&redeem(&chain, &jag(&chain, json!({})), &[("resource", TASKS)]));
        redeem(&chain, &jag(&chain, json!({})), &[("resource", RESOURCE)]).expect(200);
        // Without one, the request says it.
        let open = || jag(&chain, json!({"resource": null}));
        assert_eq!(claims(&redeem(&chain, &open(), &[("resource", TASKS)]))["aud"], TASKS);
        refused(&redeem(&chain, &open(), &[]), "invalid_target");
    }

    #[test]
    fn one_that_is_bound_to_a_key_needs_its_proof() {
        let chain = Chain::new();
        let (key, other) = (Signer::new(Alg::Es256, 2), Signer::new(Alg::Es256, 3));
        let bound = || jag(&chain, json!({"cnf": {"jkt": key.thumbprint()}}));
        worthless(&redeem(&chain, &bound(), &[]));
        let with =
            |key: &Signer| chain.by_assertion(&chain.planner, &bound(), &[]).header("dpop", &chain.proof(key)).send();
        worthless(&with(&other));
        assert_eq!(claims(&with(&key))["cnf"]["jkt"], key.thumbprint());
    }

    #[test]
    fn an_issuer_that_is_not_registered_for_it_issues_none_and_nothing_else_passes_for_one() {
        let chain = Chain::new();
        let one = jag(&chain, json!({}));
        let mut changed = decode(&one).1;
        changed["client_id"] = "x".into();
        worthless(&redeem(&chain, &with_claims(&one, &changed), &[]));
        for typ in ["at+jwt", "oauth-id-jag", "dpop+jwt"] {
            let other = chain.idp.jwt(json!({"typ": typ, "kid": "k"}), &decode(&one).1);
            worthless(&redeem(&chain, &other, &[("resource", RESOURCE)]));
        }
        chain.trust(json!({"uses": ["jwt_bearer", "workload", "token_exchange"]}));
        worthless(&redeem(&chain, &one, &[]));
        // And one with only that use takes no plain assertion.
        chain.trust(json!({"uses": ["id_jag"]}));
        worthless(&chain.by_assertion(&chain.planner, &chain.assertion(json!({})), &[("resource", RESOURCE)]).send());
        redeem(&chain, &one, &[]).expect(200);
        assert_eq!(IDP, decode(&one).1["iss"]);
    }
}

#[test]
fn metadata_says_both_ways_and_every_grant() {
    let chain = Chain::new();
    let document = chain.hub.call("GET", "/t/main/.well-known/oauth-authorization-server").send().json();
    assert_eq!(
        document["authorization_grant_profiles_supported"],
        json!(["urn:ietf:params:oauth:grant-profile:id-jag"])
    );
    assert_eq!(document["identity_chaining_requested_token_types_supported"], json!([ID_JAG]));
    for grant in [EXCHANGE, JWT_BEARER, "client_credentials"] {
        assert!(document["grant_types_supported"].as_array().unwrap().contains(&json!(grant)), "{grant}");
    }
}

#[test]
fn the_document_of_a_resource_elsewhere_names_who_guards_it() {
    let chain = with_chat();
    let id = chain.hub.create_resource(json!({"resource": "https://two.chat.example/", "authorization_server": CHAT}));
    let document = chain.hub.call("GET", &format!("/t/main/resources/{id}/oauth-protected-resource")).send().json();
    assert_eq!(document["authorization_servers"], json!([CHAT]));
    let bad = json!({"resource": "https://x.example", "name": "x", "scopes": [{"name": "a", "description": ""}], "authorization_server": "x"});
    chain.hub.admin("POST", "resources").json(&bad).send().expect(400);
}
