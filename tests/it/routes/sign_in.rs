//! `/t/{tenant}/sign-in`: people sign in with an identity provider, which can end their sessions.

use super::authorize::{client, permitting, redeem, refresh, text};
use crate::reasons::on_a_page;
use crate::support::browser::{Browser, authorization, field, location, parameter};
use crate::support::hub::{ISSUER, RESOURCE};
use crate::support::idp::{CLIENT, IDP, Idp, SECRET, parameters};
use crate::support::{Effect, Port, Reply, Scripted, Setup, Signer};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use writ::crypto::b64;
use writ::error::Reason;
use writ::ports::{Alg, FetchError};

const LOGOUT: &str = "/t/main/sign-in/backchannel-logout";

fn hub() -> Setup {
    permitting(Setup::new())
}

/// The request of a client, as the browser sends it.
fn ask(browser: &Browser<'_>, client: &str, more: &[(&str, &str)]) -> Reply {
    let more: Vec<_> = [("scope", "mcp:read openid"), ("resource", RESOURCE)].iter().chain(more).copied().collect();
    browser.get(&format!("/t/main/authorize?{}", authorization(client, &more)))
}

/// Signs somebody in for a new request of the client: the reply of the callback.
fn sign_in(idp: &Idp<'_>, browser: &Browser<'_>, client: &str, claims: Value) -> Reply {
    let to = location(&ask(browser, client, &[]).expect(303));
    browser.get(&idp.authorize(&to, claims))
}

/// Where the page goes on to by itself.
#[track_caller]
fn goes_on(reply: &Reply) -> String {
    let to = reply.header("refresh").and_then(|refresh| refresh.strip_prefix("0;url="));
    to.unwrap_or_else(|| panic!("it goes nowhere: {reply:?}")).to_owned()
}

fn users(hub: &Setup) -> Vec<Value> {
    hub.admin("GET", "users").send().expect(200).json()["items"].as_array().unwrap().clone()
}

fn sessions(hub: &Setup) -> usize {
    hub.db.query("SELECT id FROM sessions").len()
}

#[test]
fn a_person_signs_in_with_the_identity_provider_and_the_request_goes_on() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    // With one provider nobody has to choose.
    let to = location(&ask(&browser, &client, &[]).expect(303));
    let back = browser.get(&idp.authorize(&to, json!({"acr": "urn:mfa"}))).expect(303);
    assert!(!browser.cookies().contains("signin"), "what belongs to the sign-in is gone: {}", browser.cookies());
    let page = browser.get(&location(&back)).expect(200);
    assert!(page.text.contains("Ada Lovelace"), "{}", page.text);
    let back = browser.decide(&page, &["mcp:read", "openid"]).expect(303);
    let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    let [user] = users(&hub).try_into().unwrap();
    assert_eq!(user["accounts"], json!([{"issuer": IDP, "subject": "ada"}]));
    let (_, claims) = crate::support::call::decode(&tokens.access_token());
    assert_eq!((&claims["sub"], &claims["acr"]), (&user["id"], &json!("urn:mfa")));
    let event = hub.events_of("session.begun").pop().unwrap();
    assert_eq!((&event["subject"], event["detail"].as_str()), (&user["id"], Some(IDP)));
}

/// docs/requirements.md R164; MCP, "Confused Deputy Problem".
#[test]
fn with_several_providers_or_a_client_nobody_has_verified_our_own_page_comes_first() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({"label": "Example & Co"})).expect(201);
    hub.db.execute(
        "UPDATE clients SET registration = 'dynamic' WHERE registration = 'admin' AND metadata LIKE '%Notes%'",
    );
    hub.restart();
    let page = ask(&browser, &client, &[]).expect(200);
    assert!(page.text.contains("<p class=\"quiet\">Main</p>"), "the tenant: {}", page.text);
    assert!(page.text.contains("Notes app") && page.text.contains("Example &amp; Co"), "{}", page.text);
    assert!(!browser.cookies().contains("signin") && hub.fetch.requests().is_empty(), "nothing has begun");
    let request = field(&page, "request");
    let going = browser.post("/t/main/sign-in", &[("provider", "idp"), ("request", &request)]).expect(200);
    let policy = going.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self';"), "{policy}");
    let back = browser.get(&idp.authorize(&goes_on(&going), json!({}))).expect(303);
    browser.get(&location(&back)).expect(200);

    hub.db.execute("UPDATE clients SET registration = 'admin'");
    let other = json!({"id": "other", "issuer": "https://other.example", "label": null});
    idp.register(other).expect(201);
    hub.restart();
    let page = ask(&Browser::new(&hub), &client, &[]).expect(200);
    assert!(page.text.contains("value=\"idp\"") && page.text.contains("value=\"other\""), "{}", page.text);
}

