//! HTTP around the endpoints.

use super::hub::Hub;

#[test]
fn a_browser_may_ask_before_it_sends() {
    let hub = Hub::open();
    for (path, method) in [("/t/main/token", "POST"), ("/t/main/jwks.json", "GET")] {
        let preflight = hub
            .ask("OPTIONS", path)
            .header("origin", "https://page.example")
            .header("access-control-request-method", method);
        let reply = preflight.send().expect(204);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("access-control-allow-methods"), Some(method));
        assert!(reply.header("access-control-allow-headers").unwrap().contains("Authorization"));
        assert_eq!(reply.header("access-control-allow-credentials"), None);
    }
}

#[test]
fn what_is_not_there_is_a_404_with_a_json_error() {
    let hub = Hub::open();
    let paths = [
        "/nowhere",
        "/t/main/",
        "/t/nobody/token",
        "/t/main/token/",
        "/t/main//token",
        "/t/main%2ftoken",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/t/nobody",
        "/t/main/resources/nothing/oauth-protected-resource",
        "/t/'%20or%201=1/jwks.json",
    ];
    for path in paths {
        for method in ["GET", "POST"] {
            let reply = hub.ask(method, path).send();
            assert!(matches!(reply.status, 404 | 405) && !reply.error().is_empty(), "{method} {path}: {reply:?}");
            assert!(reply.status == 404 || path.ends_with("oauth-protected-resource"), "{method} {path}: {reply:?}");
        }
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_by_its_announced_length_and_the_next_request_works() {
    let hub = Hub::open();
    let form = [("grant_type", "client_credentials"), ("scope", &*"x".repeat(1_000_000))];
    // The server need not read it (RFC 9110 §15.5.14), so a client that just sends may lose the answer with the connection.
    let call = hub.ask("POST", "/t/main/token").basic(&hub.agent.client).form(&form).header("expect", "100-continue");
    let reply = call.send();
    assert_eq!((reply.status, reply.error().as_str()), (413, "invalid_request"));
    hub.agents_token(&[]).expect(200);
}

#[test]
fn errors_do_not_repeat_what_was_sent() {
    let hub = Hub::open();
    for text in ["'; DROP TABLE clients; --", "<script>alert(1)</script>", "marker-of-this-test"] {
        let replies = [
            hub.agents_token(&[("scope", text)]),
            hub.token(&hub.agent.client, &[("resource", text)]),
            hub.ask("POST", "/t/main/token").basic(&hub.agent.client).form(&[("grant_type", text)]).send(),
            hub.ask("POST", "/t/main/token").form(&[("client_id", text), ("client_secret", text)]).send(),
            hub.ask("GET", "/t/main/admin/clients").bearer(text).send(),
        ];
        for reply in replies {
            assert!((400..500).contains(&reply.status), "{reply:?}");
            assert!(!format!("{reply:?}").contains(text), "{reply:?}");
        }
    }
}

#[test]
fn no_answer_is_sniffed_for_another_type() {
    let hub = Hub::open();
    for path in ["/t/main/jwks.json", "/t/main/token", "/nowhere", "/health"] {
        assert_eq!(hub.get(path).header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[test]
fn health_is_ok() {
    assert_eq!(Hub::open().get("/health").expect(200).json(), serde_json::json!({"status": "ok"}));
}

#[test]
fn the_authorization_endpoint_refuses_without_a_redirect() {
    let hub = Hub::open();
    let query = "response_type=code&client_id=x&redirect_uri=https%3A%2F%2Fevil.example&state=marker-of-this-test";
    for path in ["/t/main/authorize".to_owned(), format!("/t/main/authorize?{query}")] {
        let reply = hub.get(&path).expect(400);
        assert!(reply.header("content-type").is_some_and(|media| media.starts_with("text/html")), "{reply:?}");
        assert_eq!(reply.header("location"), None);
        assert!(!reply.text.contains("marker-of-this-test") && !reply.text.contains("evil.example"));
    }
}
