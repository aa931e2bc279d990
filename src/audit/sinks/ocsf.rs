//! Events as the Open Cybersecurity Schema Framework 1.9 has them.
//!
//! 1. What agents do is API Activity (6003), with the profile `ai_operation`: the agent, and the delegation under which it acts. Sessions of people are
//!    Authentication (3002). Everything else is a change of a record: Entity Management (3004).
//! 2. A delegation is named by who delegates, along the chain: `user/agent/next agent`. Its parent is that name without its last part. What it is for, its
//!    scope and its end, and the name of its root, are in `unmapped`: the framework had no place for them when 1.9 was made.
//! 3. `record_integrity`: the fingerprint is the SHA-256 over the event as JSON with sorted members and without spaces (RFC 8785), without the fingerprint
//!    itself. The chain is the trail of the tenant, and the attestation is named by the sequence number.
//! 4. The whole event stands in `unmapped.writ`, so nothing is lost on the way.

use crate::crypto::sha256;
use serde_json::{Map, Value, json};

const VERSION: &str = "1.9.0";
const AUTHENTICATION: Class = Class { uid: 3_002, category: 3 };
const ENTITY_MANAGEMENT: Class = Class { uid: 3_004, category: 3 };
const API_ACTIVITY: Class = Class { uid: 6_003, category: 6 };
const OTHER: i64 = 99;

#[derive(Clone, Copy, PartialEq)]
struct Class {
    uid: i64,
    category: i64,
}

/// What is known of an event besides itself.
pub struct About<'a> {
    /// The issuer of the tenant.
    pub issuer: &'a str,
    /// The sequence number.
    pub seq: i64,
    /// When it happened, in milliseconds since the epoch.
    pub at: i64,
}

/// An event, as the admin API shows it, as the framework has it.
pub fn event(shown: &Value, about: &About<'_>) -> Value {
    let text = |name: &str| shown.get(name).and_then(Value::as_str);
    let kind = text("type").unwrap_or_default();
    let (class, (activity, name)) = (class(kind), activity(kind, text("method")));
    let is_refused = shown.get("reason").is_some();
    let mut event = json!({
        "class_uid": class.uid,
        "category_uid": class.category,
        "activity_id": activity,
        "activity_name": name,
        "type_uid": class.uid.saturating_mul(100).saturating_add(activity),
        "severity_id": if is_refused { 2 } else { 1 },
        "status_id": if is_refused { 2 } else { 1 },
        "time": about.at,
        "message": kind,
        "metadata": {
            "version": VERSION,
            "uid": text("id"),
            "event_code": kind,
            "sequence": about.seq,
            "tenant_uid": text("tenant"),
            "correlation_uid": text("request_id"),
            "log_name": "audit",
            "log_provider": about.issuer,
            "product": {"name": "Writ", "vendor_name": "Writ", "version": env!("CARGO_PKG_VERSION")},
            "profiles": match class == API_ACTIVITY {
                true => json!(["ai_operation", "record_integrity"]),
                false => json!(["record_integrity"]),
            },
        },
        "src_endpoint": endpoint(text("ip"), text("client")),
        "unmapped": {"writ": shown},
    });
    let delegation = delegation(shown, about.issuer);
    if let Some(members) = event.as_object_mut() {
        if let Some(reason) = text("reason") {
            members.insert("status_detail".to_owned(), reason.into());
        }
        members.extend(of_class(class, kind, shown));
        if let Some((delegation, more)) = delegation {
            if class == API_ACTIVITY {
                members.insert("delegation".to_owned(), delegation);
            }
            if let Some(unmapped) = members.get_mut("unmapped").and_then(Value::as_object_mut) {
                unmapped.insert("delegation".to_owned(), more);
            }
        }
    }
    attest(event, about)
}

fn class(kind: &str) -> Class {
    match kind.split('.').next().unwrap_or_default() {
        "session" | "passkey" | "authentication" => AUTHENTICATION,
        "token" | "lease" | "proxy" | "tool" | "code" | "refresh_token" | "authorization" => API_ACTIVITY,
        _ => ENTITY_MANAGEMENT,
    }
}