/// OpenID Connect Core §3.1.3.7; RFC 8725 §3.1.
#[test]
fn an_id_token_that_is_not_the_providers_for_us_and_this_browser_now_signs_nobody_in() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    let now = hub.clock.seconds();
    let refused = |claims: Value| {
        let reply = sign_in(&idp, &browser, &client, claims.clone());
        assert_eq!((reply.status, sessions(&hub)), (502, 0), "{claims}: {reply:?}");
        assert!(
            reply.text.contains(&on_a_page(Reason::SignInInvalid.wire().description))
                && reply.text.contains("/authorize/")
        );
    };
    for claims in [
        json!({"iss": "https://evil.example"}),
        json!({"iss": format!("{IDP}/")}),
        json!({"aud": "somebody-else"}),
        json!({"aud": [CLIENT, "somebody-else"]}),
        json!({"aud": null}),
        json!({"azp": "somebody-else"}),
        json!({"azp": 1}),
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"exp": now - 60}),
        json!({"exp": null}),
        json!({"exp": now + 90_000}),
        json!({"iat": null}),
        json!({"iat": now + 600}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
    ] {
        refused(claims);
    }
    idp.sign_with(|claims| format!("{}.{}.", b64(json!({"alg": "none"}).to_string()), b64(claims.to_string())));
    refused(json!({}));
    // The public key as a secret.
    let jwk = idp.signer.jwk.clone();
    idp.sign_with(move |claims| {
        let input = format!("{}.{}", b64(json!({"alg": "HS256", "kid": "k"}).to_string()), b64(claims.to_string()));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(jwk.as_bytes()).unwrap();
        mac.update(input.as_bytes());
        format!("{input}.{}", b64(mac.finalize().into_bytes()))
    });
    refused(json!({}));
    let other = Signer::new(Alg::Rs256, 5);
    idp.sign_with(move |claims| other.jwt(json!({"kid": "k"}), claims));
    refused(json!({}));
    let signer = idp.signer.clone();
    idp.sign_with(move |claims| signer.jwt(json!({"kid": "k", "typ": "logout+jwt"}), claims));
    refused(json!({}));
    let signer = idp.signer.clone();
    idp.sign_with(move |claims| signer.jwt(json!({"kid": "k", "typ": "JWT"}), claims));
    sign_in(&idp, &browser, &client, json!({"aud": [CLIENT], "azp": CLIENT})).expect(303);
    assert_eq!(sessions(&hub), 1);
}

/// docs/requirements.md R163; FastMCP GHSA-rww4-4w9c-7733.
#[test]
fn a_sign_in_ends_in_the_browser_that_began_it_once_and_in_time() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    let to = location(&ask(&browser, &client, &[]).expect(303));
    let callback = idp.authorize(&to, json!({}));
    let fetched = hub.fetch.requests().len();
    let another = Browser::new(&hub);
    ask(&another, &client, &[]).expect(303);
    for stranger in [&another, &Browser::new(&hub)] {
        let reply = stranger.get(&callback).expect(403);
        assert!(reply.text.contains("another browser"), "{reply:?}");
    }
    assert_eq!(hub.fetch.requests().len(), fetched, "the code goes nowhere");
    browser.get(&callback).expect(303);
    browser.get(&callback).expect(403);
    assert_eq!(sessions(&hub), 1);

    let browser = Browser::new(&hub);
    let callback = idp.authorize(&location(&ask(&browser, &client, &[]).expect(303)), json!({}));
    hub.clock.advance(3_601);
    browser.get(&callback).expect(403);
    browser.get("/t/main/sign-in/callback").expect(403);
    browser.get("/t/main/sign-in/callback?state=x&state=y").expect(403);
}

#[test]
fn two_tabs_sign_in_side_by_side_and_at_the_same_time() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({"groups_claim": "groups"})).expect(201);
    for seed in 0..10 {
        let browser = Browser::new(&hub);
        let [one, two] = [(); 2].map(|()| location(&ask(&browser, &client, &[("prompt", "login")]).expect(303)));
        let tabs = [
            idp.authorize(&one, json!({"groups": [format!("g{seed}")]})),
            idp.authorize(&two, json!({"groups": [format!("g{seed}")]})),
        ];
        let cookies = browser.cookies();
        let calls = tabs.iter().map(|tab| {
            let path = tab.strip_prefix(hub.origin()).unwrap();
            hub.call("GET", path).header("cookie", &cookies).on(&hub.isolate()).future()
        });
        let replies = hub.together(seed, calls.collect());
        assert!(replies.iter().all(|reply| reply.status == 303), "{replies:?}");
        let [user] = users(&hub).try_into().unwrap();
        assert_eq!(user["groups"], json!([format!("g{seed}")]));
    }
}

#[test]
fn a_provider_in_trouble_is_a_page_that_says_to_try_again_and_nothing_is_lost() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    for trouble in [
        Scripted::failure(FetchError::Unreachable),
        Scripted::failure(FetchError::Timeout),
        Scripted::answer(503, "text/html", "<h1>down</h1>"),
        Scripted::answer(200, "text/html", "<h1>hello</h1>"),
        Scripted::json(
            200,
            json!({"issuer": "https://evil.example", "authorization_endpoint": "https://evil.example/"}),
        ),
        Scripted::json(
            200,
            json!({"issuer": IDP, "authorization_endpoint": "http://127.0.0.1/", "token_endpoint": "https://10.0.0.1/"}),
        ),
    ] {
        hub.restart();
        idp.trouble(Some(trouble));
        // Without the provider there is our own page, and the button says what is wrong.
        let page = ask(&browser, &client, &[]).expect(200);
        let request = field(&page, "request");
        let reply = browser.post("/t/main/sign-in", &[("provider", "idp"), ("request", &request)]).expect(502);
        assert_eq!(hub.events_of("key_set.failed").last().unwrap()["target"], "idp");
        assert!(
            reply.text.contains("try again") && reply.text.contains(&format!("/authorize/{request}")),
            "{}",
            reply.text
        );
        idp.trouble(None);
        hub.clock.advance(6);
        browser.get(&format!("/t/main/authorize/{request}")).expect(200);
        let going = browser.post("/t/main/sign-in", &[("provider", "idp"), ("request", &request)]).expect(200);
        let callback = idp.authorize(&goes_on(&going), json!({}));
        // In trouble again, when the code is to be redeemed: the same response counts later.
        idp.trouble(Some(Scripted::answer(502, "text/html", "")));
        assert!(browser.get(&callback).expect(502).text.contains("try again"));
        idp.trouble(None);
        let back = browser.get(&callback).expect(303);
        assert!(location(&back).ends_with(&request));
        browser.get(&location(&back)).expect(200);
        browser.forget("__Host-writ-main");
    }
}

