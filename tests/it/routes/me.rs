//! `/t/{tenant}/me`, and what a stop reaches of what people have allowed.

use super::authorize::{client, hub, permitting, redeem, refresh, text};
use super::introspection::Server;
use super::status_list;
use crate::support::browser::{Browser, CALLBACK, VERIFIER, authorization, field, location, parameter};
use crate::support::hub::{Call, Isolate, RESOURCE, decode};
use crate::support::idp::Idp;
use crate::support::{Effect, Port, Reply, Setup};
use serde_json::{Value, json};
use writ::ports::Pending;

const ME: &str = "/t/main/me";

/// The tag of the forms of the page: the last form has one whatever is connected.
fn tag(page: &Reply) -> String {
    let (_, rest) = page.text.rsplit_once("name=\"tag\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// A person with an agent that has an access token and a refresh token for both scopes.
struct Scene<'a> {
    hub: &'a Setup,
    client: String,
    browser: Browser<'a>,
    server: Server<'a>,
}

struct Tokens {
    access: String,
    refresh: String,
}

impl<'a> Scene<'a> {
    fn new(hub: &'a Setup) -> Self {
        Self { hub, client: client(hub), browser: Browser::new(hub), server: Server::new(hub, RESOURCE) }
    }

    /// A code for what the person allows; on the page if it is shown.
    fn code(&self, scopes: &[&str]) -> String {
        self.browser.code(&authorization(&self.client, &[("scope", &scopes.join(" "))]), scopes)
    }

    fn connect(&self, scopes: &[&str]) -> Tokens {
        let reply = redeem(self.hub, &self.client, &self.code(scopes)).expect(200);
        Tokens { access: reply.access_token(), refresh: text(&reply, "refresh_token") }
    }

    fn refresh(&self, tokens: &Tokens) -> Reply {
        refresh(self.hub, &self.client, &tokens.refresh, &[])
    }

    fn page(&self) -> Reply {
        self.browser.get(ME).expect(200)
    }

    fn act(&self, fields: &[(&str, &str)]) -> Reply {
        let tag = tag(&self.page());
        self.browser.post(ME, &[&[("tag", tag.as_str())], fields].concat())
    }

    fn act_on(&self, what: &str) -> Reply {
        self.act(&[("do", what), ("client", &self.client)])
    }

    fn take_back(&self, scope: &str) -> Reply {
        let consent = field(&self.page(), "consent");
        self.act(&[("consent", &consent), ("take_back", scope)])
    }

    fn user(&self) -> String {
        self.hub.db.query("SELECT id FROM users WHERE tenant = 'main'")[0]["id"].as_str().unwrap().to_owned()
    }

    fn identity(&self) -> Value {
        let path = format!("identities?client={}&subject={}", self.client, self.user());
        self.hub.admin("GET", &path).send().expect(200).json()["items"][0].clone()
    }

    fn status_of(&self, token: &str) -> u8 {
        let index = decode(token).1["status"]["status_list"]["idx"].as_u64().unwrap() as usize;
        status_list::at(&decode(&status_list::fetch(self.hub).text).1, index)
    }

    fn is_dead(&self, tokens: &Tokens) {
        assert!(!self.server.is_active(&tokens.access));
        assert_eq!(self.refresh(tokens).expect(400).error(), "invalid_grant");
    }

    fn rows(&self, table: &str) -> usize {
        self.hub.db.query(&format!("SELECT * FROM {table} WHERE tenant = 'main'")).len()
    }

    fn families(&self) -> usize {
        self.hub.db.query("SELECT id FROM refresh_families WHERE tenant = 'main' AND status = 'active'").len()
    }
}

#[test]
fn a_person_sees_each_agent_with_what_it_may_do_through_which_host_since_when_and_what_it_did() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read", "mcp:write"]);
    scene.refresh(&tokens).expect(200);
    hub.events();
    let page = scene.page();
    let shown = [
        "Notes app",
        "Ada Demo",
        "A resource",
        RESOURCE,
        "client.example",
        "mcp:read",
        "mcp:write",
        "2026-01-06 12:00:00 UTC",
        "2026-02-05 12:00:00 UTC",
    ];
    for shown in shown {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(page.text.contains("<code>mcp:write</code>: 2"), "{}", page.text);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(!page.text.contains("<script"));
    // The other language, from the one table.
    let german = scene.browser.send(hub.call("GET", ME).header("accept-language", "de"));
    assert!(german.text.contains("Verbundene Anwendungen"), "{german:?}");
}

#[test]
fn whoever_is_not_signed_in_signs_in_first_and_comes_back() {
    let hub = hub();
    let browser = Browser::new(&hub);
    let page = browser.get(ME).expect(200);
    assert!(page.text.contains("name=\"provider\""), "{page:?}");
    let back = browser.post("/t/main/sign-in", &[("provider", "demo")]).expect(303);
    assert_eq!(location(&back), ME);
    assert!(browser.get(ME).expect(200).text.contains("No application is connected"));
    // A form whose session is over says so, and changes nothing.
    browser.forget("main");
    assert!(browser.post(ME, &[("do", "everywhere")]).expect(200).text.contains("name=\"provider\""));
}

#[test]
fn without_the_trail_the_page_shows_everything_else() {
    let hub = hub();
    let scene = Scene::new(&hub);
    scene.connect(&["mcp:read"]);
    hub.faults.fail(Port::Trail);
    let page = scene.page();
    hub.faults.heal();
    assert!(page.text.contains("mcp:read") && page.text.contains("not known here"), "{page:?}");
}

#[test]
fn a_line_that_is_taken_back_is_not_given_again_and_the_tokens_that_had_it_are_dead() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read", "mcp:write"]);
    hub.clock.advance(10);
    let page = scene.take_back("mcp:write").expect(200);
    // From when on it holds, and until when a token may be taken by who does not ask.
    for moment in ["2026-01-06 12:00:15 UTC", "2026-01-06 13:00:15 UTC"] {
        assert!(page.text.contains(moment), "{moment}: {}", page.text);
    }
    assert!(page.text.contains("at the latest"), "{}", page.text);
    assert!(!scene.server.is_active(&tokens.access));
    let less = scene.refresh(&tokens).expect(200);
    assert_eq!(text(&less, "scope"), "mcp:read");
    assert!(scene.server.is_active(&less.access_token()));
    let event = hub.events_of("consent.narrowed").pop().unwrap();
    assert_eq!((&event["client"], &event["scope_given"]), (&json!(scene.client), &json!("mcp:read")));
    // The last line takes the consent along.
    scene.take_back("mcp:read").expect(200);
    let last = Tokens { access: less.access_token(), refresh: text(&less, "refresh_token") };
    scene.is_dead(&last);
    assert_eq!(scene.rows("consents"), 0);
    assert_eq!(hub.events_of("consent.withdrawn").len(), 1);
    assert!(!scene.page().text.contains("value=\"mcp:read\""));
}

