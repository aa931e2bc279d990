//! The Token Status List (draft-ietf-oauth-status-list).

use super::chain::{Chain, TASKS};
use super::introspection::is_signed;
use crate::support::hub::{ISSUER, RESOURCE, decode};
use crate::support::{Reply, Setup};
use serde_json::{Value, json};
use writ::crypto::unb64;

const PATH: &str = "/t/main/status-list";
const VALID: u8 = 0;
const INVALID: u8 = 1;
const SUSPENDED: u8 = 2;

pub fn fetch(hub: &Setup) -> Reply {
    hub.call("GET", PATH).send().expect(200)
}

/// The status of the token, as its bearer's resource server would look it up.
fn status(hub: &Setup, token: &str) -> u8 {
    let reference = &decode(token).1["status"]["status_list"];
    assert_eq!(reference["uri"], json!(format!("{ISSUER}/status-list")));
    let (_, claims) = decode(&fetch(hub).text);
    assert_eq!(claims["sub"], reference["uri"]);
    at(&claims, reference["idx"].as_u64().unwrap() as usize)
}

pub fn at(claims: &Value, index: usize) -> u8 {
    assert_eq!(claims["status_list"]["bits"], 2);
    let list = unpacked(claims);
    list[index / 4] >> (index % 4 * 2) & 3
}

fn unpacked(claims: &Value) -> Vec<u8> {
    let packed = unb64(claims["status_list"]["lst"].as_str().unwrap()).unwrap();
    miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap()
}

#[test]
fn the_list_is_a_signed_jwt_that_says_how_long_it_may_be_kept() {
    let hub = Setup::new();
    let reply = fetch(&hub);
    assert_eq!(reply.header("content-type"), Some("application/statuslist+jwt"));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=5"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let (header, claims) = decode(&reply.text);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("statuslist+jwt"), &json!("ES256")));
    let now = hub.clock.seconds();
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(ISSUER), &json!(format!("{ISSUER}/status-list"))));
    assert_eq!((&claims["iat"], &claims["ttl"], &claims["exp"]), (&json!(now), &json!(5), &json!(now + 65)));
    assert!(is_signed(&hub, &reply.text));
    // It tells nothing of how many there are.
    let list = unpacked(&claims);
    assert_eq!(list, vec![0; 1 << 15]);
    hub.call("POST", PATH).send().expect(405);
}

#[test]
fn a_longer_bound_is_a_longer_ttl() {
    let hub = Setup::with(&[("FRESHNESS_SECONDS", "30")]);
    assert_eq!(decode(&fetch(&hub).text).1["ttl"], 30);
}

#[test]
fn whoever_in_an_identity_is_stopped_shows_in_the_list_at_once_and_nobody_else_does() {
    let chain = Chain::new();
    let hub = &chain.hub;
    let elsewhere = hub.isolate();
    let of_user = chain.user_token(&chain.planner, TASKS, "mcp:read");
    let own = chain.own_token(&chain.planner, RESOURCE);
    let bystander = chain.own_token(&chain.worker, RESOURCE);
    let show = || [&of_user, &own, &bystander].map(|token| status(hub, token));
    elsewhere_fetch(hub, &elsewhere);
    assert_eq!(show(), [VALID; 3]);
    let identity = |token: &str| {
        let index = decode(token).1["status"]["status_list"]["idx"].as_i64().unwrap();
        let rows = hub.db.query(&format!("SELECT id FROM identities WHERE tenant = 'main' AND place = {index}"));
        rows[0]["id"].as_str().unwrap().to_owned()
    };
    for (thing, stopped) in [
        (format!("clients/{}", chain.planner.client_id), [true, true, false]),
        (format!("users/{}", chain.user), [true, false, false]),
        (format!("identities/{}", identity(&of_user)), [true, false, false]),
    ] {
        let as_status = |status: u8| stopped.map(|stopped| if stopped { status } else { VALID });
        hub.admin("POST", &format!("{thing}/suspend")).send().expect(200);
        assert_eq!(show(), as_status(SUSPENDED), "{thing}");
        // The other isolate has not heard of it yet; its list has, a second later.
        hub.clock.advance(1);
        let there = elsewhere_fetch(hub, &elsewhere);
        assert_eq!(at(&there, index_of(&of_user)), SUSPENDED, "{thing}");
        hub.admin("POST", &format!("{thing}/resume")).send().expect(200);
        assert_eq!(show(), [VALID; 3], "{thing}");
    }
    hub.admin("POST", &format!("identities/{}/kill", identity(&own))).send().expect(200);
    assert_eq!(show(), [VALID, INVALID, VALID]);
    hub.admin("DELETE", &format!("users/{}", chain.user)).send().expect(204);
    assert_eq!(show(), [INVALID, INVALID, VALID]);
    hub.admin("DELETE", &format!("clients/{}", chain.worker.client_id)).send().expect(204);
    assert_eq!(show(), [INVALID; 3]);
}