/// RFC 9207 §2.4; OpenID Connect Core §3.1.2.6.
#[test]
fn a_response_of_another_issuer_or_an_error_signs_nobody_in_and_redeems_nothing() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    let changed = |change: &dyn Fn(&str) -> String| {
        let to = location(&ask(&browser, &client, &[]).expect(303));
        let callback = idp.authorize(&to, json!({}));
        let (path, query) = callback.split_once('?').unwrap();
        browser.get(&format!("{path}?{}", change(query)))
    };
    let iss = form_urlencoded::byte_serialize(IDP.as_bytes()).collect::<String>();
    changed(&|query| query.replace(&iss, "https%3A%2F%2Fevil.example")).expect(502);
    changed(&|query| query.replace(&format!("&iss={iss}"), "")).expect(502);
    let state = |query: &str| parameters(query)["state"].clone();
    changed(&|query| format!("state={}&error=access_denied&iss=https%3A%2F%2Fevil.example", state(query))).expect(502);
    let declined = changed(&|query| format!("state={}&error=access_denied&iss={iss}", state(query))).expect(403);
    assert!(
        declined.text.contains(&on_a_page(Reason::SignInDeclined.wire().description))
            && declined.text.contains("/authorize/")
    );
    changed(&|query| format!("{query}&code=another")).expect(400);
    changed(&|query| format!("state={}&error=a%0Aline&iss={iss}", state(query))).expect(403);
    assert!(!hub.log.lines().iter().any(|line| line.contains("a\nline")));
    assert!(idp.asked().is_empty(), "no code was redeemed");
    // Without the promise of the provider its `iss` may be absent.
    idp.configure(json!({"authorization_response_iss_parameter_supported": null}));
    changed(&|query| query.replace(&format!("&iss={iss}"), "")).expect(303);
}

/// OpenID Connect Core §5.7.
#[test]
fn an_account_is_issuer_and_subject_and_nothing_else() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    for sub in ["ada", "bob", "ada"] {
        sign_in(&idp, &Browser::new(&hub), &client, json!({"sub": sub, "email": "same@example.com"})).expect(303);
    }
    assert_eq!(users(&hub).len(), 2);

    let body = json!({"issuer": IDP, "name": "IdP", "uses": ["sign_in"], "client_id": CLIENT, "creates_users": false});
    hub.admin("PUT", "issuers/idp").header("if-match", "*").json(&body).send().expect(200);
    let made = json!({"name": "Eve", "email": "eve@example.com"});
    hub.admin("POST", "users").json(&made).send().expect(201);
    let browser = Browser::new(&hub);
    let reply = sign_in(&idp, &browser, &client, json!({"sub": "eve", "email": "eve@example.com"})).expect(403);
    assert!(reply.text.contains(&on_a_page(Reason::UnknownAccount.wire().description)), "{reply:?}");
    let event = hub.events_of("session.refused").pop().unwrap();
    assert_eq!(event["reason"], "UnknownAccount");
    assert!(event["detail"].as_str().unwrap().contains("eve"));
    sign_in(&idp, &Browser::new(&hub), &client, json!({"sub": "bob"})).expect(303);
}

#[test]
fn what_the_provider_says_of_a_person_is_a_fact_for_policies_and_follows_each_sign_in() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    let mapped = json!({"groups_claim": "groups", "roles_claim": "realm.roles", "claims": ["department"]});
    idp.register(mapped).expect(201);
    let cedar = format!(
        r#"permit(principal, action == Action::"issue", resource in Resource::"{RESOURCE}") when {{
            context has subject && context.subject.groups.contains("staff") && context.subject.roles.contains("dev")
            && context.subject.claims.contains("department=finance") }};"#
    );
    hub.put_policy("all", &cedar);
    let possible = |claims: Value| {
        let browser = Browser::new(&hub);
        let back = sign_in(&idp, &browser, &client, claims).expect(303);
        !browser.get(&location(&back)).text.contains("disabled")
    };
    let all = json!({"groups": ["staff", "x"], "realm": {"roles": ["dev"]}, "department": "finance"});
    assert!(possible(all.clone()));
    let user = users(&hub)[0].clone();
    assert_eq!(user["claims"], json!(["department=finance"]));
    assert!(possible(all.clone()));
    assert_eq!(users(&hub)[0], user, "no news, no change");
    for gone in ["groups", "realm", "department"] {
        let mut claims = all.clone();
        claims.as_object_mut().unwrap().remove(gone);
        assert!(!possible(claims), "{gone}");
    }
    let many: Vec<String> = (0..101).map(|n| format!("g{n}")).collect();
    sign_in(&idp, &Browser::new(&hub), &client, json!({"groups": many})).expect(502);
}

