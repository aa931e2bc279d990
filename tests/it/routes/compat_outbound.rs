//! Descope-compatible connection tokens: who gets which, and that policy decides about each.

use super::accounts::{Scene, meanwhile, url};
use super::compat::{PROJECT, open};
use crate::support::browser::{Browser, CALLBACK, VERIFIER, authorization};
use crate::support::hub::{RESOURCE, decode};
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::{Value, json};

const USER: &str = "/v1/mgmt/outbound/app/user/token";
const TENANT: &str = "/v1/mgmt/outbound/app/tenant/token";

/// The scene of connected accounts, with compatible routes.
fn scene() -> Scene {
    let scene = Scene::new(true, 0);
    open(&scene.hub, "main");
    scene
}

/// The token of a compatible route for the agent of the person with this browser, and the person's id.
fn agents_token(scene: &Scene, browser: &Browser<'_>) -> (String, String) {
    let query = authorization(&scene.client, &[("scope", "mcp:read"), ("resource", RESOURCE)]);
    let code = browser.code(&query, &["mcp:read"]);
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*scene.client),
        ("code", &*code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    let token = scene.hub.call("POST", &format!("/oauth2/v1/apps/{PROJECT}/token")).form(&form).send().access_token();
    let user = decode(&token).1["sub"].as_str().unwrap().to_owned();
    (token, user)
}

fn fetch(hub: &Setup, path: &str, credential: &str, body: Value) -> Reply {
    hub.call("POST", path).bearer(&format!("{PROJECT}:{credential}")).json(&body).send()
}

fn key(client: &Credentials) -> String {
    format!("{}:{}", client.client_id, client.client_secret)
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["errorCode"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned())
}

/// A client that may use the admin API and is a resource server.
fn manager(hub: &Setup) -> Credentials {
    let admin = format!("{}/admin", hub.issuer("main"));
    let manager = hub.create_client(json!({"kind": "resource_server", "allowed_resources": [RESOURCE, admin]}));
    let permit = format!(
        r#"permit(principal == Client::"{}", action == Action::"issue", resource in Resource::"{admin}");"#,
        manager.client_id
    );
    hub.put_policy("manager", &permit);
    manager
}

#[test]
fn an_agent_fetches_the_token_of_its_user_and_is_told_where_to_connect_when_there_is_none() {
    let scene = scene();
    let browser = Browser::new(&scene.hub);
    let (token, user) = agents_token(&scene, &browser);
    let body =
        json!({"appId": "chat", "userId": user, "scopes": ["chat:read"], "options": null, "tenantId": null, "new": 1});
    let missing = fetch(&scene.hub, USER, &token, body.clone());
    assert_eq!(code(&missing), (404, "E111504".to_owned()));
    let link = missing.json()["connect_url"].as_str().unwrap().to_owned();
    assert!(missing.json()["errorMessage"].as_str().unwrap().contains(&link), "{missing:?}");
    scene.connect(&browser, &link, "ada@chat").expect(200);
    for path in [USER.to_owned(), format!("{USER}/latest")] {
        let got = fetch(&scene.hub, &path, &token, body.clone()).expect(200).json();
        let got = &got["token"];
        assert!(scene.service.takes(got["accessToken"].as_str().unwrap()), "{got}");
        assert_eq!((&got["appId"], &got["userId"], &got["refreshToken"]), (&json!("chat"), &json!(user), &json!("")));
        let expiry: u64 = got["accessTokenExpiry"].as_str().unwrap().parse().unwrap();
        assert!(expiry > scene.hub.clock.seconds());
    }
    assert_eq!(scene.hub.events_of("lease.granted").len(), 2);
    // Scopes are a ceiling, and no scope is given that the connection does not offer.
    let wrong = json!({"appId": "chat", "userId": user, "scopes": ["chat:delete"]});
    fetch(&scene.hub, USER, &token, wrong).expect(400);
    assert!(!scene.hub.dump_at_rest().contains(&token));
}