#[test]
fn an_agent_that_is_stopped_gets_nothing_until_it_is_allowed_anew_and_what_it_had_stays_dead() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read"]);
    let unused = scene.code(&["mcp:read"]);
    assert_eq!((scene.status_of(&tokens.access), scene.identity()["status"].as_str()), (0, Some("active")));
    scene.act_on("stop").expect(200);
    assert_eq!(redeem(&hub, &scene.client, &unused).expect(400).error(), "invalid_grant");
    scene.is_dead(&tokens);
    assert_eq!((scene.rows("consents"), scene.families(), scene.rows("codes")), (0, 0, 0));
    // Everybody sees it: the status list, and the directory.
    let shown = scene.identity();
    assert_eq!((&shown["status"], &shown["stopped"]), (&json!("suspended"), &json!(["consent"])));
    assert_eq!(scene.status_of(&tokens.access), 2);
    assert_eq!(hub.admin("GET", "identities?status=suspended").send().json()["items"].as_array().unwrap().len(), 1);
    let event = hub.events_of("consent.withdrawn").pop().unwrap();
    assert_eq!((&event["client"], &event["subject"]), (&json!(scene.client), &json!(scene.user())));
    // Only the page of the application lets it go on.
    scene.act_on("resume").expect(409);
    assert_eq!(scene.identity()["status"], "suspended");
    let asked = scene.browser.get(&format!("/t/main/authorize?{}", authorization(&scene.client, &[]))).expect(200);
    assert!(asked.text.contains("You have stopped it; allowing lets it go on."), "{}", asked.text);
    hub.clock.advance(1);
    let anew = scene.connect(&["mcp:read"]);
    assert!(scene.server.is_active(&anew.access));
    scene.refresh(&anew).expect(200);
    assert_eq!((scene.status_of(&anew.access), scene.identity()["status"].as_str()), (0, Some("active")));
    scene.is_dead(&tokens);
}

#[test]
fn what_was_allowed_for_this_time_dies_with_the_agent_too() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let page = scene.browser.get(&format!("/t/main/authorize?{}", authorization(&scene.client, &[])));
    let asked = scene.browser.sign_in(&page);
    let once = [("decision", "allow"), ("duration", "once")];
    let back = scene.browser.decide_for(&asked, &["mcp:read"], &once);
    let reply = redeem(&hub, &scene.client, &parameter(&back, "code").unwrap()).expect(200);
    assert!(reply.json().get("refresh_token").is_none());
    scene.act_on("stop").expect(200);
    assert!(!scene.server.is_active(&reply.access_token()));
    hub.clock.advance(1);
    scene.connect(&["mcp:read"]);
    assert!(!scene.server.is_active(&reply.access_token()));
}