#[test]
fn who_was_stopped_does_not_sign_in_and_a_session_ends_with_a_stop_for_good() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    let auth_time = json!({"auth_time": hub.clock.seconds() - 100});
    let back = sign_in(&idp, &browser, &client, auth_time.clone()).expect(303);
    let user = users(&hub)[0]["id"].as_str().unwrap().to_owned();
    hub.admin("POST", &format!("users/{user}/suspend")).send().expect(200);
    let reply = sign_in(&idp, &Browser::new(&hub), &client, auth_time.clone()).expect(403);
    assert!(reply.text.contains(&on_a_page(Reason::AccountStopped.wire().description)), "{reply:?}");
    hub.admin("POST", &format!("users/{user}/resume")).send().expect(200);
    hub.clock.advance(10);
    assert!(browser.get(&location(&back)).text.contains("Ada Lovelace"), "resumed with the session");
    hub.db.execute(&format!("UPDATE tenants SET revoked_before = {}", hub.clock.seconds() - 5));
    hub.restart();
    assert!(!browser.get(&location(&back)).text.contains("Ada Lovelace"), "the tenant was stopped meanwhile");
    // The provider remembers an older authentication.
    let again = Browser::new(&hub);
    let back = sign_in(&idp, &again, &client, auth_time).expect(303);
    assert!(again.get(&location(&back)).expect(200).text.contains("Ada Lovelace"));
    hub.admin("POST", &format!("users/{user}/kill")).send().expect(200);
    sign_in(&idp, &Browser::new(&hub), &client, json!({})).expect(403);
}

/// OpenID Connect Core §3.1.2.1.
#[test]
fn what_a_request_wants_of_the_sign_in_is_passed_on_and_held_to() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({"scopes": "openid groups"})).expect(201);
    let wanted = [("prompt", "login"), ("max_age", "60"), ("acr_values", "urn:mfa"), ("login_hint", "ada@example.com")];
    let to = location(&ask(&browser, &client, &wanted).expect(303));
    let sent = parameters(to.split_once('?').unwrap().1);
    for (name, value) in wanted.iter().chain(&[("scope", "openid groups")]) {
        assert_eq!(sent[*name], *value, "{to}");
    }
    // The provider did not ask again: nor do we take it for fresh.
    let old = json!({"auth_time": hub.clock.seconds() - 600, "acr": "urn:mfa"});
    let back = browser.get(&idp.authorize(&to, old)).expect(303);
    let told = browser.get(&location(&back)).expect(303);
    assert_eq!(parameter(&told, "error").unwrap(), Reason::UnmetAuthentication.wire().code);
    // Its clock is a little behind.
    let browser = Browser::new(&hub);
    let to = location(&ask(&browser, &client, &wanted).expect(303));
    let fresh = json!({"auth_time": hub.clock.seconds() - 3, "acr": "urn:mfa"});
    let back = browser.get(&idp.authorize(&to, fresh)).expect(303);
    let page = browser.get(&location(&back)).expect(200);
    assert!(page.text.contains("Ada Lovelace"), "{}", page.text);
    let request = location(&back).rsplit('/').next().unwrap().to_owned();
    // As somebody else.
    let tag = field(&page, "tag");
    let tag =
        page.text.rsplit("name=\"tag\" value=\"").next().map_or(tag, |rest| rest[..rest.find('"').unwrap()].to_owned());
    let out = browser.post("/t/main/sign-out", &[("request", &request), ("tag", &tag)]).expect(303);
    let page = browser.get(&location(&out)).expect(200);
    let again = field(&page, "again");
    for (lists, prompt) in [(json!(["none", "select_account"]), "login select_account"), (json!(null), "login")] {
        idp.configure(json!({"prompt_values_supported": lists}));
        let form = [("provider", "idp"), ("request", &request), ("again", &again)];
        let to = goes_on(&browser.post("/t/main/sign-in", &form).expect(200));
        assert_eq!(parameters(to.split_once('?').unwrap().1)["prompt"], prompt);
    }
}

/// RFC 9470 §3, §4.
#[test]
fn a_second_factor_that_policy_wants_is_asked_of_the_provider_once_and_the_client_is_told() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    let permit = |scope: &str| {
        format!(r#"permit(principal, action == Action::"issue", resource == Scope::"{RESOURCE} {scope}");"#)
    };
    hub.put_policy("all", &permit("mcp:read"));
    hub.put_policy("write", &format!("@require(\"step_up:acr=urn:mfa,acr=phr\") {}", permit("mcp:write")));
    let (scopes, wanted) = (["mcp:read", "mcp:write"], Some("urn:mfa phr"));
    let ask = |browser: &Browser<'_>, more: &[(&str, &str)]| {
        let more: Vec<_> =
            [("scope", "mcp:read mcp:write"), ("resource", RESOURCE)].iter().chain(more).copied().collect();
        browser.get(&format!("/t/main/authorize?{}", authorization(&client, &more)))
    };
    let at_provider = |to: &str| parameters(to.split_once('?').unwrap().1);
    let returning = |browser: &Browser<'_>, to: &str, acr: &str| {
        let claims = json!({"acr": acr, "auth_time": hub.clock.seconds()});
        browser.get(&location(&browser.get(&idp.authorize(to, claims)).expect(303)))
    };
    let again = |browser: &Browser<'_>, page: &Reply| {
        let form = [("provider", "idp"), ("request", &field(page, "request"))];
        goes_on(&browser.post("/t/main/sign-in", &form).expect(200))
    };
    // Nobody knows the person yet, so the first sign-in is an ordinary one.
    let browser = Browser::new(&hub);
    let to = location(&ask(&browser, &[]).expect(303));
    assert!(!at_provider(&to).contains_key("acr_values"), "{to}");
    let page = returning(&browser, &to, "urn:password").expect(200);
    assert!(page.text.contains("with a second factor"), "{}", page.text);
    let to = again(&browser, &page);
    let sent = at_provider(&to);
    assert_eq!((sent.get("acr_values").map(|sent| &**sent), &*sent["prompt"]), (wanted, "login"));
    let page = returning(&browser, &to, "urn:mfa").expect(200);
    let back = browser.decide(&page, &scopes).expect(303);
    let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    assert_eq!(tokens.json()["scope"], "mcp:read mcp:write");
    assert!(parameter(&ask(&browser, &[]), "code").is_some(), "it is recent and strong");
    // Later it is known at once.
    hub.clock.advance(301);
    let told = refresh(&hub, &client, &text(&tokens, "refresh_token"), &[("scope", "mcp:write")]).expect(400).json();
    assert_eq!(
        (&told["error"], &told["max_age"], told["acr_values"].as_str()),
        (&json!("insufficient_user_authentication"), &json!(300), wanted)
    );
    let to = location(&ask(&browser, &[]).expect(303));
    assert_eq!(at_provider(&to).get("acr_values").map(|sent| &**sent), wanted);
    assert!(parameter(&returning(&browser, &to, "phr"), "code").is_some());
    // Whom the provider does not sign in so is not sent round in circles, and the client does not get it.
    let weak = Browser::new(&hub);
    let page = returning(&weak, &location(&ask(&weak, &[]).expect(303)), "urn:password").expect(200);
    // Opened anew it asks again.
    let anew = weak.get(&format!("/t/main/authorize/{}", field(&page, "request"))).expect(200);
    assert!(anew.text.contains("with a second factor"), "{}", anew.text);
    let back = returning(&weak, &again(&weak, &anew), "urn:password").expect(303);
    let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
    assert_eq!(tokens.json()["scope"], "mcp:read");
    // A client that says how itself is held to that, and not sent for more, whether the person was signed in or not.
    let own = Browser::new(&hub);
    for _ in 0..2 {
        let to = location(&ask(&own, &[("acr_values", "urn:password")]).expect(303));
        assert_eq!(at_provider(&to)["acr_values"], "urn:password");
        let back = returning(&own, &to, "urn:password").expect(303);
        let tokens = redeem(&hub, &client, &parameter(&back, "code").unwrap()).expect(200);
        assert_eq!(tokens.json()["scope"], "mcp:read");
    }
}

