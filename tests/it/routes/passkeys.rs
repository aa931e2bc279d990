//! `/t/{tenant}/invitation/{token}`, passkeys at `/t/{tenant}/sign-in`, and what administrators see of both.

use super::authorize::{client, permitting};
use crate::support::authenticator::Passkey;
use crate::support::browser::{
    Browser, CALLBACK, DEVELOPMENT, VERIFIER, action, authorization, field, location, parameter,
};
use crate::support::call::decode;
use crate::support::hub::{ORIGIN, RESOURCE};
use crate::support::idp::Idp;
use crate::support::{Reply, Setup, Signer};
use serde_json::{Value, json};
use writ::crypto::{b64, sha256, unb64};
use writ::error::Reason;
use writ::ports::Alg;

const SIGN_IN: &str = "/t/main/sign-in";
const DAY: u64 = 86_400;

fn hub() -> Setup {
    permitting(Setup::new())
}

pub fn user(hub: &Setup, tenant: &str, name: &str) -> String {
    let made = hub.admin_of(tenant, "POST", "users").json(&json!({"name": name})).send().expect(201).json();
    made["id"].as_str().unwrap().to_owned()
}

/// The path of the link.
pub fn invite(hub: &Setup, tenant: &str, user: &str) -> String {
    let made = hub.admin_of(tenant, "POST", &format!("users/{user}/invitations")).send().expect(201).json();
    let url = made["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/invitation/writ_iv_", hub.issuer(tenant))), "{url}");
    url.strip_prefix(hub.origin()).unwrap().to_owned()
}

/// A new authenticator of somebody.
pub fn device(n: usize) -> Passkey {
    Passkey {
        rp_id: "id.example".to_owned(),
        client_data: json!({"origin": ORIGIN, "crossOrigin": false}),
        ..Passkey::new(if n.is_multiple_of(2) { Alg::Es256 } else { Alg::EdDsa }, n)
    }
}

/// The options that a page gives the authenticator.
#[track_caller]
fn options(page: &Reply) -> Value {
    let mark = "data-options=\"";
    let start = page.text.find(mark).unwrap_or_else(|| panic!("no options: {page:?}")) + mark.len();
    let end = start + page.text[start..].find('"').unwrap();
    let text = page.text[start..end].replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    serde_json::from_str(&text.replace("&amp;", "&")).unwrap()
}

pub fn challenge(page: &Reply) -> Vec<u8> {
    unb64(options(page)["challenge"].as_str().unwrap()).unwrap()
}

/// What an authenticator makes for the page of an invitation.
fn made(page: &Reply, passkey: &mut Passkey) -> String {
    passkey.user_handle = unb64(options(page)["user"]["id"].as_str().unwrap()).unwrap();
    let client_data = passkey.client_data("webauthn.create", &challenge(page));
    passkey.registration(&client_data, &passkey.none()).to_string()
}

/// What an authenticator answers to the page of a sign-in.
pub fn assertion(page: &Reply, passkey: &Passkey) -> String {
    let (client_data, data) = (passkey.client_data("webauthn.get", &challenge(page)), passkey.used());
    passkey.assertion(&data, &client_data, &passkey.sign(&data, &client_data)).to_string()
}

/// Sets a passkey up on the page of an invitation.
pub fn accept(browser: &Browser<'_>, page: &Reply, passkey: &mut Passkey) -> Reply {
    let made = made(page, passkey);
    let fields = [("ceremony", &*field(page, "ceremony")), ("credential", &made), ("name", "Laptop")];
    browser.post(&action(page), &fields)
}

/// Somebody new with a passkey, who is not signed in.
fn somebody(hub: &Setup, tenant: &str, n: usize) -> (String, Passkey) {
    let (user, mut passkey) = (user(hub, tenant, "Ada"), device(n));
    let browser = Browser::new(hub);
    let page = browser.get(&invite(hub, tenant, &user)).expect(200);
    accept(&browser, &page, &mut passkey).expect(303);
    (user, passkey)
}