#[test]
fn an_agent_that_is_paused_gets_nothing_is_asked_about_and_goes_on_when_its_user_says_so() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read"]);
    scene.act_on("pause").expect(200);
    scene.is_dead(&tokens);
    assert_eq!((scene.status_of(&tokens.access), scene.identity()["stopped"].clone()), (2, json!(["consent"])));
    // It is not connected again in silence.
    let query = authorization(&scene.client, &[("scope", "mcp:read")]);
    let asked = scene.browser.get(&format!("/t/main/authorize?{query}")).expect(200);
    assert!(asked.text.contains("You have paused it; allowing lets it go on."), "{}", asked.text);
    scene.act_on("resume").expect(200);
    assert!(scene.server.is_active(&tokens.access));
    scene.refresh(&tokens).expect(200);
    scene.browser.get(&format!("/t/main/authorize?{query}")).expect(303);
    assert_eq!((hub.events_of("consent.paused").len(), hub.events_of("consent.resumed").len()), (1, 1));
    // Twice is once.
    scene.act_on("resume").expect(200);
    assert_eq!(hub.events_of("consent.resumed").len(), 1);
    // To allow it anew is to let it go on.
    scene.act_on("pause").expect(200);
    let anew = scene.connect(&["mcp:read"]);
    assert!(scene.server.is_active(&anew.access));
    assert!(!scene.browser.get(ME).expect(200).text.contains("You have paused it"));
}

#[test]
fn neither_the_user_nor_an_administrator_lets_go_on_what_the_other_has_stopped() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read"]);
    let identity = scene.identity()["id"].as_str().unwrap().to_owned();
    let administrator = |what: &str| hub.admin("POST", &format!("identities/{identity}/{what}")).send().expect(200);
    administrator("suspend");
    assert!(scene.page().text.contains("An administrator has stopped it"));
    scene.act_on("pause").expect(200);
    scene.act_on("resume").expect(200);
    scene.is_dead(&tokens);
    scene.act_on("pause").expect(200);
    administrator("resume");
    scene.is_dead(&tokens);
    scene.act_on("resume").expect(200);
    scene.refresh(&tokens).expect(200);
    administrator("kill");
    hub.clock.advance(1);
    // Allowing it anew does not undo a kill either.
    let code = scene.code(&["mcp:read"]);
    assert_eq!(redeem(&hub, &scene.client, &code).expect(400).error(), "invalid_grant");
}

#[test]
fn a_form_counts_in_the_session_that_it_was_shown_in_and_reaches_what_is_that_persons_alone() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read"]);
    let (own, consent) = (tag(&scene.page()), field(&scene.page(), "consent"));
    let fields = [("tag", &*own), ("consent", &*consent), ("take_back", "mcp:read")];
    let send = |origin: &str| {
        let call = hub.call("POST", ME).header("cookie", &scene.browser.cookies()).form(&fields);
        if origin.is_empty() { call.send() } else { call.header("origin", origin).send() }
    };
    send("").expect(403);
    send("https://evil.example").expect(403);
    scene.browser.post(ME, &[("consent", &*consent), ("take_back", "mcp:read")]).expect(400);
    // The same person in another browser has another session; another person has other consents.
    let other = Browser::new(&hub);
    other.post("/t/main/sign-in", &[("provider", "demo")]).expect(303);
    other.post(ME, &fields).expect(400);
    hub.db.execute(&format!(
        "UPDATE sessions SET user = (SELECT id FROM users WHERE id <> '{}' UNION SELECT 'user_other')",
        scene.user()
    ));
    hub.db.execute(
        "INSERT INTO users (tenant, id, body, created_at, updated_at) VALUES ('main', 'user_other', '{}', 1, 1)",
    );
    let page = other.get(ME).expect(200);
    assert!(!page.text.contains("mcp:read"));
    let last = tag(&page);
    other.post(ME, &[("tag", &*last), ("consent", &*consent), ("take_back", "mcp:read")]).expect(404);
    for what in ["pause", "stop", "resume"] {
        other.post(ME, &[("tag", &*last), ("client", &*scene.client), ("do", what)]).expect(404);
    }
    assert!(scene.server.is_active(&tokens.access));
    scene.refresh(&tokens).expect(200);
}

#[test]
fn signing_out_everywhere_ends_every_session_and_leaves_the_agents() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read"]);
    let other = Browser::new(&hub);
    other.post("/t/main/sign-in", &[("provider", "demo")]).expect(303);
    assert_eq!(scene.rows("sessions"), 2);
    scene.act(&[("do", "everywhere")]).expect(200);
    assert_eq!(scene.rows("sessions"), 0);
    assert!(other.get(ME).text.contains("name=\"provider\""));
    scene.refresh(&tokens).expect(200);
}