#[test]
fn of_permits_that_hold_together_a_sign_in_is_asked_for_that_all_of_them_take() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    let permit = |acr: &str, on: &str| {
        format!(r#"@require("step_up:{acr}") permit(principal, action == Action::"issue", resource {on});"#)
    };
    hub.put_policy("all", &permit("acr=phr,acr=urn:mfa", &format!(r#"in Resource::"{RESOURCE}""#)));
    hub.put_policy("write", &permit("acr=urn:mfa", &format!(r#"== Scope::"{RESOURCE} mcp:write""#)));
    let browser = Browser::new(&hub);
    let asked = |scope: &str| {
        let query = authorization(&client, &[("scope", scope), ("resource", RESOURCE)]);
        let to = location(&browser.get(&format!("/t/main/authorize?{query}")).expect(303));
        (parameters(to.split_once('?').unwrap().1).get("acr_values").cloned(), to)
    };
    let to = asked("mcp:write").1;
    browser.get(&idp.authorize(&to, json!({}))).expect(303);
    assert_eq!(asked("mcp:write").0.as_deref(), Some("urn:mfa"));
    assert_eq!(asked("mcp:read").0.as_deref(), Some("phr urn:mfa"));
    assert_eq!(asked("mcp:read mcp:write").0.as_deref(), Some("urn:mfa phr"), "first what gives both");
}

#[test]
fn the_page_offers_no_passkey_where_that_would_not_do() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    sign_in(&idp, &browser, &client, json!({"acr": "urn:password"})).expect(303);
    super::passkeys::give(&hub, users(&hub)[0]["id"].as_str().unwrap(), 1);
    for (acr, offers) in [("urn:mfa", false), ("phr", true)] {
        hub.put_policy(
            "all",
            &super::pushed::after_a_sign_in("mcp:read").replace("step_up", &format!("step_up:acr={acr}")),
        );
        let page = ask(&browser, &client, &[]).expect(200);
        assert!(page.text.contains("value=\"idp\"") && page.text.contains("with a second factor"), "{}", page.text);
        assert_eq!(page.text.contains("value=\"passkey\""), offers, "{acr}: {}", page.text);
    }
}

#[test]
fn who_thinks_too_long_for_a_second_factor_is_asked_for_it_and_the_request_lives_no_longer() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    hub.put_policy("all", &super::pushed::after_a_sign_in("mcp:read").replace("step_up", "step_up:acr=urn:mfa"));
    let begun = || {
        let browser = Browser::new(&hub);
        let query = authorization(&client, &[("scope", "mcp:read"), ("resource", RESOURCE)]);
        let to = location(&browser.get(&format!("/t/main/authorize?{query}")).expect(303));
        let back = browser.get(&idp.authorize(&to, json!({"acr": "urn:mfa"}))).expect(303);
        let page = browser.get(&location(&back)).expect(200);
        (browser, page, location(&back))
    };
    let (browser, page, _) = begun();
    hub.clock.advance(301);
    let again = browser.decide(&page, &["mcp:read"]).expect(200);
    let form = [("provider", "idp"), ("request", &*field(&again, "request"))];
    let to = goes_on(&browser.post("/t/main/sign-in", &form).expect(200));
    assert_eq!(parameters(to.split_once('?').unwrap().1)["acr_values"], "urn:mfa");
    // Nor does it help to have signed in as it was wanted: that is long ago as well.
    let back =
        browser.get(&idp.authorize(&to, json!({"acr": "urn:mfa", "auth_time": hub.clock.seconds()}))).expect(303);
    let page = browser.get(&location(&back)).expect(200);
    hub.clock.advance(301);
    let again = browser.decide(&page, &["mcp:read"]).expect(200);
    assert!(again.text.contains("with a second factor"), "{}", again.text);
    // Each look at the page asks for the sign-in again, and gives the request no more time.
    let (browser, page, path) = begun();
    hub.clock.advance(1_800);
    browser.decide(&page, &["mcp:read"]).expect(200);
    hub.clock.advance(1_799);
    assert!(browser.get(&path).expect(200).text.contains("with a second factor"));
    hub.clock.advance(2);
    browser.get(&path).expect(400);
}

#[test]
fn the_client_secret_is_never_shown_lies_sealed_and_goes_nowhere_else() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    let made = idp.register(json!({})).expect(201);
    let shown = hub.admin("GET", "issuers/idp").send().expect(200);
    assert!(![&made, &shown].iter().any(|reply| reply.text.contains("client_secret")), "{shown:?}");
    sign_in(&idp, &Browser::new(&hub), &client, json!({})).expect(303);
    assert!(!hub.dump_everything().contains(SECRET));
    assert!(hub.db.query("SELECT body FROM issuers")[0]["body"].as_str().unwrap().contains("client_secret"));
    // What `GET` gave goes back, and the secret stays.
    let put = |body: &Value| hub.admin("PUT", "issuers/idp").header("if-match", "*").json(body).send().expect(200);
    let mut body = shown.json();
    body["label"] = json!("Another label");
    put(&body);
    sign_in(&idp, &Browser::new(&hub), &client, json!({})).expect(303);
    // A provider that reads it in the form alone.
    idp.configure(json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    sign_in(&idp, &Browser::new(&hub), &client, json!({})).expect(303);
    // Another issuer does not get it.
    body["issuer"] = json!("https://evil.example");
    put(&body);
    assert!(!hub.db.query("SELECT body FROM issuers")[0]["body"].as_str().unwrap().contains("client_secret"));
    body["issuer"] = json!(IDP);
    put(&body);
    // Without one, our own key proves us where the provider takes that, and nothing where it takes that.
    idp.configure(json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}));
    sign_in(&idp, &Browser::new(&hub), &client, json!({})).expect(303);
    let (_, assertion) = crate::support::call::decode(&idp.asked().pop().unwrap()["client_assertion"]);
    assert_eq!(
        (&assertion["iss"], &assertion["sub"], &assertion["aud"]),
        (&json!(CLIENT), &json!(CLIENT), &json!(IDP))
    );
    idp.configure(json!({"token_endpoint_auth_methods_supported": ["none"]}));
    sign_in(&idp, &Browser::new(&hub), &client, json!({})).expect(303);
}

#[test]
fn an_issuer_for_sign_in_is_registered_whole_or_not_at_all() {
    let hub = hub();
    let idp = Idp::new(&hub);
    for bad in [
        json!({"client_id": null}),
        json!({"scopes": "profile"}),
        json!({"claims": ["a=b"]}),
        json!({"issuer": "https://localhost", "jwks": idp.signer.jwks("k")}),
        json!({"issuer": "https://accounts.google.com"}),
        json!({"uses": ["jwt_bearer"]}),
    ] {
        idp.register(bad).expect(400);
    }
    let pinned = json!({"issuer": "https://accounts.google.com", "rules": [{"claim": "hd", "equals": "example.com"}]});
    idp.register(pinned).expect(201);
    // A Worker that does not open client secrets seals them with the key of the one that does, or not at all.
    let body = json!({"issuer": IDP, "name": "IdP", "uses": ["sign_in"], "client_id": CLIENT, "client_secret": SECRET});
    let token = hub.admin_token();
    let own =
        [("ROLES", "admin"), ("VAULT_KEK", ""), ("SIGNING_KEK", ""), ("ADMIN_KEK", crate::support::hub::ADMIN_KEK)];
    let post = |isolate: &_| hub.call("POST", "/t/main/admin/issuers").bearer(&token).json(&body).on(isolate).send();
    assert!(post(&hub.isolate_with(&own)).expect(400).text.contains("PEOPLE_KEK"));
    let people = ("PEOPLE_KEK", crate::support::hub::VAULT_KEK);
    post(&hub.isolate_with(&[own.as_slice(), &[people]].concat())).expect(201);
}

/// OpenID Connect Back-Channel Logout §2.6.
#[test]
fn a_logout_of_the_provider_ends_the_session_it_names_once() {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    sign_in(&idp, &browser, &client, json!({})).expect(303);
    sign_in(&idp, &Browser::new(&hub), &client, json!({"sid": "s2"})).expect(303);
    let logout = |token: &str| hub.call("POST", LOGOUT).form(&[("logout_token", token)]).send();
    let now = hub.clock.seconds();
    for bad in [
        json!({"aud": "somebody-else"}),
        json!({"iss": "https://evil.example"}),
        json!({"nonce": "n"}),
        json!({"events": null}),
        json!({"events": {"http://schemas.openid.net/event/other": {}}}),
        json!({"events": {"http://schemas.openid.net/event/backchannel-logout": true}}),
        json!({"sid": null}),
        json!({"jti": null}),
        json!({"iat": null}),
        json!({"exp": now - 60}),
        json!({"sub": 7}),
    ] {
        assert_eq!(logout(&idp.logout_token(bad.clone())).expect(400).error(), "invalid_request", "{bad}");
    }
    let stranger = Signer::new(Alg::Rs256, 5);
    let (_, claims) = crate::support::call::decode(&idp.logout_token(json!({})));
    logout(&stranger.jwt(json!({"kid": "k", "typ": "logout+jwt"}), &claims)).expect(400);
    logout(&idp.signer.jwt(json!({"kid": "k", "typ": "at+jwt"}), &claims)).expect(400);
    logout("x").expect(400);
    assert_eq!(sessions(&hub), 2);

    // Storage does not answer: the provider sends it again.
    let token = idp.logout_token(json!({}));
    hub.faults.fail_when(Port::Db, |call| call.text.contains("DELETE FROM sessions"), Effect::Fails);
    logout(&token).expect(503);
    hub.faults.heal();
    assert_eq!(logout(&token).expect(200).header("cache-control"), Some("no-store"));
    assert_eq!(sessions(&hub), 1);
    let event = hub.events_of("session.ended").pop().unwrap();
    assert_eq!(event["detail"], format!("by {IDP}"));
    assert_eq!(event["subject"], users(&hub)[0]["id"]);
    // Used, it ends no later session of that name.
    sign_in(&idp, &browser, &client, json!({})).expect(303);
    logout(&token).expect(400);
    assert_eq!(sessions(&hub), 2);
    // A subject without a session of one name: all that the provider has begun for them.
    logout(&idp.logout_token(json!({"sid": null, "sub": "nobody", "jti": "2"}))).expect(200);
    assert_eq!(sessions(&hub), 2);
    logout(&idp.logout_token(json!({"sid": null, "sub": "ada", "jti": "3"}))).expect(200);
    assert_eq!(sessions(&hub), 0);
}

#[test]
fn a_logout_of_the_provider_ends_refresh_tokens_where_the_tenant_says_so() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    for ends in [false, true] {
        set_logout_ends_grants(&hub, ends);
        let browser = Browser::new(&hub);
        let back = sign_in(&idp, &browser, &client, json!({})).expect(303);
        let mut reply = browser.get(&location(&back));
        if reply.status == 200 {
            reply = browser.decide(&reply, &["mcp:read", "openid"]).expect(303);
        }
        let tokens = redeem(&hub, &client, &parameter(&reply, "code").unwrap()).expect(200).json();
        let token = idp.logout_token(json!({"jti": format!("logout {ends}")}));
        hub.call("POST", LOGOUT).form(&[("logout_token", &token)]).send().expect(200);
        let refresh = tokens["refresh_token"].as_str().unwrap();
        let form = [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", refresh)];
        let status = hub.call("POST", "/t/main/token").form(&form).send().status;
        assert_eq!(status, if ends { 400 } else { 200 });
    }
    assert_eq!(hub.events_of("refresh_token.revoked").len(), 1);
}

/// Says whether a logout of the provider ends what came of the sign-ins.
fn set_logout_ends_grants(hub: &Setup, ends: bool) {
    let mut tenant = hub.admin("GET", "tenants/main").send().expect(200).json();
    tenant["settings"] = json!({"logout_ends_grants": ends});
    hub.admin("PUT", "tenants/main").header("if-match", "*").json(&tenant).send().expect(200);
}

#[test]
fn a_logout_of_the_provider_takes_a_code_that_was_not_redeemed_along_where_the_tenant_says_so() {
    for ends in [false, true] {
        let hub = hub();
        let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
        idp.register(json!({})).expect(201);
        set_logout_ends_grants(&hub, ends);
        let ada = sign_in(&idp, &browser, &client, json!({})).expect(303);
        let code = |browser: &Browser<'_>, back: &Reply| {
            let page = browser.get(&location(back)).expect(200);
            parameter(&browser.decide(&page, &["mcp:read", "openid"]), "code").unwrap()
        };
        let own = code(&browser, &ada);
        let other = Browser::new(&hub);
        let others = code(&other, &sign_in(&idp, &other, &client, json!({"sub": "bob", "sid": "s2"})).expect(303));
        let logout = |token: &str| hub.call("POST", LOGOUT).form(&[("logout_token", token)]).send();
        let token = idp.logout_token(json!({}));
        hub.faults.fail_when(Port::Db, |call| call.text.contains("DELETE FROM sessions"), Effect::Fails);
        logout(&token).expect(503);
        hub.faults.heal();
        assert_eq!(hub.db.query("SELECT id FROM codes").len(), 2, "all of it or nothing");
        logout(&token).expect(200);
        match ends {
            true => assert_eq!(redeem(&hub, &client, &own).expect(400).error(), "invalid_grant"),
            false => drop(redeem(&hub, &client, &own).expect(200)),
        }
        assert_eq!(hub.db.query("SELECT id FROM refresh_families").len(), usize::from(!ends));
        redeem(&hub, &client, &others).expect(200);
    }
}

#[test]
fn a_logout_token_about_nobody_counts_once_too() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    let logout = |claims: Value| hub.call("POST", LOGOUT).form(&[("logout_token", &idp.logout_token(claims))]).send();
    for (jti, about) in [("1", json!({"sid": "s9"})), ("2", json!({"sid": null, "sub": "ada"}))] {
        let mut claims = about;
        claims["jti"] = json!(jti);
        logout(claims.clone()).expect(200);
        // Who begins a session of that name later is not signed out by it.
        let browser = Browser::new(&hub);
        sign_in(&idp, &browser, &client, json!({"sid": "s9"})).expect(303);
        assert_eq!(logout(claims).expect(400).error(), "invalid_request");
        assert_eq!(sessions(&hub), 1);
        hub.db.execute("DELETE FROM sessions; DELETE FROM accounts; DELETE FROM users");
        hub.restart();
    }
    assert!(hub.events_of("session.ended").is_empty());
}

