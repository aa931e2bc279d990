//! Searching, exporting, following and counting the trail; what is kept of it, and for how long.

use super::admin::detail;
use crate::support::{Credentials, Effect, Port, Seen, Setup};
use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::Rc;
use writ::app::Source;

/// A tenant with events of many kinds, one a second.
fn filled() -> (Setup, Credentials) {
    let hub = Setup::new();
    let agent = hub.agent("agent", "mcp:read");
    let event = |n: usize, more: Value| {
        let at = hub.clock.now().millis() + n as u64 * 1_000;
        let id = writ::model::id::first_at(at.cast_signed());
        let mut event = json!({"id": id, "tenant": "main", "at": at, "type": "tool.called", "request_id": "r"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event.to_string()
    };
    let agent_id = agent.client_id.as_str();
    let messages: Vec<String> = (1..=60)
        .map(|n| {
            let (user, tool) = (format!("user_{}", n % 3), format!("tool{}", n % 4));
            let mut more = json!({"client": agent_id, "subject": user, "tool": tool, "connection": format!("c{}", n % 2)});
            if n % 5 == 0 {
                more = json!({"type": "lease.refused", "client": agent_id, "subject": user, "reason": "LeaseDenied", "connection": "c0"});
            }
            if n % 6 == 0 {
                more["chain"] = json!([agent_id, "first"]);
            }
            event(n, more)
        })
        .collect();
    hub.consume(Source::Audit, &messages).unwrap();
    hub.clock.advance(100);
    (hub, agent)
}

fn query(hub: &Setup, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = hub.admin("GET", &format!("events?limit=7&{query}{cursor}")).send().expect(200).json();
        all.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn events_are_found_by_all_that_they_tell_of_alone_and_together() {
    let (hub, agent) = filled();
    let everything = query(&hub, "");
    let has = |event: &Value, name: &str, value: &str| match name {
        "client_id" => event["client"] == value,
        "user" => event["subject"] == value,
        "chain" => event["chain"].as_array().is_some_and(|chain| chain.iter().any(|one| one == value)),
        name => event[name] == value,
    };
    for wanted in [
        vec![("user", "user_1")],
        vec![("connection", "c0")],
        vec![("tool", "tool2")],
        vec![("reason", "LeaseDenied")],
        vec![("chain", "first")],
        vec![("user", "user_1"), ("tool", "tool2")],
        vec![("connection", "c0"), ("type", "lease.refused"), ("user", "user_2")],
        vec![("client_id", agent.client_id.as_str()), ("user", "user_0")],
        vec![("client_id", agent.client_id.as_str()), ("user", "user_0"), ("chain", "first")],
        vec![("chain", "first"), ("reason", "LeaseDenied"), ("connection", "c0")],
        vec![("tool", "tool2"), ("connection", "c0"), ("chain", agent.client_id.as_str())],
        vec![("user", "nobody")],
    ] {
        let text: Vec<String> = wanted.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let found = query(&hub, &text.join("&"));
        let expected: Vec<Value> = everything
            .iter()
            .filter(|event| wanted.iter().all(|(name, value)| has(event, name, value)))
            .cloned()
            .collect();
        assert_eq!(found, expected, "{text:?}");
        assert!(!expected.is_empty() || wanted == [("user", "nobody")], "{text:?}");
    }
    let refused = query(&hub, "connection=c0&refused=true");
    assert!(!refused.is_empty() && refused.iter().all(|event| event["reason"] == "LeaseDenied"));
    let since = hub.clock.seconds() - 80;
    let late = query(&hub, &format!("connection=c0&since={since}"));
    assert!(!late.is_empty() && late.iter().all(|event| event["at"].as_u64().unwrap() >= since));
}

#[test]
fn events_of_an_agentic_identity_are_found_by_its_id() {
    let (hub, agent) = filled();
    hub.access_token(&agent, "mcp:read");
    hub.events();
    let identities = hub.admin("GET", &format!("identities?client={}", agent.client_id)).send().json();
    let identity = identities["items"][0]["id"].as_str().unwrap();
    let found = query(&hub, &format!("identity={identity}"));
    assert_eq!(found.iter().map(|event| event["type"].clone()).collect::<Vec<_>>(), ["token.issued"]);
    let other = hub.admin("GET", &format!("events?identity={identity}&user=user_1")).send().expect(400);
    assert!(detail(&other).contains("`identity`"));
    hub.admin("GET", "events?identity=none").send().expect(404);
}

#[test]
fn a_walk_that_finds_little_goes_on_page_by_page() {
    let hub = Setup::new();
    hub.admin_token();
    let begun = hub.clock.now().millis();
    hub.trail.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO events (tenant, id, at, type, client, \
         subject, refused, body) SELECT 'main', printf('0%025d', i), {begun} + i, 'tool.called', 'c', 'user_1', 0, \
         json_object('id', printf('0%025d', i), 'tenant', 'main', 'at', {begun} + i, 'type', 'tool.called', 'subject', 'user_1', 'tool', \
         CASE WHEN i = 1 THEN 'rare' ELSE 'usual' END) FROM n"
    ));
    let (mut pages, mut cursor, mut found) = (0, String::new(), 0);
    loop {
        let page = hub
            .admin("GET", &format!("events?user=user_1&connection=none&limit=100{cursor}"))
            .send()
            .expect(200)
            .json();
        pages += 1;
        found += page["items"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((found, pages), (0, 6), "1,000 events a page, though none fits");
}

#[test]
fn an_export_has_every_event_that_fits_as_lines_or_cells_that_are_harmless() {
    let (hub, _) = filled();
    let bad = json!({
        "id": writ::model::id::first_at(hub.clock.now().millis().cast_signed()), "tenant": "main", "at": hub.clock.now().millis(),
        "type": "tool.called", "request_id": "r", "tool": "=HYPERLINK(\"https://evil.example\")",
    });
    hub.consume(Source::Audit, &[bad.to_string()]).unwrap();
    let everything = query(&hub, "type=tool.called");
    let lines = hub.admin("GET", "events/export?type=tool.called").send().expect(200);
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let all: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all, everything);
    let csv = hub.admin("GET", "events/export?format=csv&type=tool.called").send().expect(200);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(csv.header("content-disposition").unwrap().contains("events.csv"));
    let rows: Vec<&str> = csv.text.split("\r\n").collect();
    assert!(rows[0].starts_with("id,at,type,client,"));
    assert_eq!(rows.len(), everything.len() + 2, "a header, and an end of the last line");
    assert!(csv.text.contains("\"'=HYPERLINK(\"\"https://evil.example\"\")\""));
    let found = hub.admin("GET", "events/export?connection=c0&user=user_1").send().expect(200);
    assert_eq!(found.text.lines().count(), query(&hub, "connection=c0&user=user_1").len());
    hub.admin("GET", "events/export?format=xml").send().expect(400);
    assert_eq!(hub.events_of("events.exported").len(), 3);
    assert_eq!(hub.events_of("events.exported")[0]["detail"], "type=tool.called");
}

#[test]
fn a_large_export_comes_in_pieces_and_is_whole() {
    let hub = Setup::new();
    hub.trail.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1700) INSERT INTO events (tenant, id, at, type, refused, \
         body) SELECT 'main', printf('0%025d', i), i, 'tool.called', 0, json_object('id', printf('0%025d', i), 'at', i, 'type', \
         'tool.called') FROM n",
    );
    let export = hub.admin("GET", "events/export?type=tool.called").send().expect(200);
    assert_eq!((export.text.lines().count(), export.cut), (1_700, false));
}

