//! `/t/{tenant}/connections/{name}/proxy/{path}` of a connection to AWS: each call is signed with the keys of a session, and nobody sees them.

use crate::support::flowing::{Flowing, Passed};
use crate::support::hub::Call;
use crate::support::services::{ROLE, Services, UPSTREAM};
use crate::support::{Credentials, Reply, Setup};
use serde_json::{Value, json};
use std::rc::Rc;
use writ::crypto::sha256;

const PROXY: &str = "/t/main/connections/downstream/proxy";

/// An agent that calls a service of AWS.
struct Scene {
    hub: Setup,
    services: Rc<Services>,
    agent: Credentials,
    token: String,
}

impl Scene {
    fn new(service: &str, base_url: &str) -> Self {
        let hub = Setup::new();
        let services = Services::open(&hub);
        let api = format!("{}/connections", hub.issuer("main"));
        let agent = hub.create_client(json!({"client_name": "reader", "allowed_resources": [api]}));
        hub.put_policy("lease", r#"permit(principal, action == Action::"lease", resource);"#);
        let token = hub.token(&agent, &[("resource", &api), ("scope", "connections:use")]).access_token();
        let scene = Self { hub, services, agent, token };
        scene.put(config(service, base_url)).expect(201);
        scene.hub.fetch.flow(|passed| {
            let headers: serde_json::Map<String, Value> =
                passed.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            Flowing::new(200, json!({"url": passed.url, "headers": headers}).to_string().as_bytes())
        });
        scene
    }

    fn put(&self, config: Value) -> Reply {
        let old = self.hub.admin("GET", "connections/downstream").send();
        let mut call = self.hub.admin("PUT", "connections/downstream").json(&json!({"kind": "aws", "config": config}));
        if let Some(etag) = old.header("etag") {
            call = call.header("if-match", etag);
        }
        call.send()
    }

    fn call(&self, method: &str, path: &str) -> Call<'_> {
        self.hub.call(method, &[PROXY, path].concat()).bearer(&self.token)
    }

    fn last(&self) -> Passed {
        self.hub.fetch.passed().pop().unwrap()
    }
}

fn config(service: &str, base_url: &str) -> Value {
    json!({
        "role_arn": ROLE, "region": "eu-central-1", "service": service, "base_url": base_url,
        "allow": [
            {"methods": ["GET", "PUT", "POST"], "path": "/reports/*"},
            {"methods": ["POST"], "path": "/"},
            {"methods": ["GET"], "path": "/", "query": ["list-type", "prefix"]},
        ],
    })
}

/// The names that a signature is over.
fn signed(passed: &Passed) -> String {
    let authorization = passed.header("authorization").unwrap();
    let (start, rest) = authorization.split_once(", SignedHeaders=").unwrap();
    assert!(start.starts_with("AWS4-HMAC-SHA256 Credential=ASIA") && start.ends_with("/aws4_request"), "{start}");
    let (names, signature) = rest.split_once(", Signature=").unwrap();
    assert!(signature.len() == 64, "{signature}");
    names.to_owned()
}

#[test]
fn a_call_is_signed_with_the_session_of_the_agent_and_nobody_sees_its_keys() {
    let scene = Scene::new("s3", "https://s3.eu-central-1.amazonaws.com");
    let call = scene.call("PUT", "/reports/a%20b").header("content-type", "text/plain").header("x-amz-acl", "private");
    let call = call.header("x-amz-security-token", "mine").header("x-amz-date", "20200101T000000Z").body("hello");
    let reply = call.header("accept", "*/*").send().expect(200);
    assert_eq!(scene.services.last.borrow()["RoleSessionName"], scene.agent.client_id);
    let passed = scene.last();
    assert_eq!(passed.url, "https://s3.eu-central-1.amazonaws.com/reports/a%20b");
    assert_eq!(signed(&passed), "content-type;host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-security-token");
    assert_eq!(passed.header("x-amz-content-sha256"), Some(sha256("hello").to_hex().as_str()));
    assert!(passed.header("x-amz-security-token").unwrap().starts_with(&format!("session.{UPSTREAM}")));
    let all = format!("{passed:?}");
    assert!(!all.contains("mine") && !all.contains("20200101") && !all.contains(&scene.token), "{all}");
    assert!(!all.contains(&format!("secret/{UPSTREAM}")), "{all}");
    // The service says back all that it was sent.
    let echo = reply.json();
    assert!(!reply.text.contains(UPSTREAM), "{reply:?}");
    assert!(echo["headers"]["x-amz-security-token"].as_str().unwrap().bytes().all(|b| b == b'*'));
    assert!(echo["headers"]["authorization"].as_str().unwrap().ends_with(&"*".repeat(64)));

    let called = scene.hub.events_of("proxy.called").pop().unwrap();
    assert_eq!((&called["host"], &called["path"]), (&json!("s3.eu-central-1.amazonaws.com"), &json!("/reports/a%20b")));
    let at_rest = scene.hub.dump_at_rest() + &format!("{:?}", scene.hub.events());
    assert!(!at_rest.contains(UPSTREAM));
}