#[test]
fn a_bearer_gets_nothing_about_somebody_else_nor_with_a_token_that_does_not_name_the_project() {
    let scene = scene();
    let browser = Browser::new(&scene.hub);
    let (token, user) = agents_token(&scene, &browser);
    let other = scene.hub.admin("POST", "users").json(&json!({"name": "Eve"})).send().expect(201).json()["id"].clone();
    let about = |user: &Value| json!({"appId": "chat", "userId": user});
    fetch(&scene.hub, USER, &token, about(&other)).expect(403);
    let native = scene.agents_token(&browser);
    fetch(&scene.hub, USER, &native, about(&json!(user))).expect(401);
    fetch(&scene.hub, USER, "a.b.c", about(&json!(user))).expect(401);
    fetch(&scene.hub, USER, "", about(&json!(user))).expect(401);
    // Policy decides each time.
    scene.hub.put_policy("lease", r#"forbid(principal, action == Action::"lease", resource);"#);
    let refused = fetch(&scene.hub, USER, &token, about(&json!(user))).expect(403);
    assert!(refused.json()["decision"].is_string(), "{refused:?}");
    // A tenant that wants the resource server to prove itself, as its own routes do, says so.
    scene.hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource);"#);
    let own = r#"forbid(principal, action == Action::"lease", resource) unless { context has resource_server || context has method };"#;
    scene.hub.put_policy("own", own);
    fetch(&scene.hub, USER, &token, about(&json!(user))).expect(403);
    url(&scene.lease(&native));
    scene.hub.admin("DELETE", "policies/own").send().expect(204);
    // So does a stop.
    scene.hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource);"#);
    fetch(&scene.hub, USER, &token, about(&json!(user))).expect(404);
    scene.hub.admin("POST", &format!("clients/{}/suspend", scene.client)).send().expect(200);
    fetch(&scene.hub, USER, &token, about(&json!(user))).expect(401);
}

#[test]
fn a_key_names_a_user_only_for_a_resource_server_that_policy_permits() {
    let scene = scene();
    let (hub, browser) = (&scene.hub, Browser::new(&scene.hub));
    let (token, user) = agents_token(&scene, &browser);
    let missing = fetch(hub, USER, &token, json!({"appId": "chat", "userId": user})).json();
    scene.connect(&browser, missing["connect_url"].as_str().unwrap(), "ada@chat").expect(200);
    let body = json!({"appId": "chat", "userId": user});
    let autonomous = hub.create_client(json!({"allowed_resources": [RESOURCE]}));
    fetch(hub, USER, &key(&scene.server), body.clone()).expect(200);
    fetch(hub, USER, &key(&autonomous), body.clone()).expect(403);
    fetch(hub, USER, &key(&scene.server), json!({"appId": "chat", "userId": "user_nobody"})).expect(403);
    let permit = format!(
        r#"permit(principal == Client::"{}", action == Action::"lease", resource) when {{ context has subject && context.subject.roles.contains("staff") }};"#,
        scene.server.client_id
    );
    hub.put_policy("lease", &permit);
    let refused = fetch(hub, USER, &key(&scene.server), body.clone()).expect(403);
    assert!(refused.json()["decision"].is_string());
    hub.admin("PUT", &format!("users/{user}"))
        .header("if-match", "*")
        .json(&json!({"roles": ["staff"]}))
        .send()
        .expect(200);
    fetch(hub, USER, &key(&scene.server), body.clone()).expect(200);
    let granted = hub.events_of("lease.granted").pop().unwrap();
    assert_eq!((&granted["client"], &granted["subject"]), (&json!(scene.server.client_id), &json!(user)));
    // What an SDK appends is not looked at; a wrong secret is.
    fetch(hub, USER, &format!("{}:more", key(&scene.server)), body.clone()).expect(200);
    fetch(hub, USER, &format!("{}:wrong", scene.server.client_id), body).expect(401);
}