#[test]
fn the_trail_is_followed_from_a_sequence_number_and_each_event_comes_once() {
    let (hub, _) = filled();
    let messages = |text: &str| -> Vec<(i64, Value)> {
        let blocks = text.split("\n\n").filter_map(|block| block.strip_prefix("id: "));
        blocks
            .map(|block| {
                let (id, data) = block.split_once("\ndata: ").unwrap();
                (id.parse().unwrap(), serde_json::from_str(data).unwrap())
            })
            .collect()
    };
    let begun = hub.clock.now();
    let live = hub.admin("GET", "events/live?after=-1").send().expect(200);
    assert_eq!(live.header("content-type"), Some("text/event-stream"));
    assert!(live.text.starts_with("retry: ") && live.text.contains("\n:\n"), "comments keep it open");
    let all = messages(&live.text);
    let numbers: Vec<i64> = all.iter().map(|(id, _)| *id).collect();
    assert_eq!(numbers, (0..numbers.len() as i64).collect::<Vec<_>>());
    assert!(all.iter().all(|(id, event)| event["seq"] == *id));
    let lasted = hub.clock.now().millis() - begun.millis();
    assert!((290_000..=310_000).contains(&lasted) && !live.cut, "{lasted}");
    let last = numbers.last().unwrap() - 1;
    let again = hub.admin("GET", "events/live").header("last-event-id", &last.to_string()).send().expect(200);
    assert_eq!(messages(&again.text)[0].0, last + 1);
    let refused = hub.admin("GET", "events/live?after=-1&type=lease.refused").send().expect(200);
    assert!(messages(&refused.text).iter().all(|(_, event)| event["type"] == "lease.refused"));
    assert_eq!(messages(&refused.text).len(), 12);
    let new = hub.admin("GET", "events/live").send().expect(200);
    assert!(messages(&new.text).is_empty(), "what was there before is not asked for");
    hub.admin("GET", "events/live?after=soon").send().expect(400);
    hub.admin("GET", "events/live?type=none").send().expect(400);
}