#[test]
fn logout_tokens_that_are_none_are_limited_for_their_address_and_a_good_one_always_passes() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    sign_in(&idp, &Browser::new(&hub), &client, json!({})).expect(303);
    let stranger = Signer::new(Alg::Rs256, 5);
    let send = |token: &str, ip: &str| hub.call("POST", LOGOUT).form(&[("logout_token", token)]).ip(ip).send();
    let bad = |n: usize| {
        let (_, claims) = crate::support::call::decode(&idp.logout_token(json!({"jti": n.to_string()})));
        stranger.jwt(json!({"kid": "k", "typ": "logout+jwt"}), &claims)
    };
    for n in 0..100 {
        send(&bad(n), "203.0.113.7").expect(400);
    }
    assert_eq!(send(&bad(100), "203.0.113.7").expect(429).header("retry-after"), Some("60"));
    send(&bad(101), "203.0.113.8").expect(400);
    let [event] = hub.events_of("authentication.limited").try_into().unwrap();
    assert_eq!((&event["ip"], &event["reason"]), (&json!("203.0.113.7"), &json!("InvalidLogoutToken")));
    send(&idp.logout_token(json!({})), "203.0.113.7").expect(200);
    assert_eq!(sessions(&hub), 0);
}

/// Google's `hd`: who signs in at an issuer of many customers is one of the customer that a rule names.
#[test]
fn a_rule_of_the_provider_holds_at_each_sign_in() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({"rules": [{"claim": "hd", "equals": "example.com"}]})).expect(201);
    for other in
        [json!({}), json!({"hd": "evil.example"}), json!({"hd": ["example.com"]}), json!({"hd": "EXAMPLE.com"})]
    {
        let reply = sign_in(&idp, &Browser::new(&hub), &client, other.clone()).expect(502);
        assert!(reply.text.contains(&on_a_page(Reason::SignInInvalid.wire().description)), "{other}: {reply:?}");
    }
    assert!(users(&hub).is_empty() && sessions(&hub) == 0);
    sign_in(&idp, &Browser::new(&hub), &client, json!({"hd": "example.com"})).expect(303);
    // An email address of that domain is no substitute, and who left the customer signs in no more.
    sign_in(&idp, &Browser::new(&hub), &client, json!({"hd": null, "email": "ada@example.com"})).expect(502);
    assert_eq!((users(&hub).len(), sessions(&hub)), (1, 1));
}