#[test]
fn a_query_is_sent_in_the_form_that_is_signed_and_what_is_not_listed_is_denied() {
    let scene = Scene::new("s3", "https://reports.s3.eu-central-1.amazonaws.com");
    scene.call("GET", "/?prefix=a/b+c&list-type=2").send().expect(200);
    assert_eq!(scene.last().url, "https://reports.s3.eu-central-1.amazonaws.com/?list-type=2&prefix=a%2Fb%20c");
    for (method, path) in [("DELETE", "/reports/a"), ("GET", "/?acl"), ("GET", "/other/a"), ("GET", "/reports/a/b")] {
        assert_eq!(scene.call(method, path).send().expect(403).error(), "access_denied", "{method} {path}");
    }
    assert_eq!(scene.hub.fetch.passed().len(), 1);
    let plain = json!({"role_arn": ROLE, "region": "eu-central-1"});
    scene.put(plain).expect(200);
    scene.hub.clock.advance(5);
    assert_eq!(scene.call("GET", "/?prefix=a").send().expect(403).error(), "access_denied");
}

#[test]
fn a_body_streams_to_s3_and_is_read_first_for_any_other_service() {
    let pieces = |size: usize| vec![vec![b'x'; 40_000]; size];
    let scene = Scene::new("s3", "https://s3.eu-central-1.amazonaws.com");
    scene.call("PUT", "/reports/a").streamed(pieces(40), Some(1_600_000)).send().expect(200);
    let passed = scene.last();
    assert_eq!((passed.header("x-amz-content-sha256"), passed.length), (Some("UNSIGNED-PAYLOAD"), Some(1_600_000)));
    assert_eq!(passed.body.len(), 1_600_000);

    let scene = Scene::new("dynamodb", "https://dynamodb.eu-central-1.amazonaws.com");
    scene
        .call("POST", "/")
        .header("x-amz-target", "DynamoDB_20120810.PutItem")
        .streamed(pieces(5), None)
        .send()
        .expect(200);
    let passed = scene.last();
    assert!(signed(&passed).contains("x-amz-target"));
    let digest = sha256([b'x'; 200_000]).to_hex();
    assert_eq!(passed.header("x-amz-content-sha256"), Some(digest.as_str()));
    assert_eq!((passed.length, passed.body.len()), (None, 200_000));
    scene.call("POST", "/").streamed(pieces(40), None).send().expect(413);
    assert_eq!(scene.hub.fetch.passed().len(), 1, "nothing of it was sent");
    assert_eq!(scene.hub.events_of("proxy.refused").pop().unwrap()["reason"], "BodyTooLarge");
    // What the caller says of it, the service compares.
    let claimed = sha256(vec![b'x'; 1_600_000]).to_hex();
    scene.call("POST", "/").header("x-amz-content-sha256", &claimed).streamed(pieces(40), None).send().expect(200);
    assert_eq!(scene.last().header("x-amz-content-sha256"), Some(claimed.as_str()));
}

#[test]
fn a_connection_to_aws_calls_aws_and_nothing_else() {
    let scene = Scene::new("s3", "https://s3.eu-central-1.amazonaws.com");
    let good = config("s3", "https://s3.eu-central-1.amazonaws.com");
    let problem = |reply: Reply| (reply.status, reply.json()["detail"].as_str().unwrap_or_default().to_owned());
    for (member, bad) in [
        ("base_url", json!("https://s3.evil.example")),
        ("base_url", json!("https://amazonaws.com.evil.example")),
        ("base_url", json!("https://amazonaws.com")),
        ("base_url", json!("http://s3.amazonaws.com")),
        ("base_url", json!("https://s3.amazonaws.com/")),
        ("base_url", json!("https://s3.amazonaws.com?a=b")),
        ("service", json!("S3")),
        ("service", json!("")),
        ("service", Value::Null),
        ("region", Value::Null),
        ("region", json!("s3")),
        ("sts_url", json!("https://sts.evil.example/")),
        ("sts_url", json!("https://sts-fips.us-east-1.amazonaws.com/")),
    ] {
        let mut config = good.clone();
        config[member] = bad.clone();
        let (status, detail) = problem(scene.put(config));
        assert!(status == 400 && detail.contains(member), "{member} {bad}: {detail}");
    }
    let allow_alone = json!({"role_arn": ROLE, "allow": good["allow"]});
    assert_eq!(problem(scene.put(allow_alone)).0, 400);
    for (member, fine) in [
        ("base_url", json!("https://abc.execute-api.eu-central-1.amazonaws.com/prod")),
        ("base_url", json!("https://abc.lambda-url.eu-central-1.on.aws")),
        ("sts_url", json!("https://sts-fips.eu-central-1.amazonaws.com/")),
    ] {
        let mut config = good.clone();
        config[member] = fine;
        scene.put(config).expect(200);
    }
}