fn index_of(token: &str) -> usize {
    decode(token).1["status"]["status_list"]["idx"].as_u64().unwrap() as usize
}

fn elsewhere_fetch(hub: &Setup, isolate: &crate::support::hub::Isolate) -> Value {
    decode(&hub.call("GET", PATH).on(isolate).send().expect(200).text).1
}

#[test]
fn every_identity_has_one_place_and_a_new_one_is_valid_without_another_read_of_all() {
    let hub = Setup::new();
    let first = hub.agent("first", "mcp:read");
    let tokens = [hub.access_token(&first, "mcp:read"), hub.access_token(&first, "mcp:read")];
    assert_eq!(index_of(&tokens[0]), index_of(&tokens[1]));
    assert_eq!(status(&hub, &tokens[0]), VALID);
    let second = hub.agent("second", "mcp:read");
    fetch(&hub);
    let token = hub.access_token(&second, "mcp:read");
    assert_ne!(index_of(&token), index_of(&tokens[0]));
    let before = hub.db.query("SELECT epoch FROM tenants WHERE id = 'main'");
    assert_eq!(status(&hub, &token), VALID);
    assert_eq!(hub.db.query("SELECT epoch FROM tenants WHERE id = 'main'"), before);
}

#[test]
fn the_present_list_is_not_sent_again_until_it_grows_old() {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let token = hub.access_token(&agent, "mcp:read");
    let tag = fetch(&hub).header("etag").unwrap().to_owned();
    let again = || hub.call("GET", PATH).header("if-none-match", &tag).send();
    hub.clock.advance(29);
    let unchanged = again().expect(304);
    assert_eq!((unchanged.text.as_str(), unchanged.header("etag")), ("", Some(&*tag)));
    hub.clock.advance(1);
    assert_ne!(again().expect(200).header("etag"), Some(&*tag));
    hub.clock.set_seconds(hub.clock.seconds() - 30);
    hub.restart();
    hub.admin("POST", &format!("clients/{}/kill", agent.client_id)).send().expect(200);
    again().expect(200);
    assert_eq!(status(&hub, &token), INVALID);
    for strange in ["\"x\"", "W/\"1.x\"", "\"\""] {
        hub.call("GET", PATH).header("if-none-match", strange).send().expect(200);
    }
    // Any list will do (RFC 9110 §13.1.2).
    hub.call("GET", PATH).header("if-none-match", "*").send().expect(304);
}

#[test]
fn ten_thousand_stopped_identities_are_all_in_the_list_and_places_beyond_it_make_it_grow() {
    let hub = Setup::new();
    fetch(&hub);
    hub.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
         INSERT INTO identities (tenant, id, place, client, subject, registered_by, status, created_at, updated_at) \
         SELECT 'main', 'gone' || i, i * 3 + 1000, 'client_gone', 'client_gone' || i, 'x', 'retired', 0, 0 FROM n",
    );
    hub.restart();
    let (_, claims) = decode(&fetch(&hub).text);
    let list = unpacked(&claims);
    let set: Vec<usize> = (0..list.len() * 4).filter(|n| list[n / 4] >> (n % 4 * 2) & 3 == INVALID).collect();
    assert_eq!(set, (0..10_000).map(|n| n * 3 + 1000).collect::<Vec<_>>());
    assert_eq!(list.len(), 1 << 15);
    // A quarter of a byte each: it doubles beyond the last place, and at 1,048,576 places it stays.
    for (place, length) in [(131_071, 1 << 15), (131_072, 1 << 16), (262_144, 1 << 17), (5_000_000, 1 << 18)] {
        hub.db.execute(&format!("UPDATE identities SET place = {place} WHERE id = 'gone7'"));
        hub.restart();
        let (_, claims) = decode(&fetch(&hub).text);
        assert_eq!(unpacked(&claims).len(), length, "{place}");
        if place < 1 << 20 {
            assert_eq!(at(&claims, place), INVALID);
        }
    }
}