#[test]
fn a_provider_that_calls_us_otherwise_gets_no_secret_of_before() {
    let hub = hub();
    let idp = Idp::new(&hub);
    idp.register(json!({})).expect(201);
    let stored = || hub.db.query("SELECT body FROM issuers")[0]["body"].as_str().unwrap().to_owned();
    let mut body = hub.admin("GET", "issuers/idp").send().expect(200).json();
    let put = |body: &Value| hub.admin("PUT", "issuers/idp").header("if-match", "*").json(body).send().expect(200);
    body["label"] = json!("the same client there");
    put(&body);
    assert!(stored().contains("client_secret"));
    body["client_id"] = json!("another-client-there");
    put(&body);
    assert!(!stored().contains("client_secret"), "{}", stored());
    body["client_id"] = json!(CLIENT);
    put(&body);
    assert!(!stored().contains("client_secret"), "it does not come back");
}

#[test]
fn a_provider_is_asked_for_openid_profile_and_email_unless_it_is_registered_otherwise() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    for (registered, asked) in [(json!({}), "openid profile email"), (json!({"scopes": "openid"}), "openid")] {
        idp.register(registered).expect(201);
        let to = location(&ask(&Browser::new(&hub), &client, &[]).expect(303));
        assert_eq!(parameters(to.split_once('?').unwrap().1)["scope"], asked);
        hub.admin("DELETE", "issuers/idp").header("if-match", "*").send().expect(204);
    }
}

