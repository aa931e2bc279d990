//! Erasing members of events: what tells of a person goes, the log and what is proved by it stay, and nobody else can take anything out.

use crate::support::signer::{Verifier, at_once};
use crate::support::{Effect, Port, Reply, Seen, Setup};
use serde_json::{Value, json};
use writ::app::Source;
use writ::audit::log::entry::erase;

const ADA: &str = "user_ada";

/// A tenant with that many events about Ada, some that changed Ada, and some about others.
fn filled(count: usize) -> Setup {
    let hub = Setup::new();
    let of = |n: usize, more: Value| {
        let mut event = json!({"id": format!("01ke9jx33{n:017}"), "tenant": "main", "at": hub.clock.now().millis(),
            "type": "token.issued", "request_id": "r", "client": "desk", "client_name": "order desk", "scope_given": "orders:read"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event.to_string()
    };
    let about = |n| {
        of(n, json!({"subject": ADA, "subject_name": "Ada Lovelace", "ip": "192.0.2.77", "chain": ["desk", "other"]}))
    };
    let mut events: Vec<String> = (0..count).map(about).collect();
    events.push(of(count, json!({"type": "user.updated", "target": ADA, "target_name": "Ada Lovelace", "detail": "Countess", "ip": "198.51.100.1"})));
    events.push(of(count + 1, json!({"subject": "user_eve", "subject_name": "Eve", "ip": "192.0.2.78"})));
    events.push(of(
        count + 2,
        json!({"subject": "user_eve", "chain": ["desk", ADA], "chain_names": ["order desk", "Ada Lovelace"]}),
    ));
    for batch in events.chunks(50) {
        hub.consume(Source::Audit, batch).unwrap();
    }
    hub
}

fn call(hub: &Setup, body: Value) -> Reply {
    hub.admin("POST", "events/erase").json(&body).send()
}

/// Erases page by page: of how many events, in how many calls.
fn all_of(hub: &Setup, user: &str) -> (u64, usize) {
    let (mut body, mut count, mut calls) = (json!({"user": user}), 0, 0);
    loop {
        let answer = call(hub, body.clone()).expect(200).json();
        (count, calls) = (count + answer["erased"].as_u64().unwrap(), calls + 1);
        match answer.get("next") {
            Some(next) => body["after"] = next.clone(),
            None => return (count, calls),
        }
    }
}

fn problems(hub: &Setup) -> Value {
    let answer = hub.admin("GET", "events/verify").send().expect(200).json();
    assert!(answer.get("next").is_none());
    answer["problems"].clone()
}

fn proof(hub: &Setup, id: &str) -> Result<String, String> {
    let proof = hub.admin("GET", &format!("events/{id}/proof")).send().expect(200).text;
    let key = hub.call("GET", "/t/main/log/key").send().expect(200).text;
    let words = ["proof".to_owned(), format!("--key={}", key.trim())];
    at_once(writ::cli::verify::run(&words, &|name| (name == "proof").then(|| proof.clone()), &Verifier))
}

fn id(n: usize) -> String {
    format!("01ke9jx33{n:017}")
}

fn shown(hub: &Setup, n: usize) -> Value {
    let row = &hub.trail.query(&format!("SELECT body FROM events WHERE id = '{}'", id(n)))[0];
    serde_json::from_str(row["body"].as_str().unwrap()).unwrap()
}

#[test]
fn what_tells_of_a_user_goes_from_all_events_and_the_log_stays_whole() {
    let hub = filled(120);
    let checkpoint = hub.call("GET", "/t/main/log/tile/entries/000.p/100").send().expect(200).bytes;
    assert_eq!(all_of(&hub, ADA), (122, 3));
    let dump = hub.trail.dump();
    for gone in ["Ada Lovelace", "192.0.2.77", "Countess"] {
        assert!(!dump.contains(gone), "{gone}");
    }
    for stays in ["user_eve", "192.0.2.78", "orders:read", "order desk", "198.51.100.1"] {
        assert!(dump.contains(stays), "{stays}");
    }
    // Whom it was of is told by the record of it alone.
    let rows = "SELECT id FROM events WHERE type <> 'events.erased' AND";
    assert!(
        hub.trail
            .query(&format!("{rows} (subject = '{ADA}' OR target = '{ADA}' OR instr(body, '{ADA}') > 0)"))
            .is_empty()
    );
    assert!(hub.trail.query(&format!("SELECT id FROM event_actors WHERE actor = '{ADA}'")).is_empty());
    assert_eq!(
        shown(&hub, 3),
        json!({"id": id(3), "tenant": "main", "at": hub.clock.now().millis(), "type": "token.issued",
        "request_id": "r", "client": "desk", "client_name": "order desk", "scope_given": "orders:read", "chain": ["desk", "other"]})
    );
    let told = hub.events_of("events.erased");
    assert_eq!(told.len(), 3);
    assert_eq!((&told[0]["target"], &told[0]["detail"]), (&json!(ADA), &json!("50 events: ip, subject, subject_name")));
    assert_eq!(
        told[2]["detail"],
        "22 events: chain, chain_names, detail, ip, subject, subject_name, target, target_name"
    );
    assert_eq!(problems(&hub), json!([]));
    assert_eq!(hub.call("GET", "/t/main/log/tile/entries/000.p/100").send().expect(200).bytes, checkpoint);
    for n in [0, 60, 120, 122] {
        let told = proof(&hub, &id(n)).unwrap();
        assert!(told.contains("withheld") && !told.contains("Ada"), "{told}");
    }
    for _ in 0..3 {
        hub.clock.advance(60);
        hub.tick().unwrap();
    }
    assert_eq!(hub.events_of("log.broken"), Vec::<Value>::new());
    // Once more does no harm, and there is nothing to record.
    assert_eq!(all_of(&hub, ADA).0, 0);
    assert_eq!(hub.events_of("events.erased").len(), 3);
    let list = hub.admin("GET", "events?type=token.issued").send().expect(200).json();
    assert!(list["items"].as_array().unwrap().iter().any(|event| event["id"] == id(119)), "what is left is listed");
}

#[test]
fn of_one_event_the_members_that_are_named_go_and_more_can_go_later() {
    let hub = filled(2);
    let erased = |body| call(&hub, body).expect(200).json()["erased"].clone();
    assert_eq!(erased(json!({"event": id(0), "members": ["ip", "path"]})), 1);
    assert_eq!((shown(&hub, 0).get("ip"), &shown(&hub, 0)["subject"]), (None, &json!(ADA)));
    assert_eq!(erased(json!({"event": id(0)})), 1);
    assert_eq!(shown(&hub, 0).get("subject"), None);
    assert_eq!(erased(json!({"event": id(0)})), 0);
    assert_eq!(erased(json!({"event": id(0), "members": ["chain"]})), 1);
    assert!(hub.trail.query(&format!("SELECT id FROM event_actors WHERE id = '{}'", id(0))).is_empty());
    assert_eq!(erased(json!({"event": id(1)})), 1);
    assert_eq!(problems(&hub), json!([]));
    assert!(proof(&hub, &id(0)).unwrap().contains("4 more members are withheld"));
    for (body, told) in [
        (json!({}), "exactly one of `event` and `user`"),
        (json!({"event": id(0), "user": ADA}), "exactly one of `event` and `user`"),
        (json!({"event": id(0), "members": []}), "`members`"),
        (json!({"event": id(0), "members": ["type"]}), "`members[0]`"),
        (json!({"event": id(0), "members": ["at"]}), "`members[0]`"),
        (json!({"user": ADA, "before": "x"}), "`before`"),
    ] {
        let reply = call(&hub, body.clone()).expect(400);
        assert!(reply.text.contains(told), "{body}: {}", reply.text);
    }
    call(&hub, json!({"event": "nothing"})).expect(404);
    assert_eq!(call(&hub, json!({"user": "nobody"})).expect(200).json(), json!({"erased": 0}));
}

#[test]
fn nothing_is_erased_under_a_legal_hold_not_even_by_an_isolate_that_has_not_heard_of_it() {
    let hub = filled(2);
    let stale = hub.isolate();
    hub.admin("GET", "events").on(&stale).send().expect(200);
    let hold = |is_held: bool| {
        let body = json!({"name": "Main", "zone": "UTC", "settings": {"event_hold": is_held}});
        hub.admin("PUT", "tenants/main").header("if-match", "*").json(&body).send().expect(200);
    };
    hold(true);
    for body in [json!({"user": ADA}), json!({"event": id(0)})] {
        let refused = call(&hub, body.clone()).expect(409);
        assert!(refused.text.contains("event_hold"), "{}", refused.text);
        hub.admin("POST", "events/erase").on(&stale).json(&body).send().expect(409);
    }
    assert_eq!(shown(&hub, 0)["subject"], ADA);
    assert!(hub.events_of("events.erased").is_empty());
    hold(false);
    assert_eq!(all_of(&hub, ADA).0, 4);
}

#[test]
fn a_hold_that_begins_while_an_erasure_is_recorded_keeps_the_members() {
    let hub = filled(2);
    // With its token: the one call of the queue that is left is the record.
    let call = hub.admin("POST", "events/erase").json(&json!({"user": ADA}));
    let db = hub.db.clone();
    let holds = move |_: &Seen| {
        db.execute("UPDATE tenants SET settings = json_set(settings, '$.event_hold', json('true')) WHERE id = 'main'");
        false
    };
    hub.faults.fail_when(Port::Queue, holds, Effect::Fails);
    let refused = call.send().expect(409);
    assert!(refused.text.contains("event_hold"), "{}", refused.text);
    assert_eq!(shown(&hub, 0)["subject"], ADA);
    assert_eq!(hub.events_of("events.erased").len(), 1, "it had begun");
}

#[test]
fn what_the_queue_delivers_again_brings_no_chain_back_that_was_erased() {
    let hub = filled(2);
    let messages: Vec<String> = (0..3).map(|n| shown(&hub, n).to_string()).collect();
    let chained = json!({"id": id(9), "tenant": "main", "at": hub.clock.now().millis(), "type": "token.issued", "request_id": "r",
        "client": "desk", "chain": ["desk", ADA, "desk"]});
    let messages = [&messages[..], &[chained.to_string()]].concat();
    hub.consume(Source::Audit, &messages).unwrap();
    let rows = |id: &str| hub.trail.query(&format!("SELECT actor FROM event_actors WHERE id = '{id}'")).len();
    assert_eq!(rows(&id(9)), 2);
    all_of(&hub, ADA);
    hub.consume(Source::Audit, &messages).unwrap();
    assert_eq!((rows(&id(9)), rows(&id(0))), (0, 2));
    assert!(hub.trail.query(&format!("SELECT id FROM event_actors WHERE actor = '{ADA}'")).is_empty());
    assert_eq!(problems(&hub), json!([]));
}

#[test]
fn what_is_left_of_chains_whose_events_are_gone_ends_no_erasure() {
    let hub = filled(3);
    hub.trail.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) \
         INSERT INTO event_actors (tenant, actor, id) SELECT 'main', '{ADA}', '01ke9jx32' || printf('%017d', i) FROM n"
    ));
    assert_eq!(all_of(&hub, ADA).0, 5);
    assert!(!shown(&hub, 0).to_string().contains(ADA));
}