/// Gives a user of `main` passkeys `p1`, `p2` ….
pub fn give(hub: &Setup, user: &str, count: usize) {
    let columns =
        "tenant, id, user, credential, alg, jwk, sign_count, backup_eligible, backup_state, transports, created_at";
    let jwk = Signer::new(Alg::EdDsa, 9).jwk;
    hub.db.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) INSERT INTO passkeys ({columns}) \
         SELECT 'main', 'p' || i, '{user}', 'c' || i, 'EdDSA', '{jwk}', 0, 0, 0, '[]', 1 FROM n"
    ));
}

/// The page on which a person uses a passkey.
fn asked(browser: &Browser<'_>) -> Reply {
    browser.post(SIGN_IN, &[("provider", "passkey")]).expect(200)
}

/// Sends an assertion from the page.
fn send(browser: &Browser<'_>, page: &Reply, assertion: &str) -> Reply {
    let fields = [("provider", "passkey"), ("ceremony", &*field(page, "ceremony")), ("credential", assertion)];
    browser.post(SIGN_IN, &fields)
}

fn sign_in(browser: &Browser<'_>, passkey: &Passkey) -> Reply {
    let page = asked(browser);
    send(browser, &page, &assertion(&page, passkey))
}

fn count(hub: &Setup, table: &str) -> usize {
    hub.db.query(&format!("SELECT id FROM {table} WHERE tenant = 'main'")).len()
}

/// A request that is refused for that reason.
pub fn provoke(reason: Reason) -> Reply {
    let hub = hub();
    let (browser, mut passkey) = (Browser::new(&hub), device(1));
    match reason {
        Reason::InvitationOver => browser.get("/t/main/invitation/writ_iv_x"),
        Reason::PasskeyRefused => sign_in(&browser, &passkey),
        Reason::PasskeyNotMade => {
            let page = browser.get(&invite(&hub, "main", &user(&hub, "main", "Ada"))).expect(200);
            passkey.rp_id = "evil.example".to_owned();
            accept(&browser, &page, &mut passkey)
        }
        other => panic!("{other:?} is not provoked here"),
    }
}