#[test]
fn a_change_that_cannot_be_recorded_takes_nothing_back_and_one_whose_reply_is_lost_has_happened() {
    for (what, effect) in [("stop", Effect::Fails), ("stop", Effect::LosesReply), ("pause", Effect::LosesReply)] {
        let hub = hub();
        let scene = Scene::new(&hub);
        let tokens = scene.connect(&["mcp:read"]);
        let tag = tag(&scene.page());
        // The last call of the verb is its transaction.
        hub.faults.fail_when(Port::Db, |call| call.text.contains("UPDATE identities SET held"), effect);
        scene.browser.post(ME, &[("tag", &*tag), ("do", what), ("client", &*scene.client)]).expect(503);
        hub.faults.heal();
        match effect {
            Effect::Fails => assert!(scene.server.is_active(&tokens.access)),
            _ => scene.is_dead(&tokens),
        }
        scene.act_on(what).expect(200);
        scene.is_dead(&tokens);
    }
}

#[test]
fn an_old_page_lets_no_agent_go_on_that_was_stopped_since_and_says_so() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read"]);
    let old = tag(&scene.act_on("pause").expect(200));
    let resume = || scene.browser.post(ME, &[("tag", &*old), ("do", "resume"), ("client", &*scene.client)]);
    scene.act_on("stop").expect(200);
    let told = resume().expect(409);
    assert!(told.text.contains("another window"), "{told:?}");
    assert!(hub.events_of("consent.resumed").is_empty());
    scene.is_dead(&tokens);
    assert_eq!(scene.identity()["stopped"], json!(["consent"]));
    // One that was resumed twice, in two windows, goes on.
    hub.clock.advance(1);
    let anew = scene.connect(&["mcp:read"]);
    scene.act_on("pause").expect(200);
    assert!((0..2).all(|_| resume().expect(200).text.contains("It goes on.")));
    assert_eq!(hub.events_of("consent.resumed").len(), 1);
    scene.refresh(&anew).expect(200);
}

#[test]
fn of_more_agents_than_a_page_shows_one_that_is_paused_is_shown_as_paused() {
    let hub = hub();
    let scene = Scene::new(&hub);
    scene.connect(&["mcp:read"]);
    // The first by name and id, and the last to get an identity.
    hub.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 119) \
         INSERT INTO clients (tenant, id, metadata, created_at, updated_at) \
         SELECT 'main', printf('agent%03d', i), json_set(c.metadata, '$.client_name', printf('Agent %03d', i)), 1, 1 FROM n, \
         (SELECT metadata FROM clients WHERE tenant = 'main' AND metadata LIKE '%Notes app%') c; \
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 119) \
         INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at) \
         SELECT 'main', 'consent' || i, c.user, printf('agent%03d', i), c.redirect_host, c.resource, c.document, c.lines, 1, 1 \
         FROM n, (SELECT * FROM consents WHERE tenant = 'main') c; \
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 119) \
         INSERT INTO identities (tenant, id, place, client, subject, registered_by, created_at, updated_at) \
         SELECT 'main', printf('x%03d', i), 1000 + i, printf('agent%03d', 119 - i), c.user, 'authorization_code', 1, 1 \
         FROM n, (SELECT user FROM consents WHERE tenant = 'main' LIMIT 1) c",
    );
    assert!(!scene.page().text.contains("You have paused it"));
    scene.act(&[("do", "pause"), ("client", "agent000")]).expect(200);
    let page = scene.page();
    assert_eq!(page.text.matches("You have paused it").count(), 1);
    let card = page.text.split("<section").find(|card| card.contains("You have paused it")).unwrap();
    assert!(card.contains("Agent 000") && card.contains("value=\"resume\""), "{card}");
    assert_eq!(page.text.matches("<section").count(), 100);
}