#[test]
fn what_somebody_else_takes_out_of_an_event_is_found() {
    let hub = filled(6);
    call(&hub, json!({"event": id(0)})).expect(200);
    let row = |n: usize| {
        let rows = hub.trail.query(&format!("SELECT body, salt, seq FROM events WHERE id = '{}'", id(n)));
        (
            rows[0]["body"].as_str().unwrap().to_owned(),
            rows[0]["salt"].as_str().unwrap().to_owned(),
            rows[0]["seq"].clone(),
        )
    };
    let put = |n: usize, body: &str, salt: &str| {
        let quoted = |text: &str| text.replace('\'', "''");
        hub.trail.execute(&format!(
            "UPDATE events SET body = '{}', salt = '{}' WHERE id = '{}'",
            quoted(body),
            quoted(salt),
            id(n)
        ));
    };
    let signature = serde_json::from_str::<Value>(&row(0).1).unwrap()["erased"].clone();
    assert!(signature.is_string());
    let with = |salt: &str, signature: &Value| {
        let mut salt: Value = serde_json::from_str(salt).unwrap();
        salt["erased"] = signature.clone();
        salt.to_string()
    };
    // Without a signature, with that of another event, and more than was signed.
    for (n, names, signed) in [
        (1, &["subject"][..], None),
        (2, &["ip", "subject", "subject_name"], Some(&signature)),
        (0, &["scope_given"], Some(&signature)),
    ] {
        let (body, salt, seq) = row(n);
        let (less, rest) = erase(&body, &salt, names).unwrap();
        let rest = signed.map_or(rest.clone(), |signature| with(&rest, signature));
        put(n, &less, &rest);
        assert_eq!(problems(&hub)[0]["problem"], "changed", "{n}");
        assert_eq!(problems(&hub)[0]["seq"].as_i64(), seq.as_i64());
        put(n, &body, &salt);
        assert_eq!(problems(&hub), json!([]), "{n}");
    }
    // Nor does an erasure sign for what was taken out before it.
    let (body, salt, _) = row(3);
    let (less, rest) = erase(&body, &salt, &["scope_given"]).unwrap();
    put(3, &less, &rest);
    assert_eq!(call(&hub, json!({"event": id(3)})).expect(200).json()["erased"], 1);
    assert_eq!(shown(&hub, 3).get("subject"), None);
    assert_eq!(problems(&hub)[0]["problem"], "changed");
}