/// The activity in the class of the type, and its name.
fn activity(kind: &str, method: Option<&str>) -> (i64, String) {
    let verb = kind.rsplit('.').next().unwrap_or_default();
    let known = match (class(kind), verb) {
        (AUTHENTICATION, "begun" | "refused" | "limited") => Some((1, "Logon")),
        (AUTHENTICATION, "ended") => Some((2, "Logoff")),
        (AUTHENTICATION, _) => None,
        (API_ACTIVITY, "issued" | "granted") => Some((1, "Create")),
        (API_ACTIVITY, "started" | "called" | "refused") => match method {
            Some("GET" | "HEAD" | "OPTIONS") => Some((2, "Read")),
            Some("POST") => Some((1, "Create")),
            Some("PUT" | "PATCH") => Some((3, "Update")),
            Some("DELETE") => Some((4, "Delete")),
            _ if kind == "token.refused" || kind == "lease.refused" => Some((1, "Create")),
            _ => None,
        },
        (_, "created" | "registered" | "granted" | "connected") => Some((1, "Create")),
        (_, "updated" | "put" | "changed" | "rotated" | "suspended" | "resumed") => Some((3, "Update")),
        (_, "deleted" | "killed" | "erased" | "removed" | "revoked" | "withdrawn" | "disconnected") => {
            Some((4, "Delete"))
        }
        _ => None,
    };
    known.map_or_else(|| (OTHER, kind.to_owned()), |(id, name)| (id, name.to_owned()))
}

/// An endpoint has an address or a name at the least.
fn endpoint(ip: Option<&str>, client: Option<&str>) -> Value {
    match ip {
        Some(ip) => json!({"ip": ip}),
        None => json!({"name": client.unwrap_or("unknown")}),
    }
}

/// An entity with its name, where both are known.
fn entity(shown: &Value, uid: &str, name: &str) -> Option<Value> {
    let uid = shown.get(uid)?;
    Some(match shown.get(name) {
        Some(name) => json!({"uid": uid, "name": name}),
        None => json!({"uid": uid}),
    })
}

/// The members that a class wants.
fn of_class(class: Class, kind: &str, shown: &Value) -> Map<String, Value> {
    let text = |name: &str| shown.get(name).and_then(Value::as_str);
    let unknown = || json!({"name": "unknown"});
    let user = entity(shown, "subject", "subject_name");
    let client = entity(shown, "client", "client_name");
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    let mut actor = Map::new();
    actor.extend(user.clone().map(|user| ("user".to_owned(), user)));
    actor.extend(client.clone().map(|client| ("application".to_owned(), client)));
    if actor.is_empty() {
        actor.insert("user".to_owned(), unknown());
    }
    put("actor", Some(actor.into()));
    let service = text("connection").or(text("resource_name")).or(text("resource"));
    match class {
        AUTHENTICATION => {
            put("user", Some(user.unwrap_or_else(unknown)));
            put("service", Some(json!({"name": service.unwrap_or("Writ")})));
        }
        API_ACTIVITY => {
            put(
                "api",
                Some(
                    json!({"operation": text("tool").unwrap_or(kind), "service": {"name": service.unwrap_or("Writ")}}),
                ),
            );
            put("ai_agent", client);
            put("dst_endpoint", text("host").map(|host| json!({"hostname": host})));
            let resource = entity(shown, "resource", "resource_name");
            put("resources", resource.map(|resource| json!([resource])));
        }
        _ => {
            let mut entity = entity(shown, "target", "target_name").unwrap_or_else(unknown);
            if let Some(entity) = entity.as_object_mut() {
                entity.insert("type".to_owned(), kind.split('.').next().unwrap_or_default().into());
            }
            put("entity", Some(entity));
            put("comment", text("detail").map(Value::from));
        }
    }
    members
}

/// The delegation under which an agent acts for somebody else, and what the framework has no place for.
fn delegation(shown: &Value, issuer: &str) -> Option<(Value, Value)> {
    let text = |name: &str| shown.get(name).and_then(Value::as_str);
    let subject = text("subject")?;
    let chain: Vec<&str> =
        shown.get("chain").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    // Who acts is first in the chain; without one, the client acts.
    let mut actors: Vec<&str> = chain.iter().rev().copied().collect();
    if actors.is_empty() {
        actors.push(text("client")?);
    }
    if actors == [subject] {
        return None;
    }
    let name = |count: usize| {
        let actors = actors.iter().take(count).copied();
        std::iter::once(subject).chain(actors).collect::<Vec<_>>().join("/")
    };
    let mut delegation = json!({"uid": name(actors.len()), "issuer_uid": issuer});
    if let (2.., Some(members)) = (actors.len(), delegation.as_object_mut()) {
        members.insert("parent_uid".to_owned(), name(actors.len().saturating_sub(1)).into());
    }
    let mut more = json!({"root_uid": name(1)});
    if let Some(members) = more.as_object_mut() {
        let scopes = text("scope_given").map(|scope| scope.split(' ').collect::<Vec<_>>());
        members.extend(scopes.map(|scopes| ("scopes".to_owned(), json!(scopes))));
        members.extend(text("resource").map(|audience| ("audience".to_owned(), json!(audience))));
        let end = shown.get("expires_at").and_then(Value::as_i64).map(|seconds| seconds.saturating_mul(1_000));
        members.extend(end.map(|millis| ("expiration_time".to_owned(), json!(millis))));
    }
    Some((delegation, more))
}