#[test]
fn the_root_and_the_name_of_a_tenant_lead_to_the_page_and_who_signs_out_there_is_asked_who_to_be() {
    let hub = permitting(Setup::new());
    let idp = Idp::new(&hub);
    idp.register(json!({})).expect(201);
    let browser = Browser::new(&hub);
    let root = browser.get("/").expect(303);
    assert_eq!(location(&root), "/t/main");
    assert_eq!(location(&browser.get(&location(&root)).expect(303)), ME);
    browser.get("/t/nobody").expect(404);
    let wanted = |page: &Reply| {
        // As a browser sends the form of the page.
        let again = page.text.contains("name=\"again\"").then_some(("again", "1"));
        let form: Vec<_> = [("provider", "idp")].into_iter().chain(again).collect();
        let going = browser.post("/t/main/sign-in", &form).expect(200);
        going.header("refresh").unwrap().strip_prefix("0;url=").unwrap().to_owned()
    };
    let to = wanted(&browser.get(ME).expect(200));
    assert!(!to.contains("prompt="), "{to}");
    let back = browser.get(&idp.authorize(&to, json!({}))).expect(303);
    assert_eq!(location(&back), ME);
    let page = browser.get(ME).expect(200);
    let leaving = page.text.split("action=\"/t/main/sign-out\"").nth(1).unwrap();
    let leaving = leaving.split("name=\"tag\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let out = browser.post("/t/main/sign-out", &[("tag", leaving)]).expect(303);
    assert!(location(&out).starts_with(&format!("{ME}?")), "{out:?}");
    // The provider's own session is not taken for an answer.
    let to = wanted(&browser.get(&location(&out)).expect(200));
    assert!(to.contains("prompt=login"), "{to}");
}

#[test]
fn receivers_of_signals_hear_of_a_line_that_was_taken_back_of_a_pause_and_of_a_stop() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let ssf = format!("{}/ssf", hub.issuer("main"));
    let receiver = hub.create_client(json!({
        "kind": "resource_server", "serves": [RESOURCE], "allowed_resources": [RESOURCE, ssf],
    }));
    let token = hub.token(&receiver, &[("resource", &ssf), ("scope", "ssf.manage ssf.read")]).access_token();
    let call = |path: &str, body: Value| hub.call("POST", &format!("/t/main/ssf/{path}")).bearer(&token).json(&body);
    let stream = text(&call("streams", json!({})).send().expect(201), "stream_id");
    // What is new, each acknowledged as it is taken.
    let heard = || -> Vec<Value> {
        let path = format!("streams/{stream}/poll");
        let sets = call(&path, json!({"returnImmediately": true})).send().expect(200).json()["sets"].clone();
        let sets = sets.as_object().unwrap();
        let taken: Vec<&String> = sets.keys().collect();
        call(&path, json!({"returnImmediately": true, "ack": taken})).send().expect(200);
        sets.values().map(|set| decode(set.as_str().unwrap()).1).collect()
    };
    scene.connect(&["mcp:read", "mcp:write"]);
    assert_eq!(heard(), Vec::<Value>::new());
    let acts: [(&str, &dyn Fn() -> Reply); 4] = [
        ("a line", &|| scene.take_back("mcp:write")),
        ("a pause", &|| scene.act_on("pause")),
        ("an end of it", &|| scene.act_on("resume")),
        ("a stop", &|| scene.act_on("stop")),
    ];
    for (name, act) in acts {
        act().expect(200);
        let heard = heard();
        if name == "an end of it" {
            assert_eq!(heard, Vec::<Value>::new());
            continue;
        }
        let [signal] = heard.try_into().unwrap_or_else(|all: Vec<Value>| panic!("{name}: {all:?}"));
        let told = signal.to_string();
        assert!(told.contains(&scene.client) && told.contains(&scene.user()), "{name}: {told}");
        let kind = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        assert!(signal["events"][kind].is_object(), "{name}: {told}");
    }
}

// ── What a stop reaches ──

fn kill(hub: &Setup, what: &Value) -> Value {
    hub.admin("POST", "kill").json(what).send().expect(200).json()
}