#[test]
fn wherever_a_call_fails_it_can_be_made_again_and_nothing_goes_unrecorded() {
    for port in [Port::Trail, Port::Db, Port::Keys, Port::Queue] {
        for effect in [Effect::Fails, Effect::LosesReply] {
            for nth in 0..5 {
                let hub = filled(3);
                let call = hub.admin("POST", "events/erase").json(&json!({"user": ADA}));
                hub.faults.fail_nth(port, nth, effect);
                let reply = call.send();
                hub.faults.heal();
                let is_left = hub.trail.query(&format!("SELECT id FROM events WHERE subject = '{ADA}'")).len();
                let told = hub.events_of("events.erased").len();
                assert!(
                    reply.status == 200 || reply.status >= 500 || reply.status == 401,
                    "{port:?} {nth}: {}",
                    reply.text
                );
                assert!(is_left == 3 || (is_left == 0 && told > 0), "{port:?} {effect:?} {nth}");
                all_of(&hub, ADA);
                assert!(hub.trail.query(&format!("SELECT id FROM events WHERE subject = '{ADA}'")).is_empty());
                assert_eq!(problems(&hub), json!([]), "{port:?} {effect:?} {nth}");
            }
        }
    }
}

#[test]
fn two_calls_at_once_leave_the_log_whole() {
    for seed in 0..16 {
        let hub = filled(8);
        let token = hub.admin_token();
        let isolates: Vec<_> = (0..2).map(|_| hub.isolate()).collect();
        let other = match seed % 2 {
            0 => json!({"user": ADA, "members": ["ip"]}),
            // One event tells of both: of her by its chain, of the other by its subject.
            _ => json!({"user": "user_eve"}),
        };
        let bodies = [json!({"user": ADA}), other];
        let calls = isolates.iter().zip(&bodies).map(|(isolate, body)| {
            hub.call("POST", "/t/main/admin/events/erase").on(isolate).bearer(&token).json(body).future()
        });
        let statuses: Vec<u16> = hub.together(seed, calls.collect()).iter().map(|reply| reply.status).collect();
        assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
        all_of(&hub, ADA);
        assert_eq!(problems(&hub), json!([]), "{seed}");
        assert!(!hub.trail.dump().contains("192.0.2.77"));
        assert!(shown(&hub, 10).get("chain").is_none(), "{seed}: found by the chain, whoever came first");
    }
}
