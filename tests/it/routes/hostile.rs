//! Bad input: each gets its constant error, nothing changes, and the next request works.

use crate::support::hub::{RESOURCE, decode, with_claims};
use crate::support::{Credentials, Reply, Setup};
use serde_json::json;
use writ::crypto::b64;

const INJECTIONS: [&str; 8] = [
    "'; DROP TABLE clients; --",
    "\" OR \"1\"=\"1",
    "main' OR '1'='1",
    "1; UPDATE tenants SET status = 'suspended'",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "\0",
    "\u{202e}\u{feff}😀",
];

fn ready() -> (Setup, Credentials) {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    hub.token(&client, &[]).expect(200);
    hub.events();
    (hub, client)
}

/// Everything but the trail, what is noted of its log, and the count of failed authentications.
fn truth(hub: &Setup) -> String {
    let rows = hub.db.dump();
    let kept = |line: &&str| {
        ["events", "outbox", "failures", "log_keys"]
            .iter()
            .all(|table| !line.starts_with(&format!(r#"{{"table":"{table}""#)))
    };
    rows.lines().filter(kept).collect::<Vec<_>>().join("\n")
}

/// A reply without what belongs to the request alone: the id of a decision, which has a fixed length.
fn shape(reply: &Reply) -> (u16, String) {
    let mut body = reply.json();
    if let Some(decision) = body.get_mut("decision") {
        assert_eq!(decision.as_str().unwrap().len(), 26);
        *decision = "…".into();
    }
    (reply.status, body.to_string())
}

#[test]
fn sql_in_any_parameter_is_only_text_and_the_error_does_not_repeat_it() {
    let (hub, client) = ready();
    let before = truth(&hub);
    for text in INJECTIONS {
        let forged =
            |id: &str, secret: &str| Credentials { client_id: id.to_owned(), client_secret: secret.to_owned() };
        let replies = [
            hub.token(&client, &[("scope", text)]),
            hub.token(&client, &[("resource", text)]),
            hub.token(&client, &[("resource", &format!("https://x.example/{text}"))]),
            hub.token(&client, &[(text, text)]),
            hub.call("POST", "/t/main/token").basic(&client).form(&[("grant_type", text)]).send(),
            hub.token(&forged(text, text), &[]),
            hub.token(&forged(&client.client_id, text), &[]),
            hub.token(&client, &[("client_id", text)]),
            hub.call("POST", "/t/main/token")
                .form(&[("grant_type", "client_credentials")])
                .header("authorization", text)
                .send(),
            hub.call("POST", "/t/main/token").basic(&client).header("content-type", text).send(),
        ];
        for (n, reply) in replies.iter().enumerate() {
            let accepted = reply.status == 200 && n == 3;
            assert!(accepted || (400..=401).contains(&reply.status), "{n}: {reply:?}");
            assert!(!reply.text.contains(text), "{n}: {reply:?}");
        }
    }
    hub.events();
    assert_eq!(truth(&hub), before);
    hub.token(&client, &[]).expect(200);
}

#[test]
fn paths_with_sql_dots_encodings_and_strange_tenants_are_nowhere() {
    let (hub, client) = ready();
    let before = truth(&hub);
    let paths = [
        "",
        "//",
        "/t",
        "/t/",
        "/t//token",
        "/t/main/",
        "/t/main//token",
        "/t/main/token/",
        "/T/main/token",
        "/t/main/Token",
        "/t/main/../main/token",
        "/t/main/./token",
        "/t/main/%2e%2e/main/token",
        "/t/main/%2E/token",
        "/t/main%2ftoken",
        "/t/%6dain/token",
        "/t/main/token%00",
        "/t/main/..%2f..%2fetc/passwd",
        "/t/main;x/token",
        "/t/'%20OR%201=1/token",
        "/t/nobody/token",
        "/t/MAIN/token",
        "/t/main%20/token",
        "/t/-main/token",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/t/nobody",
        "/.well-known/oauth-authorization-server/t/main/",
        "/t/main/resources/%2e%2e/oauth-protected-resource",
        "/t/main/resources/a%2fb/oauth-protected-resource",
        "/t/main/resources/%ff/oauth-protected-resource",
        "/t/main/resources//oauth-protected-resource",
        "/t/main/resources/%00/oauth-protected-resource",
        "\\t\\main\\token",
        "https://evil.example/t/main/token",
        "*",
        "t/main/token",
    ];
    for path in paths {
        for method in ["GET", "POST"] {
            let reply = hub.call(method, path).basic(&client).form(&[("grant_type", "client_credentials")]).send();
            assert_eq!((reply.status, reply.error().as_str()), (404, "not_found"), "{method} {path}: {reply:?}");
        }
    }
    let long = format!("/t/{}/token", "x".repeat(100_000));
    hub.call("POST", &long).send().expect(404);
    hub.events();
    assert_eq!(truth(&hub), before);
    hub.token(&client, &[]).expect(200);
}

#[test]
fn an_unknown_tenant_is_asked_for_without_filling_the_memory_or_the_trail() {
    let (hub, _) = ready();
    let before = hub.events().len();
    for n in 0..100 {
        hub.call("POST", &format!("/t/nobody{n}/token")).send().expect(404);
    }
    assert_eq!(hub.events().len(), before);
}

#[test]
fn a_megabyte_is_refused_by_its_size() {
    let (hub, client) = ready();
    let huge = "a ".repeat(500_000);
    let reply = hub.token(&client, &[("scope", &huge)]);
    assert_eq!((reply.status, reply.error().as_str()), (413, "invalid_request"));
    let within = "a ".repeat(30_000);
    let reply = hub.token(&client, &[("scope", &within)]);
    assert_eq!((reply.status, reply.error().as_str()), (400, "invalid_scope"));
    hub.token(&client, &[]).expect(200);
}

#[test]
fn error_bodies_have_one_size_and_one_wording_whatever_was_sent() {
    let (hub, client) = ready();
    let long = "x".repeat(3000);
    let same = |replies: Vec<Reply>| {
        let shapes: Vec<_> = replies.iter().map(shape).collect();
        assert!(shapes.iter().all(|one| *one == shapes[0]), "{shapes:#?}");
    };
    let values = ["a", "other", &long, "scope-with-a-name"];
    same(values.iter().map(|text| hub.token(&client, &[("scope", text)])).collect());
    same(values.iter().map(|text| hub.token(&client, &[("scope", &format!("{text}\""))])).collect());
    same(
        ["https://a.example", &format!("https://{}.example", &long[..60])]
            .iter()
            .map(|text| hub.token(&client, &[("resource", text)]))
            .collect(),
    );
    same(
        values
            .iter()
            .map(|text| hub.call("POST", "/t/main/token").basic(&client).form(&[("grant_type", text)]).send())
            .collect(),
    );
    let stranger = |text: &&str| Credentials { client_id: (*text).to_owned(), client_secret: (*text).to_owned() };
    same(values.iter().map(|text| hub.token(&stranger(text), &[])).collect());
    same(values.iter().map(|text| hub.call("POST", &format!("/t/{text}x/token")).send()).collect());
}

#[test]
fn forged_tokens_open_nothing() {
    let (hub, client) = ready();
    hub.create_tenant("second");
    let token = hub.admin_token();
    let (header, claims) = decode(&token);
    let opens = |token: &str| hub.call("GET", "/t/main/admin/clients").bearer(token).send();
    opens(&token).expect(200);

    let parts: Vec<_> = token.split('.').collect();
    let with_header = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut header = header.clone();
        change(&mut header);
        format!("{}.{}.{}", b64(header.to_string()), parts[1], parts[2])
    };
    let mut elevated = claims.clone();
    elevated["exp"] = json!(claims["exp"].as_u64().unwrap() + 1_000_000);
    let forged = [
        String::new(),
        "x".repeat(20_000),
        "a.b.c".to_owned(),
        parts[..2].join("."),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{token}."),
        format!("{token}A"),
        with_claims(&token, &elevated),
        with_header(&|header| header["alg"] = json!("none")),
        with_header(&|header| header["alg"] = json!("HS256")),
        with_header(&|header| header["alg"] = json!("RS256")),
        with_header(&|header| header["typ"] = json!("JWT")),
        with_header(&|header| header["kid"] = json!("another")),
        with_header(&|header| header["kid"] = json!("' OR 1=1")),
        with_header(&|header| header["crit"] = json!(["exp"])),
        with_header(&|header| header["jku"] = json!("https://evil.example/jwks.json")),
        hub.access_token(&client, "mcp:read"),
        hub.admin_token_of("second"),
    ];
    for token in forged {
        let reply = opens(&token);
        assert_eq!((reply.status, reply.error().as_str()), (401, "invalid_token"), "{token}: {reply:?}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer "));
    }
    hub.clock.advance(311);
    opens(&token).expect(401);
    opens(&hub.admin_token()).expect(200);
}

#[test]
fn a_thousand_random_bodies_break_nothing() {
    let (hub, client) = ready();
    let before = truth(&hub);
    let mut random = crate::support::run::Random(7);
    let alphabet = b"grant_type=client_credentials&scope=%00%ff+;[]{}\"\\\n\xc3\xa9resource";
    for _ in 0..1000 {
        let length = random.below(200);
        let body: Vec<u8> = (0..length).map(|_| alphabet[random.below(alphabet.len())]).collect();
        let reply = hub.token_call(&client, &[]).body(body).send();
        assert!(matches!(reply.status, 400 | 401 | 429), "{reply:?}");
    }
    hub.events();
    assert_eq!(truth(&hub), before);
    hub.token(&client, &[("resource", RESOURCE)]).expect(200);
}