#[test]
fn a_kill_ends_consents_families_codes_and_sessions_and_its_receipt_counts_them() {
    for what in ["client", "user", "identity"] {
        let hub = hub();
        let scene = Scene::new(&hub);
        let tokens = scene.connect(&["mcp:read"]);
        let code = scene.code(&["mcp:read"]);
        // Another isolate remembers all of them.
        let far = hub.isolate();
        let by_far =
            || scene.token_call(&[("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh)]).on(&far).send();
        by_far().expect(200);
        let receipt = match what {
            "client" => kill(&hub, &json!({"client": scene.client})),
            "user" => kill(&hub, &json!({"user": scene.user()})),
            _ => kill(&hub, &json!({"identity": scene.identity()["id"]})),
        };
        assert_eq!(receipt["stopped"]["refresh_families"], 1, "{what}: {receipt}");
        assert_eq!(receipt["stopped"]["sessions"], i64::from(what == "user"), "{what}");
        assert!(!scene.server.is_active(&tokens.access), "{what}");
        for reply in [scene.refresh(&tokens), redeem(&hub, &scene.client, &code)] {
            assert!(matches!(reply.error().as_str(), "invalid_grant" | "invalid_client"), "{what}: {reply:?}");
        }
        hub.clock.advance(5);
        assert!(matches!(by_far().status, 400 | 401), "{what}");
        assert_eq!((scene.rows("consents"), scene.families()), (0, 0), "{what}");
        assert_eq!(scene.rows("sessions"), usize::from(what != "user"), "{what}");
        if what != "client" {
            assert_eq!(scene.rows("codes"), 0, "{what}");
        }
    }
}

#[test]
fn what_was_allowed_goes_with_a_client_or_a_user_that_is_removed() {
    for what in ["clients", "users"] {
        let hub = hub();
        let scene = Scene::new(&hub);
        let tokens = scene.connect(&["mcp:read"]);
        let id = if what == "clients" { scene.client.clone() } else { scene.user() };
        hub.admin("DELETE", &format!("{what}/{id}")).send().expect(204);
        assert_eq!((scene.rows("consents"), scene.families()), (0, 0), "{what}");
        assert_eq!(scene.rows("sessions"), usize::from(what == "clients"));
        assert!(!scene.server.is_active(&tokens.access));
        assert!(matches!(scene.refresh(&tokens).error().as_str(), "invalid_grant" | "invalid_client"));
    }
}

#[test]
fn while_a_client_a_user_or_an_identity_is_suspended_nothing_is_issued_and_then_its_families_go_on() {
    for what in ["clients", "users", "identities"] {
        let hub = hub();
        let scene = Scene::new(&hub);
        let tokens = scene.connect(&["mcp:read"]);
        let code = scene.code(&["mcp:read"]);
        let id = match what {
            "clients" => scene.client.clone(),
            "users" => scene.user(),
            _ => scene.identity()["id"].as_str().unwrap().to_owned(),
        };
        hub.admin("POST", &format!("{what}/{id}/suspend")).send().expect(200);
        for reply in [scene.refresh(&tokens), redeem(&hub, &scene.client, &code)] {
            let wanted = if what == "clients" { "invalid_client" } else { "invalid_grant" };
            assert_eq!(reply.error(), wanted, "{what}: {reply:?}");
        }
        assert!(!scene.server.is_active(&tokens.access));
        hub.admin("POST", &format!("{what}/{id}/resume")).send().expect(200);
        redeem(&hub, &scene.client, &code).expect(200);
        let again = scene.refresh(&tokens).expect(200);
        assert!(scene.server.is_active(&again.access_token()));
    }
}

#[test]
fn whoever_was_signed_in_when_a_tenant_was_killed_signs_in_anew_when_it_goes_on() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read"]);
    hub.db.execute(&format!("UPDATE tenants SET revoked_before = {} WHERE id = 'main'", hub.clock.seconds()));
    hub.restart();
    hub.clock.advance(10);
    assert!(scene.browser.get(ME).expect(200).text.contains("name=\"provider\""));
    scene.is_dead(&tokens);
}

#[test]
fn a_refresh_token_tells_a_resource_server_nothing() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read"]);
    assert_eq!(scene.server.ask(&tokens.refresh), json!({"active": false}));
}

// ── At the same time ──

/// Something that stops, in another isolate, at the same time as `issuing`; the reply of `issuing`.
fn race<'a>(hub: &'a Setup, seed: u64, issuing: Pending<'a, Reply>, stopping: Pending<'a, Reply>) -> Reply {
    let [issued, stopped] = hub.together(seed, vec![issuing, stopping]).try_into().unwrap();
    stopped.expect(200);
    issued
}

impl<'a> Scene<'a> {
    fn token_call(&self, form: &[(&str, &str)]) -> Call<'a> {
        let form = [&[("client_id", &*self.client)], form].concat();
        self.hub.call("POST", "/t/main/token").form(&form)
    }

    fn stop_call(&self, tag: &str, far: &Isolate) -> Pending<'a, Reply> {
        let form = [("tag", tag), ("do", "stop"), ("client", &self.client)];
        let call =
            self.hub.call("POST", ME).header("origin", self.hub.origin()).header("cookie", &self.browser.cookies());
        call.form(&form).on(far).future()
    }

    /// Of a race nothing is left that lives.
    fn nothing_lives(&self, seed: u64, before: &Tokens, reply: &Reply) {
        let (mut access, mut tokens) = (vec![before.access.clone()], vec![before.refresh.clone()]);
        if reply.status == 200 {
            access.push(reply.access_token());
            tokens.push(text(reply, "refresh_token"));
        } else {
            assert!(matches!(reply.status, 400 | 401), "{seed}: {reply:?}");
        }
        for token in access {
            assert!(!self.server.is_active(&token), "{seed}");
        }
        for token in tokens {
            assert!(matches!(refresh(self.hub, &self.client, &token, &[]).status, 400 | 401), "{seed}");
        }
    }
}