#[test]
fn an_invited_person_sets_up_a_passkey_and_signs_in_with_it_for_a_client() {
    let hub = hub();
    let (client, ada) = (client(&hub), user(&hub, "main", "Ada <b>"));
    let query = authorization(&client, &[("scope", "mcp:read openid"), ("resource", RESOURCE)]);
    let path = format!("/t/main/authorize?{query}");
    // Nobody has a passkey yet.
    let page = Browser::new(&hub).get(&path).expect(200);
    assert!(!page.text.contains("name=\"provider\""), "{}", page.text);

    let (browser, mut passkey) = (Browser::new(&hub), device(2));
    passkey.sign_count = 1;
    let page = browser.get(&invite(&hub, "main", &ada)).expect(200);
    assert!(page.text.contains("Ada &lt;b&gt;") && page.text.contains("<noscript>"), "{}", page.text);
    assert_eq!(options(&page)["rp"]["id"], "id.example");
    assert_eq!(location(&accept(&browser, &page, &mut passkey).expect(303)), "/t/main/me");
    // Signed in at once.
    let asked = browser.get(&path).expect(200);
    assert!(asked.text.contains("name=\"decision\"") && asked.text.contains("Ada &lt;b&gt;"), "{}", asked.text);

    let browser = Browser::new(&hub);
    let page = browser.get(&path).expect(200);
    assert!(page.text.contains("value=\"passkey\""), "{}", page.text);
    let request = field(&page, "request");
    let page = browser.post(SIGN_IN, &[("provider", "passkey"), ("request", &request)]).expect(200);
    assert_eq!(options(&page)["allowCredentials"], json!([]));
    passkey.sign_count = 2;
    let (ceremony, assertion) = (field(&page, "ceremony"), assertion(&page, &passkey));
    let fields =
        [("provider", "passkey"), ("request", &*request), ("ceremony", &*ceremony), ("credential", &*assertion)];
    let back = browser.post(SIGN_IN, &fields).expect(303);
    assert_eq!(location(&back), format!("/t/main/authorize/{request}"));
    let asked = browser.get(&location(&back)).expect(200);
    let code = parameter(&browser.decide(&asked, &["mcp:read", "openid"]), "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("code", &*code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    let tokens = hub.call("POST", "/t/main/token").form(&form).send().expect(200).json();
    let (_, claims) = decode(tokens["id_token"].as_str().unwrap());
    assert_eq!((&claims["sub"], &claims["acr"]), (&json!(ada), &json!("phr")));

    let shown = hub.admin("GET", &format!("users/{ada}/passkeys")).send().expect(200).json();
    let [shown] = shown["items"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!(
        (&shown["name"], &shown["alg"], &shown["backed_up"]),
        (&json!("Laptop"), &json!("ES256"), &json!(false))
    );
    assert_eq!(shown["used_at"], hub.clock.seconds());
    let [stored] = hub.db.query("SELECT sign_count FROM passkeys WHERE tenant = 'main'").try_into().unwrap();
    assert_eq!(stored["sign_count"], 2);
    for (kind, many) in [("invitation.created", 1), ("passkey.registered", 1), ("session.begun", 2)] {
        let events = hub.events_of(kind);
        assert_eq!(events.len(), many, "{kind}: {events:?}");
        assert!(events.iter().all(|event| event["subject"] == json!(ada)), "{events:?}");
    }
    assert!(hub.events_of("session.begun").iter().all(|event| event["detail"] == "passkey"));
}

#[test]
fn the_pages_of_passkeys_have_one_script_and_their_policy_names_it_and_nothing_else() {
    let hub = hub();
    let client = client(&hub);
    let browser = Browser::new(&hub);
    let ada = user(&hub, "main", "Ada");
    let invitation = browser.get(&invite(&hub, "main", &ada)).expect(200);
    accept(&browser, &invitation, &mut device(1)).expect(303);
    let browser = Browser::new(&hub);
    let choice = browser.get(&format!("/t/main/authorize?{}", authorization(&client, &[]))).expect(200);
    assert!(!choice.text.contains("<script") && !choice.header("content-security-policy").unwrap().contains("script"));
    let request = field(&choice, "request");
    let page = browser.post(SIGN_IN, &[("provider", "passkey"), ("request", &request)]).expect(200);
    for (page, targets) in [(&invitation, "'self'"), (&page, "'self' https://client.example")] {
        let parts: Vec<&str> = page.text.split("<script>").collect();
        let [_, rest] = parts.as_slice() else { panic!("{} scripts", parts.len() - 1) };
        let script = rest.split("</script>").next().unwrap();
        let hash = b64(sha256(script).bytes()).replace('-', "+").replace('_', "/");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains(&format!("; form-action {targets}; frame-ancestors 'none'; ")), "{policy}");
        assert!(policy.ends_with(&format!("; script-src 'sha256-{hash}='")), "{policy}");
        assert!(!page.text.contains(" onclick") && !page.text.contains(" src="), "{}", page.text);
    }
    let german = hub.call("GET", &invite(&hub, "main", &ada)).header("accept-language", "de").send().expect(200);
    assert!(german.text.contains("Passkey einrichten") && german.text.contains("lang=\"de\""), "{}", german.text);
}

#[test]
fn an_invitation_counts_once_for_seven_days_while_it_is_the_newest_and_its_user_is_active() {
    let hub = hub();
    let ada = user(&hub, "main", "Ada");
    let over = |path: &str| {
        let reply = Browser::new(&hub).get(path).expect(404);
        assert!(reply.text.contains("This invitation is over"), "{reply:?}");
    };
    // A page that was opened while it was good does not outlive it.
    let late = |path: &str, end: &dyn Fn()| {
        let browser = Browser::new(&hub);
        let page = browser.get(path).expect(200);
        end();
        accept(&browser, &page, &mut device(1)).expect(404);
        over(path);
    };
    let first = invite(&hub, "main", &ada);
    late(&first, &|| drop(invite(&hub, "main", &ada)));
    let path = invite(&hub, "main", &ada);
    hub.clock.advance(7 * DAY - 100);
    late(&path, &|| hub.clock.advance(100));
    let path = invite(&hub, "main", &ada);
    late(&path, &|| drop(hub.admin("POST", &format!("users/{ada}/suspend")).send().expect(200)));
    assert_eq!(hub.admin("POST", &format!("users/{ada}/invitations")).send().status, 409);
    hub.admin("POST", &format!("users/{ada}/resume")).send().expect(200);
    let (path, other) = (invite(&hub, "main", &ada), Browser::new(&hub));
    let page = other.get(&path).expect(200);
    late(&path, &|| drop(accept(&other, &page, &mut device(2)).expect(303)));
    over(&format!("{path}x"));
    over(&path.replace("writ_iv_", "writ_ss_"));
    hub.create_tenant("acme");
    over(&invite(&hub, "main", &ada).replace("/t/main/", "/t/acme/"));
    assert_eq!(count(&hub, "passkeys"), 1);
    assert_eq!(hub.admin("POST", "users/usr_nobody/invitations").send().status, 404);
}

#[test]
fn of_many_uses_of_one_invitation_at_once_one_makes_a_passkey() {
    for seed in 0..8 {
        let hub = hub();
        let path = invite(&hub, "main", &user(&hub, "main", "Ada"));
        let browsers: Vec<_> = (0..4).map(|_| Browser::new(&hub)).collect();
        let calls = browsers.iter().enumerate().map(|(n, browser)| {
            let page = browser.get(&path).expect(200);
            let made = made(&page, &mut device(n));
            let fields = [("ceremony", &*field(&page, "ceremony")), ("credential", &*made)];
            let call = hub.call("POST", &path).header("origin", ORIGIN).header("cookie", &browser.cookies());
            call.form(&fields).on(&hub.isolate()).future()
        });
        let mut statuses: Vec<u16> = hub.together(seed, calls.collect()).iter().map(|reply| reply.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 404, 404, 404], "seed {seed}");
        assert_eq!((count(&hub, "passkeys"), count(&hub, "sessions")), (1, 1), "seed {seed}");
        assert_eq!(hub.events_of("passkey.registered").len(), 1);
    }
}