/// A request that is refused for that reason.
pub fn provoke(reason: Reason) -> Reply {
    let hub = hub();
    let (client, browser, idp) = (client(&hub), Browser::new(&hub), Idp::new(&hub));
    idp.register(json!({"creates_users": reason != Reason::UnknownAccount})).expect(201);
    match reason {
        Reason::SignInExpired => browser.get("/t/main/sign-in/callback?state=x"),
        Reason::SignInDeclined => {
            let to = location(&ask(&browser, &client, &[]).expect(303));
            let state = parameters(to.split_once('?').unwrap().1)["state"].clone();
            let iss = form_urlencoded::byte_serialize(IDP.as_bytes()).collect::<String>();
            browser.get(&format!("/t/main/sign-in/callback?state={state}&error=access_denied&iss={iss}"))
        }
        Reason::SignInInvalid => sign_in(&idp, &browser, &client, json!({"nonce": "x"})),
        Reason::IdentityProviderDown => {
            idp.trouble(Some(Scripted::failure(FetchError::Timeout)));
            browser.post("/t/main/sign-in", &[("provider", "idp")])
        }
        Reason::UnknownAccount => sign_in(&idp, &browser, &client, json!({})),
        Reason::InvalidLogoutToken => hub.call("POST", LOGOUT).form(&[("logout_token", "x")]).send(),
        other => panic!("{other:?} is not provoked here"),
    }
}

/// The audience of an ID token is a name at the provider, never our issuer.
#[test]
fn a_token_for_our_issuer_signs_nobody_in() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({"uses": ["sign_in", "jwt_bearer"]})).expect(201);
    sign_in(&idp, &Browser::new(&hub), &client, json!({"aud": ISSUER})).expect(502);
}