#[test]
fn a_live_answer_ends_when_its_administrator_is_stopped_or_the_token_has_expired() {
    let hub = Setup::new();
    let made = hub.create_client(json!({
        "client_name": "watcher", "scope": "admin:read", "allowed_resources": [format!("{}/admin", hub.issuer("main"))],
    }));
    let token = hub.token(&made, &[("scope", "admin:read")]).access_token();
    let begun = hub.clock.now().millis();
    let live = hub.call("GET", "/t/main/admin/events/live").bearer(&token);
    let killed = hub.admin("POST", &format!("clients/{}/kill", made.client_id)).future();
    let replies = hub.together(1, vec![live.future(), killed]);
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.status == 401), "{replies:?}");
    assert!(hub.clock.now().millis() - begun < 60_000, "it did not go on");
    // Tokens for the admin API live for 300 seconds.
    let token = hub.admin_token();
    hub.clock.advance(240);
    let begun = hub.clock.now().millis();
    let live = hub.call("GET", "/t/main/admin/events/live").bearer(&token).send().expect(200);
    assert!(!live.cut && hub.clock.now().millis() - begun < 150_000);
}

#[test]
fn events_are_counted_by_hour_and_day_and_by_type_client_and_outcome() {
    let (hub, agent) = filled();
    let summary = |query: &str| hub.admin("GET", &format!("events/summary?{query}")).send().expect(200).json();
    let hour = hub.clock.seconds() / 3_600 * 3_600;
    let by_type = summary("by=type");
    assert_eq!((&by_type["bucket"], &by_type["is_complete"]), (&json!("hour"), &json!(true)));
    let of = |summary: &Value, name: &str, key: &str| {
        let items = summary["items"].as_array().unwrap();
        items.iter().find(|item| item[name] == key).cloned().unwrap_or_default()
    };
    assert_eq!(
        of(&by_type, "type", "lease.refused"),
        json!({"at": hour, "type": "lease.refused", "count": 12, "refused": 12})
    );
    assert_eq!(of(&by_type, "type", "tool.called")["count"], 48);
    let by_client = summary("by=client&bucket=day");
    assert!(of(&by_client, "client", &agent.client_id)["count"].as_i64().unwrap() >= 60);
    let total = summary("by=outcome");
    let trail = hub.trail.query("SELECT count(*) AS n, sum(refused) AS refused FROM events WHERE tenant = 'main'");
    let items = total["items"].as_array().unwrap();
    let sum = |name: &str| items.iter().map(|item| item[name].as_i64().unwrap()).sum::<i64>();
    assert_eq!((json!(sum("count")), json!(sum("refused"))), (trail[0]["n"].clone(), trail[0]["refused"].clone()));
    assert_eq!(summary("by=type"), by_type, "each is counted once");
    for bad in ["by=colour", "bucket=minute", "since=1&until=99999999", "since=7200&until=1", "colour=red"] {
        hub.admin("GET", &format!("events/summary?{bad}")).send().expect(400);
    }
}

#[test]
fn counts_that_race_count_each_event_once() {
    for seed in 0..6 {
        let (hub, _) = filled();
        let token = hub.admin_token();
        hub.events();
        let ask = || hub.call("GET", "/t/main/admin/events/summary?by=type").bearer(&token).on(&hub.isolate()).future();
        for reply in hub.together(seed, vec![ask(), ask(), ask()]) {
            reply.expect(200);
        }
        let counted =
            hub.trail.query("SELECT sum(count) AS n FROM event_counts WHERE tenant = 'main' AND dimension = 'type'");
        let there = hub.trail.query("SELECT count(*) AS n FROM events WHERE tenant = 'main'");
        assert_eq!(counted[0]["n"], there[0]["n"], "seed {seed}");
    }
}

fn settings(hub: &Setup, settings: Value) -> crate::support::Reply {
    let body = json!({"name": "Main", "zone": "UTC", "settings": settings});
    hub.admin("PUT", "tenants/main").header("if-match", "*").json(&body).send()
}

#[test]
fn a_walk_along_a_chain_whose_events_are_gone_is_bounded_and_shows_each_event_once() {
    let (hub, agent) = filled();
    let chained = query(&hub, "chain=first");
    assert_eq!(chained.len(), 10);
    hub.trail.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
         INSERT INTO event_actors (tenant, actor, id) SELECT 'main', 'first', (SELECT min(id) FROM events WHERE type = 'tool.called') || printf('-%04d', i) FROM n",
    );
    assert_eq!(query(&hub, "chain=first"), chained);
    assert_eq!(query(&hub, &format!("chain=first&client_id={}", agent.client_id)), chained);
}