#[test]
fn an_assertion_counts_once_within_five_minutes_and_in_the_browser_that_asked_for_it() {
    let hub = hub();
    // One whose authenticator does not count.
    let (_, passkey) = somebody(&hub, "main", 1);
    let (browser, other) = (Browser::new(&hub), Browser::new(&hub));
    let page = asked(&browser);
    let own = assertion(&page, &passkey);
    // Another browser has another challenge.
    let others = asked(&other);
    send(&other, &others, &own).expect(403);
    send(&other, &page, &own).expect(400);
    let kept: Vec<(String, String)> = browser
        .cookies()
        .split("; ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    send(&browser, &page, &own).expect(303);
    assert_eq!(count(&hub, "sessions"), 2);
    // The same once more, by somebody who has kept the cookies.
    for (name, value) in &kept {
        browser.keep(name, value);
    }
    let again = send(&browser, &page, &own).expect(400);
    assert!(again.text.contains("This page is over") && again.text.contains("data-options"), "{}", again.text);
    assert_eq!(count(&hub, "sessions"), 2);
    // On the page that came with the refusal it goes on, unless that is too late.
    hub.clock.advance(300);
    let late = send(&browser, &again, &assertion(&again, &passkey)).expect(400);
    send(&browser, &late, &assertion(&late, &passkey)).expect(303);
}

#[test]
fn of_one_assertion_sent_twice_at_once_one_begins_a_session() {
    for seed in 0..8 {
        let hub = hub();
        let (_, passkey) = somebody(&hub, "main", 1);
        let browser = Browser::new(&hub);
        let page = asked(&browser);
        let (ceremony, own) = (field(&page, "ceremony"), assertion(&page, &passkey));
        let fields = [("provider", "passkey"), ("ceremony", &*ceremony), ("credential", &*own)];
        let calls = (0..3).map(|_| {
            let call = hub.call("POST", SIGN_IN).header("origin", ORIGIN).header("cookie", &browser.cookies());
            call.form(&fields).on(&hub.isolate()).future()
        });
        let mut statuses: Vec<u16> = hub.together(seed, calls.collect()).iter().map(|reply| reply.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 400, 400], "seed {seed}");
        // And the one of the registration.
        assert_eq!(count(&hub, "sessions"), 2, "seed {seed}");
    }
}