#[test]
fn nobody_gets_the_account_of_a_user_for_a_tenant() {
    let scene = scene();
    let (hub, browser) = (&scene.hub, Browser::new(&scene.hub));
    let (token, user) = agents_token(&scene, &browser);
    let missing = fetch(hub, USER, &token, json!({"appId": "chat", "userId": user})).json();
    scene.connect(&browser, missing["connect_url"].as_str().unwrap(), "ada@chat").expect(200);
    for path in [TENANT.to_owned(), format!("{TENANT}/latest")] {
        for credential in [&token, &key(&scene.server)] {
            let refused = fetch(hub, &path, credential, json!({"appId": "chat", "tenantId": "main"}));
            assert_eq!(code(&refused), (404, "E111504".to_owned()));
        }
    }
    let manager = manager(hub);
    scene.put(json!({"owner": "tenant"}));
    let name = "team";
    let config = json!({"service": scene.service.described(), "client_id": "writ-at-chat", "scopes": ["chat:read"], "owner": "tenant"});
    let made = json!({"kind": "oauth2", "config": config, "secret": {"client_secret": "chat-secret-canary"}});
    hub.admin("PUT", &format!("connections/{name}")).json(&made).send().expect(201);
    hub.put_policy("team", r#"permit(principal, action == Action::"lease", resource == Connection::"team");"#);
    let upload =
        json!({"appId": name, "tenantId": PROJECT, "accessToken": "team-canary", "accessTokenExpiry": 1_767_800_000});
    let path = "/v1/mgmt/outbound/app/tenant/oauthtoken/upload";
    fetch(hub, path, &key(&manager), upload).expect(200);
    for tenant in ["main", PROJECT] {
        let got =
            fetch(hub, TENANT, &key(&scene.server), json!({"appId": name, "tenantId": tenant})).expect(200).json();
        assert_eq!(got["token"]["accessToken"], "team-canary");
    }
    fetch(hub, TENANT, &key(&scene.server), json!({"appId": name, "tenantId": "other"})).expect(404);
    assert!(!hub.dump_at_rest().contains("team-canary"));
}

#[test]
fn tokens_that_were_connected_elsewhere_are_uploaded_listed_and_deleted() {
    let scene = scene();
    let hub = &scene.hub;
    let manager = key(&manager(hub));
    let user = hub.admin("POST", "users").json(&json!({"name": "Eve"})).send().expect(201).json()["id"].clone();
    let path = "/v1/mgmt/outbound/app/user/oauthtoken/upload";
    let upload = |more: Value| {
        let mut body =
            json!({"appId": "chat", "userId": user, "accessToken": "old-canary", "accessTokenExpiry": 1_767_800_000});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fetch(hub, path, &manager, body)
    };
    for bad in [
        json!({"scopes": ["chat:delete"]}),
        json!({"accessToken": null}),
        json!({"accessToken": "a b"}),
        json!({"userId": null}),
        json!({"accessTokenExpiry": 1_767_800_000_000_i64}),
        json!({"externalIdentifier": "No Label"}),
    ] {
        assert_eq!(upload(bad.clone()).status, 400, "{bad}");
    }
    upload(json!({"userId": "user_nobody"})).expect(404);
    upload(json!({"appId": "nothing"})).expect(404);
    upload(json!({})).expect(200);
    let got = || fetch(hub, USER, &key(&scene.server), json!({"appId": "chat", "userId": user}));
    assert_eq!(got().expect(200).json()["token"]["accessToken"], "old-canary");
    assert!(scene.service.revoked.borrow().is_empty());
    // Another upload replaces it. Nothing is revoked: what came may be of the same grant.
    upload(json!({"accessToken": "new-canary", "scopes": ["chat:read"]})).expect(200);
    let token = got().expect(200).json()["token"].clone();
    assert_eq!((&token["accessToken"], &token["scopes"]), (&json!("new-canary"), &json!(["chat:read"])));
    assert!(scene.service.revoked.borrow().is_empty());
    // A lease may be using its refresh token at this moment.
    upload(json!({"refreshToken": "another-canary", "verifyRefresh": true})).expect(409);
    let ask = |method: &str, path: &str| hub.call(method, path).bearer(&format!("{PROJECT}:{manager}")).send();
    let listed = format!("/v1/mgmt/outbound/apps-with-user-token?userId={}", user.as_str().unwrap());
    assert_eq!(ask("GET", &listed).expect(200).json(), json!({"appIds": ["chat"]}));
    ask("DELETE", &format!("/v1/mgmt/outbound/token?id={}", token["id"].as_str().unwrap())).expect(200);
    assert_eq!(code(&got()), (404, "E111504".to_owned()));
    ask("DELETE", &format!("/v1/mgmt/outbound/token?id={}", token["id"].as_str().unwrap())).expect(404);
    upload(json!({"accessToken": "last-canary"})).expect(200);
    let of_user = format!("/v1/mgmt/outbound/user/tokens?userId={}", user.as_str().unwrap());
    ask("DELETE", &format!("{of_user}&appId=other")).expect(200);
    got().expect(200);
    ask("DELETE", &format!("{of_user}&appId=chat")).expect(200);
    assert_eq!(code(&got()), (404, "E111504".to_owned()));
    assert_eq!(ask("GET", &listed).expect(200).json(), json!({"appIds": []}));
    ask("DELETE", "/v1/mgmt/outbound/user/tokens?appId=chat").expect(400);
    let everything = hub.dump_at_rest() + &format!("{:?}", hub.events());
    for canary in ["old-canary", "new-canary", "last-canary"] {
        assert!(!everything.contains(canary), "{canary}");
    }
}

#[test]
fn several_uploads_are_all_sound_or_none_is_stored_and_a_refresh_token_is_verified_where_that_is_asked() {
    let scene = scene();
    let (hub, browser) = (&scene.hub, Browser::new(&scene.hub));
    let manager = key(&manager(hub));
    let (_, user) = agents_token(&scene, &browser);
    let other = hub.admin("POST", "users").json(&json!({"name": "Eve"})).send().expect(201).json()["id"].clone();
    let one = |user: &Value, token: &str| json!({"appId": "chat", "userId": user, "accessToken": token});
    let batch = |tokens: Value| {
        let path = "/v1/mgmt/outbound/app/user/oauthtoken/batch/upload";
        fetch(hub, path, &manager, json!({"tokens": tokens}))
    };
    let got = |user: &Value| fetch(hub, USER, &key(&scene.server), json!({"appId": "chat", "userId": user}));
    let user = json!(user);
    let told = batch(json!([one(&user, "canary-a"), one(&json!("user_nobody"), "canary-b")])).expect(200).json();
    assert_eq!(told["failures"][0]["userId"], "user_nobody");
    assert_eq!((told["failures"].as_array().unwrap().len(), got(&user).status), (1, 404));
    let told = batch(json!([one(&user, "canary-a"), one(&other, "canary-b")])).expect(200).json();
    assert_eq!(told, json!({"failures": []}));
    assert_eq!(got(&other).expect(200).json()["token"]["accessToken"], "canary-b");
    batch(json!(vec![one(&user, "canary-a"); 21])).expect(400);
    // A refresh token that the service does not take leaves what is there.
    let path = "/v1/mgmt/outbound/app/user/oauthtoken/upload";
    let body = json!({"appId": "chat", "userId": user, "refreshToken": "canary-r", "verifyRefresh": true});
    fetch(hub, path, &manager, body.clone()).expect(409);
    let there = got(&user).expect(200).json()["token"].clone();
    assert_eq!((scene.service.refreshes.get(), &there["accessToken"]), (0, &json!("canary-a")));
    let delete = format!("/v1/mgmt/outbound/token?id={}", there["id"].as_str().unwrap());
    hub.call("DELETE", &delete).bearer(&format!("{PROJECT}:{manager}")).send().expect(200);
    fetch(hub, path, &manager, body).expect(400);
    assert_eq!((scene.service.refreshes.get(), got(&user).status), (1, 404));
    assert!(!hub.dump_at_rest().contains("canary-"));
}

#[test]
fn a_refresh_token_that_was_verified_is_not_lost_to_one_write_that_goes_wrong() {
    for effect in [Effect::Fails, Effect::LosesReply] {
        let mut kept = 0;
        for nth in 0..14 {
            let scene = scene();
            let hub = &scene.hub;
            let manager = key(&manager(hub));
            let (_, user) = agents_token(&scene, &Browser::new(hub));
            let token = scene.service.refresh_token("ada@chat", "chat:read chat:write");
            let body = json!({"appId": "chat", "userId": user, "refreshToken": token, "verifyRefresh": true});
            hub.faults.fail_nth(Port::Db, nth, effect);
            fetch(hub, "/v1/mgmt/outbound/app/user/oauthtoken/upload", &manager, body);
            hub.faults.heal();
            let got = fetch(hub, USER, &key(&scene.server), json!({"appId": "chat", "userId": user}));
            match scene.service.refreshes.get() {
                0 => assert_eq!(got.status, 404, "{effect:?} {nth}"),
                _ => {
                    let token = got.expect(200).json()["token"]["accessToken"].as_str().unwrap().to_owned();
                    assert!(scene.service.takes(&token), "{effect:?} {nth}");
                    kept += 1;
                }
            }
        }
        assert!(kept > 0, "{effect:?}: no write went wrong after the verification");
    }
}

#[test]
fn a_refresh_token_that_is_verified_has_the_scope_that_the_service_says() {
    let scene = scene();
    let hub = &scene.hub;
    let manager = key(&manager(hub));
    let (_, user) = agents_token(&scene, &Browser::new(hub));
    let token = scene.service.refresh_token("ada@chat", "chat:read");
    let body = json!({"appId": "chat", "userId": user, "refreshToken": token, "verifyRefresh": true});
    fetch(hub, "/v1/mgmt/outbound/app/user/oauthtoken/upload", &manager, body).expect(200);
    let got = fetch(hub, USER, &key(&scene.server), json!({"appId": "chat", "userId": user})).expect(200).json();
    assert_eq!(got["token"]["scopes"], json!(["chat:read"]));
    let row = hub.db.query("SELECT scope, scope_asked FROM connected_accounts WHERE tenant = 'main'").pop().unwrap();
    assert_eq!((&row["scope"], &row["scope_asked"]), (&json!("chat:read"), &json!("chat:read chat:write")));
    // What was not granted is not leased, but asked for.
    let more = json!({"appId": "chat", "userId": user, "scopes": ["chat:write"]});
    assert_eq!(code(&fetch(hub, USER, &key(&scene.server), more)), (404, "E111504".to_owned()));
}

#[test]
fn an_upload_whose_connection_changes_meanwhile_is_refused_and_nothing_that_it_was_given_stays() {
    let scene = scene();
    let hub = &scene.hub;
    let manager = key(&manager(hub));
    let (_, user) = agents_token(&scene, &Browser::new(hub));
    let token = scene.service.refresh_token("ada@chat", "chat:read");
    let body = json!({"appId": "chat", "userId": user, "refreshToken": token, "verifyRefresh": true});
    scene.service.delay_millis.set(2_000);
    let change = scene.replacing(&scene.evil());
    let path = "/v1/mgmt/outbound/app/user/oauthtoken/upload";
    let call = hub.call("POST", path).bearer(&format!("{PROJECT}:{manager}")).json(&body);
    let refused = meanwhile(hub, call, 1_000, async || {
        change.future().await.expect(200);
    });
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!((scene.service.refreshes.get(), scene.service.revoked.borrow().len()), (1, 1));
    assert!(hub.db.query("SELECT id FROM connected_accounts WHERE tenant = 'main'").is_empty());
    scene.expect_nothing_sent_elsewhere();
}

#[test]
fn a_connection_token_says_whether_there_is_a_refresh_token_and_when_it_was_last_refreshed() {
    let scene = scene();
    let (hub, browser) = (&scene.hub, Browser::new(&scene.hub));
    let manager = key(&manager(hub));
    let (token, user) = agents_token(&scene, &browser);
    let got = |label: &str| {
        let body = json!({"appId": "chat", "userId": user, "externalIdentifier": label});
        fetch(hub, USER, &key(&scene.server), body).expect(200).json()["token"].clone()
    };
    let path = "/v1/mgmt/outbound/app/user/oauthtoken/upload";
    let body = json!({
        "appId": "chat", "userId": user, "accessToken": "canary-a", "accessTokenExpiry": 1_767_800_000, "externalIdentifier": "bare",
    });
    fetch(hub, path, &manager, body).expect(200);
    let bare = got("bare");
    assert_eq!((&bare["hasRefreshToken"], &bare["lastRefreshTime"]), (&json!(false), &json!("0")));
    let missing = fetch(hub, USER, &token, json!({"appId": "chat", "userId": user})).json();
    scene.connect(&browser, missing["connect_url"].as_str().unwrap(), "ada@chat").expect(200);
    let fresh = got("");
    assert_eq!((&fresh["hasRefreshToken"], &fresh["lastRefreshTime"]), (&json!(true), &json!("0")));
    // What is no refresh does not count as one.
    for verb in ["suspend", "resume"] {
        let path = format!("connections/chat/accounts/{}/{verb}", fresh["id"].as_str().unwrap());
        hub.admin("POST", &path).send().expect(200);
    }
    assert_eq!(got("")["lastRefreshTime"], "0");
    scene.due();
    let at = hub.clock.seconds().to_string();
    assert_eq!((got("")["lastRefreshTime"].clone(), scene.service.refreshes.get()), (json!(at), 1));
    hub.clock.advance(60);
    assert_eq!((&got("")["lastRefreshTime"], &got("")["lastRefreshError"]), (&json!(at), &json!("")));
    // The service is in trouble, and what is there still lives.
    hub.clock.advance(3_500);
    *scene.service.instead.borrow_mut() = Some(crate::support::Scripted::json(503, json!({})));
    let at = hub.clock.seconds().to_string();
    let degraded = got("");
    assert_eq!((&degraded["lastRefreshTime"], &degraded["lastRefreshError"]), (&json!(at), &json!("degraded")));
}

#[test]
fn an_api_key_is_uploaded_and_handed_out_where_the_connection_says_so() {
    let scene = scene();
    let hub = &scene.hub;
    let manager = key(&manager(hub));
    let put = |name: &str, may_be_leased: bool| {
        let service =
            json!({"name": "Search", "proxy": {"base_url": "https://api.search.example", "header": "x-api-key"}});
        let config = json!({"service": service, "may_be_leased": may_be_leased});
        let body = json!({"kind": "api_key", "config": config, "secret": {"api_key": "first-canary"}});
        hub.admin("PUT", &format!("connections/{name}")).json(&body).send().expect(201);
        hub.put_policy(
            name,
            &format!(r#"permit(principal, action == Action::"lease", resource == Connection::"{name}");"#),
        );
    };
    put("search", true);
    put("closed", false);
    let upload = |app: &str, text: &str| {
        let body = json!({"appId": app, "tenantId": "main", "apiKey": text});
        fetch(hub, "/v1/mgmt/outbound/app/tenant/apikey/upload", &manager, body)
    };
    let got = |app: &str| fetch(hub, TENANT, &key(&scene.server), json!({"appId": app, "tenantId": "main"}));
    assert_eq!(got("search").expect(200).json()["token"]["accessToken"], "first-canary");
    upload("search", "second-canary").expect(200);
    let answer = got("search").expect(200).json();
    assert_eq!((&answer["token"]["accessToken"], &answer["credentials"]), (&json!("second-canary"), &Value::Null));
    assert_eq!(answer["token"]["accessTokenExpiry"], "0");
    // A key that is JSON stands beside the token, where servers look for the key of a service account.
    let account = json!({"client_email": "a@b.example", "private_key": "third-canary"}).to_string();
    upload("search", &account).expect(200);
    assert_eq!(got("search").expect(200).json()["credentials"], json!(account));
    got("closed").expect(403);
    upload("chat", "x").expect(400);
    upload("nothing", "x").expect(404);
    let body = json!({"appId": "search", "userId": "user_x", "apiKey": "x"});
    fetch(hub, "/v1/mgmt/outbound/app/user/apikey/upload", &manager, body).expect(400);
    let everything = hub.dump_at_rest() + &format!("{:?}", hub.events());
    for canary in ["first-canary", "second-canary", "third-canary"] {
        assert!(!everything.contains(canary), "{canary}");
    }
}

#[test]
fn what_is_managed_with_a_key_needs_room_in_a_limit_and_counts_nothing() {
    let scene = scene();
    let hub = &scene.hub;
    let manager = manager(hub);
    let admin = format!("{}/admin", hub.issuer("main"));
    let limited = format!(
        r#"@limit("1/hour client") permit(principal == Client::"{}", action == Action::"issue", resource in Resource::"{admin}");"#,
        manager.client_id
    );
    hub.put_policy("manager", &limited);
    let look = || hub.call("GET", "/v1/mgmt/outbound/apps").bearer(&format!("{PROJECT}:{}", key(&manager))).send();
    for _ in 0..3 {
        look().expect(200);
    }
    assert!(hub.db.query("SELECT taken FROM limit_counts WHERE tenant = 'main'").is_empty());
    hub.token(&manager, &[("resource", &admin), ("scope", "admin:read")]).expect(200);
    assert_eq!(look().status, 403, "the token has used it up");
}

#[test]
fn whose_breach_suspends_and_who_never_had_a_token_is_suspended_as_well() {
    let scene = scene();
    let hub = &scene.hub;
    let closed = json!({"may_be_leased": true, "service": {"name": "S", "proxy": {"base_url": "https://s.example", "header": "x-key"}}});
    let body = json!({"kind": "api_key", "config": closed, "secret": {"api_key": "k"}});
    hub.admin("PUT", "connections/search").json(&body).send().expect(201);
    let permit = r#"@limit("1/hour") @on_breach("suspend") permit(principal, action == Action::"lease", resource == Connection::"search");"#;
    hub.put_policy("search", permit);
    let got = || fetch(hub, TENANT, &key(&scene.server), json!({"appId": "search", "tenantId": "main"}));
    got().expect(200);
    assert_eq!(got().status, 429);
    assert_eq!(hub.events_of("identity.suspended").len(), 1);
    hub.clock.advance(3_600);
    assert_eq!(code(&got()).0, 403, "it is stopped");
    let of = format!("SELECT id FROM identities WHERE client = '{}'", scene.server.client_id);
    let id = hub.db.query(&of)[0]["id"].as_str().unwrap().to_owned();
    hub.admin("POST", &format!("identities/{id}/resume")).send().expect(200);
    got().expect(200);
}

#[test]
fn no_key_passes_by_registration_and_policy() {
    let scene = scene();
    let hub = &scene.hub;
    let ask = |credential: &str, method: &str, path: &str| {
        hub.call(method, path).bearer(&format!("{PROJECT}:{credential}")).send()
    };
    let manager = manager(hub);
    let apps = ask(&key(&manager), "GET", "/v1/mgmt/outbound/apps").expect(200);
    assert_eq!(apps.json()["apps"][0]["id"], "chat");
    assert_eq!(apps.json()["apps"][0]["defaultScopes"], json!(["chat:read", "chat:write"]));
    let one = ask(&key(&manager), "GET", "/v1/mgmt/outbound/app/chat").expect(200).json();
    assert_eq!((&one["app"]["id"], &one["app"]["appType"]), (&json!("chat"), &json!("oauth")));
    assert!(!apps.text.contains("secret"), "{apps:?}");
    ask(&key(&manager), "GET", "/v1/mgmt/outbound/app/nothing").expect(404);
    // Registration alone is not enough, nor is policy alone.
    let everywhere = [
        ("GET", "/v1/mgmt/outbound/apps"),
        ("GET", "/v1/mgmt/outbound/app/chat"),
        ("GET", "/v1/mgmt/outbound/apps-with-user-token?userId=user_x"),
        ("DELETE", "/v1/mgmt/outbound/token?id=x"),
        ("DELETE", "/v1/mgmt/outbound/user/tokens?userId=user_x"),
    ];
    for (method, path) in everywhere {
        ask(&key(&scene.server), method, path).expect(403);
    }
    let forbid = |when: &str| {
        format!(
            r#"forbid(principal == Client::"{}", action == Action::"issue", resource) when {{ {when} }};"#,
            manager.client_id
        )
    };
    hub.put_policy("manager", &forbid(r#"resource.name == "admin""#));
    ask(&key(&manager), "GET", "/v1/mgmt/outbound/apps").expect(200);
    let refused = ask(&key(&manager), "DELETE", "/v1/mgmt/outbound/token?id=x").expect(403);
    assert!(refused.json()["decision"].is_string(), "{refused:?}");
    hub.put_policy("manager", &forbid("true"));
    for (method, path) in everywhere {
        ask(&key(&manager), method, path).expect(403);
    }
    // A token of an agent manages nothing.
    let (token, _) = agents_token(&scene, &Browser::new(hub));
    ask(&token, "GET", "/v1/mgmt/outbound/apps").expect(401);
    assert!(hub.events_of("admin.refused").len() > 5);
}