#[test]
fn of_a_stop_by_the_user_and_a_refresh_or_a_redemption_at_once_no_token_lives() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let far = hub.isolate();
    let mut outcomes = std::collections::BTreeMap::<u16, u32>::new();
    for seed in 0..100 {
        let before = scene.connect(&["mcp:read"]);
        let code = scene.code(&["mcp:read"]);
        let tag = tag(&scene.page());
        let issuing = match seed % 2 {
            0 => scene.token_call(&[("grant_type", "refresh_token"), ("refresh_token", &before.refresh)]),
            _ => scene.token_call(&[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("code_verifier", VERIFIER),
                ("redirect_uri", CALLBACK),
            ]),
        };
        let reply = race(&hub, seed, issuing.future(), scene.stop_call(&tag, &far));
        *outcomes.entry(reply.status).or_default() += 1;
        scene.nothing_lives(seed, &before, &reply);
        hub.clock.advance(6);
        // Allowed anew it goes on, and what came of the race stays dead.
        let anew = scene.connect(&["mcp:read"]);
        assert!(scene.server.is_active(&anew.access), "{seed}");
        scene.nothing_lives(seed, &before, &reply);
    }
    assert!(outcomes.len() > 1, "one of the two always came first: {outcomes:?}");
}

#[test]
fn of_a_kill_or_a_revocation_and_a_refresh_at_once_no_token_lives() {
    let hub = hub();
    let mut outcomes = std::collections::BTreeMap::<u16, u32>::new();
    for seed in 0..100 {
        let scene = Scene::new(&hub);
        let far = hub.isolate();
        let before = scene.connect(&["mcp:read"]);
        let admin = hub.admin_token();
        let stopping = match seed % 4 {
            0 => hub.call("POST", "/t/main/admin/kill").bearer(&admin).json(&json!({"client": scene.client})),
            1 => {
                hub.call("POST", "/t/main/admin/kill").bearer(&admin).json(&json!({"identity": scene.identity()["id"]}))
            }
            _ => hub.call("POST", "/t/main/revoke").form(&[("client_id", &*scene.client), ("token", &before.refresh)]),
        };
        let issuing = scene.token_call(&[("grant_type", "refresh_token"), ("refresh_token", &before.refresh)]);
        let reply = race(&hub, seed, issuing.future(), stopping.on(&far).future());
        *outcomes.entry(reply.status).or_default() += 1;
        hub.clock.advance(6);
        scene.nothing_lives(seed, &before, &reply);
        scene.browser.post("/t/main/sign-out", &[("tag", "x")]);
    }
    assert!(outcomes.len() > 1, "one of the two always came first: {outcomes:?}");
}

#[test]
fn what_was_asked_with_a_token_is_not_redeemed_a_day_after_its_consent_or_its_refresh_token_was_taken_back() {
    for taken in ["consent", "refresh token", "nothing"] {
        let hub = hub();
        let scene = Scene::new(&hub);
        let tokens = scene.connect(&["mcp:read"]);
        let form = [("subject_token", &*tokens.access), ("tool", "deploy"), ("expires_in", "86400")];
        let made = super::approvals::ask(&hub, &scene.server.client, &form).expect(201).json();
        let id = made["approval_id"].as_str().unwrap();
        match taken {
            "consent" => drop(scene.take_back("mcp:read").expect(200)),
            "refresh token" => {
                let form = [("client_id", &*scene.client), ("token", &*tokens.refresh)];
                hub.call("POST", "/t/main/revoke").form(&form).send().expect(200);
            }
            _ => {}
        }
        // Longer than any token lives.
        for seconds in [3_700, 66_300] {
            hub.clock.advance(seconds);
            hub.tick().unwrap();
        }
        super::approvals::decide(&hub, id, json!({"decision": "approve"})).expect(200);
        let call = hub.call("POST", &format!("/t/main/approvals/{id}/redeem")).basic(&scene.server.client).form(&[]);
        let reply = call.send();
        if taken == "nothing" {
            reply.expect(200);
        } else {
            let event = hub.events_of("approval.refused").pop().unwrap();
            assert_eq!((reply.status, &event["reason"]), (400, &json!("Stopped")), "{taken}");
        }
    }
}

// ── Administrators ──