#[test]
fn a_passkey_of_another_tenant_or_with_the_handle_of_another_user_or_of_nobody_signs_nobody_in() {
    let hub = hub();
    hub.create_tenant("acme");
    let (_, ada) = somebody(&hub, "main", 1);
    let (_, of_acme) = somebody(&hub, "acme", 2);
    let (_, bob) = somebody(&hub, "main", 3);
    let sessions = count(&hub, "sessions");
    let as_bob = Passkey { user_handle: bob.user_handle, ..ada.clone() };
    let by_another_key = Passkey { signer: bob.signer, ..ada.clone() };
    let elsewhere = Passkey { client_data: json!({"origin": "https://evil.example"}), ..ada.clone() };
    let without_verification = Passkey { flags: 1, ..ada.clone() };
    for passkey in [of_acme, device(4), as_bob, by_another_key, elsewhere, without_verification] {
        let browser = Browser::new(&hub);
        let before = hub.dump_at_rest();
        let reply = sign_in(&browser, &passkey).expect(403);
        assert!(reply.text.contains("This passkey does not count here"), "{}", reply.text);
        // What proves nothing writes nothing.
        assert_eq!(hub.dump_at_rest(), before);
    }
    for garbage in ["x", "{}", "[]"] {
        let browser = Browser::new(&hub);
        let page = asked(&browser);
        send(&browser, &page, garbage).expect(403);
    }
    assert_eq!(count(&hub, "sessions"), sessions);
    sign_in(&Browser::new(&hub), &ada).expect(303);
}

#[test]
fn a_signature_count_that_does_not_grow_is_refused_and_is_one_event() {
    let hub = hub();
    let (ada, mut passkey) = somebody(&hub, "main", 2);
    passkey.sign_count = 7;
    sign_in(&Browser::new(&hub), &passkey).expect(303);
    let browser = Browser::new(&hub);
    let page = asked(&browser);
    let cookies = browser.cookies();
    let copied = assertion(&page, &passkey);
    send(&browser, &page, &copied).expect(403);
    for pair in cookies.split("; ") {
        let (name, value) = pair.split_once('=').unwrap();
        browser.keep(name, value);
    }
    send(&browser, &page, &copied).expect(400);
    let [event] = hub.events_of("passkey.refused").try_into().unwrap();
    assert_eq!((&event["subject"], &event["detail"]), (&json!(ada), &json!("signature count does not grow")));
    passkey.sign_count = 8;
    sign_in(&Browser::new(&hub), &passkey).expect(303);
    // A count that another sign-in has stored meanwhile.
    hub.db.execute("CREATE TRIGGER first BEFORE UPDATE ON passkeys BEGIN SELECT RAISE(IGNORE); END");
    passkey.sign_count = 9;
    sign_in(&Browser::new(&hub), &passkey).expect(403);
    assert_eq!(hub.events_of("passkey.refused").len(), 2);
}

#[test]
fn a_passkey_that_is_removed_signs_nobody_in_and_its_sessions_end() {
    let hub = hub();
    let (ada, passkey) = somebody(&hub, "main", 1);
    let (bob, _) = somebody(&hub, "main", 2);
    sign_in(&Browser::new(&hub), &passkey).expect(303);
    assert_eq!(count(&hub, "sessions"), 3);
    let list =
        |user: &str| hub.admin("GET", &format!("users/{user}/passkeys")).send().expect(200).json()["items"].clone();
    let id = list(&ada)[0]["id"].as_str().unwrap().to_owned();
    hub.admin("DELETE", &format!("users/{bob}/passkeys/{id}")).send().expect(404);
    assert_eq!(count(&hub, "sessions"), 3);
    hub.admin("DELETE", &format!("users/{ada}/passkeys/{id}")).send().expect(204);
    hub.admin("DELETE", &format!("users/{ada}/passkeys/{id}")).send().expect(404);
    assert_eq!((list(&ada), count(&hub, "sessions")), (json!([]), 1));
    sign_in(&Browser::new(&hub), &passkey).expect(403);
    let [event] = hub.events_of("passkey.removed").try_into().unwrap();
    assert_eq!((&event["subject"], &event["target"]), (&json!(ada), &json!(id)));
    hub.admin("GET", "users/usr_nobody/passkeys").send().expect(404);
}