fn attest(mut event: Value, about: &About<'_>) -> Value {
    let chain = [about.issuer, "/log"].concat();
    let mut attestation = json!({
        "uid": about.seq.to_string(),
        "authority_uid": about.issuer,
        "chain_uid": chain,
    });
    let put = |event: &mut Value, attestation: &Value| {
        if let Some(members) = event.as_object_mut() {
            members.insert("attestation_list".to_owned(), json!([attestation]));
        }
    };
    put(&mut event, &attestation);
    let value = sha256(event.to_string()).to_hex();
    if let Some(members) = attestation.as_object_mut() {
        let fingerprint = json!({"algorithm": "SHA-256", "algorithm_id": 3, "value": value});
        members.insert("fingerprint".to_owned(), fingerprint);
    }
    put(&mut event, &attestation);
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventType;

    const ABOUT: About<'_> = About { issuer: "https://id.example/t/main", seq: 7, at: 1_767_700_800_123 };

    fn shown(more: Value) -> Value {
        let mut shown = json!({"id": "e", "tenant": "main", "at": 1_767_700_800, "request_id": "r"});
        shown.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        shown
    }

    #[test]
    fn every_type_has_a_class_with_the_members_that_it_requires() {
        for kind in EventType::ALL {
            let event = event(&shown(json!({"type": kind.as_str()})), &ABOUT);
            let needed: &[&str] = match event["class_uid"].as_i64().unwrap() {
                3_002 => &["user", "service"],
                3_004 => &["entity"],
                6_003 => &["actor", "api", "src_endpoint"],
                other => panic!("{other}"),
            };
            let common = ["activity_id", "category_uid", "metadata", "severity_id", "time", "type_uid", "status_id"];
            for name in needed.iter().chain(&common) {
                assert!(!event[*name].is_null(), "{kind:?} lacks {name}");
            }
            let (class, activity) = (event["class_uid"].as_i64().unwrap(), event["activity_id"].as_i64().unwrap());
            assert_eq!(event["type_uid"], class * 100 + activity);
            assert_eq!(event["category_uid"], class / 1_000);
            assert!(activity != OTHER || event["activity_name"] == kind.as_str(), "{kind:?}");
        }
    }

    #[test]
    fn an_agent_that_acts_for_others_is_named_with_its_delegation_the_parent_and_the_root() {
        let more = json!({
            "type": "token.issued", "client": "b", "client_name": "B", "subject": "user_u", "chain": ["b", "a"],
            "scope_given": "read write", "resource": "https://mcp.example/", "expires_at": 1_767_701_100,
        });
        let event = event(&shown(more), &ABOUT);
        assert_eq!(event["ai_agent"], json!({"uid": "b", "name": "B"}));
        let delegation = json!({"uid": "user_u/a/b", "parent_uid": "user_u/a", "issuer_uid": ABOUT.issuer});
        assert_eq!(event["delegation"], delegation);
        assert_eq!(
            event["unmapped"]["delegation"],
            json!({
                "root_uid": "user_u/a", "scopes": ["read", "write"], "audience": "https://mcp.example/",
                "expiration_time": 1_767_701_100_000_i64,
            })
        );
    }

    #[test]
    fn an_agent_on_its_own_has_no_delegation_and_one_for_its_user_is_the_root() {
        let of = |more: Value| event(&shown(more), &ABOUT);
        let alone = of(json!({"type": "token.issued", "client": "a", "subject": "a"}));
        assert!(alone.get("delegation").is_none() && alone["unmapped"].get("delegation").is_none());
        let first = of(json!({"type": "token.issued", "client": "a", "subject": "user_u"}));
        assert_eq!(first["delegation"], json!({"uid": "user_u/a", "issuer_uid": ABOUT.issuer}));
    }

    #[test]
    fn a_refusal_has_failed_with_its_reason() {
        let event = event(&shown(json!({"type": "lease.refused", "reason": "LeaseDenied"})), &ABOUT);
        assert_eq!((&event["status_id"], &event["status_detail"]), (&json!(2), &json!("LeaseDenied")));
    }

    #[test]
    fn the_fingerprint_covers_all_but_itself() {
        let mut event = event(&shown(json!({"type": "client.created", "target": "c"})), &ABOUT);
        let attestation = event["attestation_list"][0].as_object_mut().unwrap();
        assert_eq!(
            (&attestation["uid"], &attestation["chain_uid"]),
            (&json!("7"), &json!("https://id.example/t/main/log"))
        );
        let fingerprint = attestation.remove("fingerprint").unwrap();
        assert_eq!(fingerprint["value"], sha256(event.to_string()).to_hex());
        event["time"] = json!(1);
        assert_ne!(fingerprint["value"], sha256(event.to_string()).to_hex());
    }
}