#[test]
fn an_administrator_sees_what_a_user_has_allowed_and_takes_a_consent_back_by_name() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let tokens = scene.connect(&["mcp:read", "mcp:write"]);
    let path = format!("users/{}/consents", scene.user());
    let listed = hub.admin("GET", &path).send().expect(200).json();
    let consent = &listed["items"][0];
    let lines = json!([
        {"scope": "mcp:read", "until": hub.clock.seconds() + 30 * 86_400, "used_at": hub.clock.seconds()},
        {"scope": "mcp:write", "until": hub.clock.seconds() + 30 * 86_400, "used_at": hub.clock.seconds()},
    ]);
    assert_eq!((&consent["lines"], &consent["client"]), (&lines, &json!(scene.client)));
    assert_eq!((&consent["resource"], &consent["redirect_host"]), (&json!(RESOURCE), &json!("client.example")));
    let identity = scene.identity()["id"].as_str().unwrap().to_owned();
    let detail = hub.admin("GET", &format!("identities/{identity}")).send().expect(200).json();
    assert_eq!((&detail["consents"], &detail["refresh_families"]), (&json!(1), &json!(1)));
    assert_eq!(detail["consents_used_at"], hub.clock.seconds());
    let id = consent["id"].as_str().unwrap();
    hub.admin("DELETE", &format!("consents/{id}")).send().expect(204);
    hub.admin("DELETE", &format!("consents/{id}")).send().expect(404);
    hub.admin("GET", "users/nobody/consents").send().expect(404);
    scene.is_dead(&tokens);
    let event = hub.events_of("consent.withdrawn").pop().unwrap();
    assert_eq!(event["client"], json!(hub.admin_client("main").client_id));
    assert_eq!((&event["target"], &event["subject"]), (&json!(id), &json!(scene.user())));
    // The agent is not held: its user can allow it again at once.
    hub.clock.advance(1);
    let anew = scene.connect(&["mcp:read"]);
    assert!(scene.server.is_active(&anew.access));
}

// ── The cron ──

#[test]
fn what_has_ended_is_forgotten_and_what_has_not_stays() {
    let hub = hub();
    let scene = Scene::new(&hub);
    scene.connect(&["mcp:read"]);
    scene.code(&["mcp:read"]);
    let left = || ["sessions", "codes", "consents", "refresh_families"].map(|table| scene.rows(table));
    for (seconds, wanted) in
        [(0, [1, 2, 1, 1]), (60 + 600, [1, 0, 1, 1]), (12 * 3_600, [0, 0, 1, 1]), (30 * 86_400, [0, 0, 0, 0])]
    {
        hub.clock.set_seconds(crate::support::hub::START + seconds);
        hub.tick().unwrap();
        hub.tick().unwrap();
        assert_eq!(left(), wanted, "{seconds}");
    }
    assert!(hub.events_of("consent.withdrawn").is_empty());
}

#[test]
fn a_consent_whose_client_was_killed_and_that_the_kill_has_left_is_forgotten() {
    let hub = hub();
    let scene = Scene::new(&hub);
    scene.connect(&["mcp:read"]);
    hub.tick().unwrap();
    assert_eq!((scene.rows("consents"), scene.families()), (1, 1));
    hub.db.execute(&format!("UPDATE clients SET status = 'retired' WHERE id = '{}'", scene.client));
    hub.clock.advance(60);
    hub.tick().unwrap();
    assert_eq!((scene.rows("consents"), scene.families()), (0, 0));
}

#[test]
fn a_scope_that_was_not_used_for_as_long_as_the_tenant_says_falls_away_and_the_others_stay() {
    let hub = hub();
    let scene = Scene::new(&hub);
    let page = scene.browser.get(&format!("/t/main/authorize?{}", authorization(&scene.client, &[])));
    let asked = scene.browser.sign_in(&page);
    let open = [("decision", "allow"), ("duration", "open")];
    let back = scene.browser.decide_for(&asked, &["mcp:read", "mcp:write"], &open);
    let reply = redeem(&hub, &scene.client, &parameter(&back, "code").unwrap()).expect(200);
    let lines =
        || hub.db.query("SELECT lines FROM consents WHERE tenant = 'main'")[0]["lines"].as_str().unwrap().to_owned();
    let day = |n: u64| hub.clock.set_seconds(crate::support::hub::START + n * 86_400);
    day(20);
    let only = [("scope", "mcp:read")];
    let used = refresh(&hub, &scene.client, &text(&reply, "refresh_token"), &only).expect(200);
    day(31);
    hub.tick().unwrap();
    assert!(lines().contains("mcp:write"), "no tenant has said so");
    let etag = hub.admin("GET", "tenants/main").send().header("etag").unwrap().to_owned();
    let body = json!({"name": "main", "zone": "UTC", "settings": {"consent_unused_days": 30}});
    hub.admin("PUT", "tenants/main").header("if-match", &etag).json(&body).send().expect(200);
    hub.clock.advance(60);
    hub.tick().unwrap();
    assert!(lines().contains("mcp:read") && !lines().contains("mcp:write"), "{}", lines());
    let event = hub.events_of("consent.narrowed").pop().unwrap();
    assert_eq!((&event["scope_given"], event.get("client")), (&json!("mcp:read"), None));
    let again = refresh(&hub, &scene.client, &text(&used, "refresh_token"), &[]).expect(200);
    assert_eq!(text(&again, "scope"), "mcp:read");
}