#[test]
fn who_stands_in_the_chain_of_an_event_is_compared_with_what_it_says() {
    let (hub, _) = filled();
    hub.events();
    let problems = || hub.admin("GET", "events/verify").send().expect(200).json()["problems"].clone();
    assert_eq!(problems(), json!([]));
    hub.trail.execute("DELETE FROM event_actors WHERE actor = 'first' AND id = (SELECT max(id) FROM event_actors)");
    assert_eq!((&problems()[0]["problem"], problems().as_array().unwrap().len()), (&json!("columns"), 1));
}

#[test]
fn whichever_step_of_a_clean_up_fails_who_stood_in_a_chain_goes_with_the_event_and_not_without_it() {
    for by_type in [json!({}), json!({"lease.refused": 11})] {
        for effect in [Effect::Fails, Effect::LosesReply] {
            for nth in 0.. {
                let (hub, _) = filled();
                settings(&hub, json!({"event_retention_days": 10, "event_retention_by_type": by_type})).expect(200);
                hub.clock.advance(12 * 86_400);
                let is_of_it = |seen: &Seen| seen.text.contains("DELETE FROM event_actors");
                let met = Rc::new(Cell::new(0));
                let counted = met.clone();
                let is_nth = move |seen: &Seen| is_of_it(seen) && counted.replace(counted.get() + 1) == nth;
                hub.faults.fail_when(Port::Trail, is_nth, effect);
                drop(hub.tick());
                hub.faults.heal();
                if met.get() <= nth {
                    assert!(nth > 0, "a clean-up has a step that can fail");
                    break;
                }
                let apart = "SELECT id FROM event_actors EXCEPT SELECT id FROM events UNION ALL \
                             SELECT id FROM (SELECT id FROM events WHERE body ->> '$.chain' IS NOT NULL EXCEPT SELECT id FROM event_actors)";
                assert!(hub.trail.query(apart).is_empty(), "{by_type} {effect:?} {nth}");
                hub.clock.advance(60);
                hub.tick().unwrap();
                assert!(hub.trail.query("SELECT * FROM event_actors").is_empty(), "{by_type} {effect:?} {nth}");
                let texts = hub.faults.texts(Port::Trail).join("; ");
                assert!(!texts.contains("FROM event_actors a "), "nobody looks for what is left of chains");
            }
        }
    }
}

#[test]
fn types_are_kept_longer_where_a_tenant_says_so_and_a_hold_keeps_everything() {
    let (hub, _) = filled();
    let count = |kind: &str| {
        let found =
            hub.trail.query(&format!("SELECT count(*) AS n FROM events WHERE tenant = 'main' AND type = '{kind}'"));
        found[0]["n"].as_i64().unwrap()
    };
    let by_type = json!({"lease.refused": 100});
    settings(&hub, json!({"event_retention_days": 10, "event_retention_by_type": by_type, "event_hold": true}))
        .expect(200);
    hub.clock.advance(11 * 86_400);
    hub.tick().unwrap();
    assert_eq!((count("tool.called"), count("lease.refused")), (48, 12), "held");
    let free = json!({"event_retention_days": 10, "event_retention_by_type": by_type});
    settings(&hub, free.clone()).expect(200);
    // An isolate that knows the tenant as it was before it held its trail asks the database.
    let stale = hub.isolate();
    hub.call("GET", "/t/main/jwks.json").on(&stale).send().expect(200);
    settings(&hub, json!({"event_retention_days": 10, "event_hold": true})).expect(200);
    hub.clock.advance(1);
    hub.clock.block_on(stale.app().tick(&|| hub.clock.now())).unwrap();
    assert_eq!((count("tool.called"), count("lease.refused")), (48, 12), "held again");
    settings(&hub, free).expect(200);
    hub.clock.advance(60);
    let before = hub.faults.texts(Port::Trail).len();
    hub.tick().unwrap();
    let texts = hub.faults.texts(Port::Trail)[before..].join("; ");
    assert!(texts.matches("DELETE FROM events ").count() <= 2, "one statement a round, however many types there are");
    assert_eq!((count("tool.called"), count("lease.refused")), (0, 12));
    let orphans = "SELECT * FROM event_actors a WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.tenant = a.tenant AND e.id = a.id)";
    assert!(hub.trail.query(orphans).is_empty(), "who stood in a chain goes with the event");
    hub.clock.advance(90 * 86_400);
    hub.tick().unwrap();
    assert_eq!(count("lease.refused"), 0);
    assert!(hub.trail.query("SELECT * FROM event_actors").is_empty());
    for bad in [
        json!({"event_retention_by_type": {"none": 500}}),
        json!({"event_retention_days": 10, "event_retention_by_type": {"token.issued": 9}}),
        json!({"event_retention_by_type": {"token.issued": 3_651}}),
        json!({"event_retention_by_type": {"token.issued": "x"}}),
        json!({"event_retention_by_type": []}),
    ] {
        settings(&hub, bad).expect(400);
    }
}