#[test]
fn a_passkey_that_is_removed_during_a_sign_in_is_refused_and_nobody_is_told_that_it_was_copied() {
    let mut in_between = 0;
    for seed in 0..40 {
        let hub = hub();
        let (ada, passkey) = somebody(&hub, "main", 1);
        let shown = hub.admin("GET", &format!("users/{ada}/passkeys")).send().expect(200).json();
        let removal =
            hub.admin("DELETE", &format!("users/{ada}/passkeys/{}", shown["items"][0]["id"].as_str().unwrap()));
        let browser = Browser::new(&hub);
        let page = asked(&browser);
        let (ceremony, own) = (field(&page, "ceremony"), assertion(&page, &passkey));
        let fields = [("provider", "passkey"), ("ceremony", &*ceremony), ("credential", &*own)];
        let call = hub.call("POST", SIGN_IN).header("origin", ORIGIN).header("cookie", &browser.cookies());
        let spent = || hub.db.query("SELECT 1 FROM spent WHERE tenant = 'main'").len();
        let before = spent();
        let replies = hub.together(seed, vec![call.form(&fields).future(), removal.future()]);
        replies[1].clone().expect(204);
        assert!(matches!(replies[0].status, 303 | 403), "{seed}: {:?}", replies[0]);
        assert_eq!(count(&hub, "sessions"), 0, "{seed}: a removal ends what its passkey has begun");
        assert!(hub.events_of("passkey.refused").is_empty(), "{seed}");
        // The assertion was redeemed, so the passkey was still there when it was verified.
        in_between += usize::from(replies[0].status == 403 && spent() > before);
    }
    assert!(in_between > 0, "no removal ever came in between");
}

#[test]
fn a_user_who_is_stopped_signs_in_no_more_and_one_who_is_killed_or_deleted_has_no_passkey_and_no_invitation() {
    let hub = hub();
    let (ada, adas) = somebody(&hub, "main", 1);
    let (bob, bobs) = somebody(&hub, "main", 2);
    let (eve, _) = somebody(&hub, "main", 3);
    hub.admin("POST", &format!("users/{ada}/suspend")).send().expect(200);
    sign_in(&Browser::new(&hub), &adas).expect(403);
    hub.admin("POST", &format!("users/{ada}/resume")).send().expect(200);
    for user in [&ada, &bob, &eve] {
        invite(&hub, "main", user);
    }
    assert_eq!((count(&hub, "passkeys"), count(&hub, "invitations")), (3, 3));
    hub.admin("POST", &format!("users/{ada}/kill")).send().expect(200);
    hub.admin("DELETE", &format!("users/{bob}")).send().expect(204);
    for passkey in [adas, bobs] {
        sign_in(&Browser::new(&hub), &passkey).expect(403);
    }
    for table in ["passkeys", "invitations"] {
        let rows = hub.db.query(&format!("SELECT user FROM {table} WHERE tenant = 'main'"));
        assert!(rows.len() == 1 && rows[0]["user"] == json!(eve), "{table}: {rows:?}");
    }
}

#[test]
fn a_passkey_that_somebody_has_is_not_registered_again_and_the_invitation_stays() {
    let hub = hub();
    let (ada, mut passkey) = somebody(&hub, "main", 1);
    let bob = user(&hub, "main", "Bob");
    let (path, browser) = (invite(&hub, "main", &bob), Browser::new(&hub));
    let page = browser.get(&path).expect(200);
    let again = accept(&browser, &page, &mut passkey).expect(400);
    assert!(again.text.contains("could not be set up"), "{}", again.text);
    // The page that says so can be used at once.
    accept(&browser, &again, &mut device(2)).expect(303);
    assert_eq!(hub.admin("GET", &format!("users/{ada}/passkeys")).send().json()["items"].as_array().unwrap().len(), 1);
    // One who has a passkey is not asked for a second one on the same device.
    let page = Browser::new(&hub).get(&invite(&hub, "main", &ada)).expect(200);
    assert_eq!(options(&page)["excludeCredentials"][0]["id"], json!(b64(&device(1).id)));
}

#[test]
fn what_is_wrong_with_a_passkey_is_told_in_the_language_of_the_browser() {
    let hub = hub();
    let (ada, browser) = (user(&hub, "main", "Ada"), Browser::new(&hub));
    let invitation = invite(&hub, "main", &ada);
    for (language, refused, not_made) in [
        ("de", "lang=\"de\">Dieser Passkey zählt hier nicht", "lang=\"de\">Dieser Passkey ließ sich nicht einrichten"),
        ("en", "lang=\"en\">This passkey does not count here", "lang=\"en\">This passkey could not be set up"),
    ] {
        for (path, provider, text) in [(SIGN_IN, "passkey", refused), (&invitation, "", not_made)] {
            let page = if path == SIGN_IN { asked(&browser) } else { browser.get(path).expect(200) };
            let fields = [("provider", provider), ("ceremony", &*field(&page, "ceremony")), ("credential", "x")];
            let call = hub.call("POST", path).header("origin", ORIGIN).header("accept-language", language);
            let reply = browser.send(call.form(&fields));
            assert!(matches!(reply.status, 400 | 403) && reply.text.contains(text), "{language} {path}: {reply:?}");
        }
    }
}

#[test]
fn a_user_has_twenty_passkeys_at_most() {
    let hub = hub();
    let ada = user(&hub, "main", "Ada");
    give(&hub, &ada, 20);
    let browser = Browser::new(&hub);
    let page = browser.get(&invite(&hub, "main", &ada)).expect(200);
    accept(&browser, &page, &mut device(1)).expect(400);
    hub.db.execute("DELETE FROM passkeys WHERE id = 'p7'");
    let page = browser.get(&invite(&hub, "main", &ada)).expect(200);
    accept(&browser, &page, &mut device(1)).expect(303);
}

#[test]
fn a_link_leaves_once_and_lies_nowhere_and_a_retry_with_its_key_answers_the_same() {
    let hub = hub();
    let ada = user(&hub, "main", "Ada");
    let invite =
        || hub.admin("POST", &format!("users/{ada}/invitations")).header("idempotency-key", "k").send().expect(201);
    let (first, again) = (invite().json(), invite().json());
    assert_eq!(first, again);
    assert_eq!(first["expires_at"], hub.clock.seconds() + 7 * DAY);
    let token = first["url"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned();
    hub.events();
    assert!(!hub.dump_at_rest().contains(&token));
    assert_eq!(count(&hub, "invitations"), 1);
}

#[test]
fn the_cron_forgets_invitations_that_have_expired() {
    let hub = hub();
    let (ada, bob) = (user(&hub, "main", "Ada"), user(&hub, "main", "Bob"));
    invite(&hub, "main", &ada);
    hub.clock.advance(6 * DAY);
    invite(&hub, "main", &bob);
    hub.clock.advance(DAY);
    hub.tick().unwrap();
    let rows = hub.db.query("SELECT user FROM invitations WHERE tenant = 'main'");
    assert!(rows.len() == 1 && rows[0]["user"] == json!(bob), "{rows:?}");
}

#[test]
fn where_somebody_has_a_passkey_the_only_provider_is_not_the_only_way() {
    let hub = hub();
    let (client, idp) = (client(&hub), Idp::new(&hub));
    idp.register(json!({})).expect(201);
    let ask = || Browser::new(&hub).get(&format!("/t/main/authorize?{}", authorization(&client, &[])));
    ask().expect(303);
    somebody(&hub, "main", 1);
    let page = ask().expect(200);
    assert_eq!(page.text.matches("name=\"provider\"").count(), 2, "{}", page.text);
}

#[test]
fn a_relying_party_on_the_developers_machine_has_no_port() {
    let hub = Setup::with(&[DEVELOPMENT]);
    let mut passkey = device(1);
    passkey.rp_id = "localhost".to_owned();
    passkey.client_data = json!({"origin": DEVELOPMENT.1, "crossOrigin": false});
    let browser = Browser::new(&hub);
    let page = browser.get(&invite(&hub, "main", &user(&hub, "main", "Ada"))).expect(200);
    accept(&browser, &page, &mut passkey).expect(303);
    sign_in(&Browser::new(&hub), &passkey).expect(303);
}
