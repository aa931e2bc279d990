//! What isolates remember: for how long, under which names, and at whose cost.

use crate::support::faults::Seen;
use crate::support::hub::{Call, Isolate, decode};
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::json;
use std::task::{Context, Waker};

fn two() -> (Setup, [Credentials; 2]) {
    let hub = Setup::new();
    let agents = ["one", "other"].map(|name| hub.agent(name, "mcp:read"));
    (hub, agents)
}

fn token(hub: &Setup, isolate: &Isolate, agent: &Credentials) -> Reply {
    hub.token_call(agent, &[]).on(isolate).send()
}

/// How many calls of D1 that costs.
fn cost(hub: &Setup, act: impl FnOnce()) -> usize {
    let before = hub.faults.calls(Port::Db);
    act();
    hub.faults.calls(Port::Db) - before
}

fn change(hub: &Setup, agent: &Credentials, what: &str) {
    hub.admin("POST", &format!("clients/{}/{what}", agent.client_id)).send().expect(200);
}

#[test]
fn the_change_of_one_client_reloads_nobody_else() {
    let (hub, [one, other]) = two();
    let elsewhere = hub.isolate();
    for agent in [&one, &other] {
        token(&hub, &elsewhere, agent).expect(200);
    }
    change(&hub, &one, "suspend");
    change(&hub, &one, "resume");
    hub.clock.advance(5);
    let ask = |agent| cost(&hub, || drop(token(&hub, &elsewhere, agent).expect(200)));
    assert_eq!(ask(&other), 1, "the tenant's row and the log, in one batch");
    assert_eq!(ask(&other), 0);
    assert_eq!(ask(&one), 1, "the client that was changed");
    assert_eq!(ask(&one), 0);
}

#[test]
fn a_tenant_is_read_anew_after_an_answer_before_a_request_has_to_wait_for_it() {
    let (hub, [one, other]) = two();
    let elsewhere = hub.isolate();
    let ask = |agent, status| cost(&hub, || drop(token(&hub, &elsewhere, agent).expect(status)));
    ask(&one, 200);
    ask(&other, 200);
    hub.clock.advance(3);
    assert_eq!((ask(&one, 200), hub.renew(&elsewhere)), (0, vec![]));
    change(&hub, &other, "suspend");
    hub.clock.advance(1);
    assert_eq!(ask(&one, 200), 0, "it is still fresh");
    assert_eq!(cost(&hub, || assert_eq!(hub.renew(&elsewhere), ["main"])), 1);
    assert_eq!((ask(&one, 200), hub.renew(&elsewhere)), (0, vec![]), "once is enough");
    assert!(ask(&other, 401) > 0, "what has changed meanwhile is known, a second before it has to be");
    hub.clock.advance(4);
    assert_eq!(ask(&one, 200), 0, "nobody had to wait");
    // A request that ended before it could: another one does.
    hub.clock.advance(4);
    ask(&one, 200);
    drop(elsewhere.app().take_ageing());
    hub.clock.advance(4);
    ask(&one, 200);
    assert_eq!(hub.renew(&elsewhere), ["main"]);
}

#[test]
fn two_isolates_follow_a_change_a_second() {
    let (hub, [one, other]) = two();
    let isolates = [hub.isolate(), hub.isolate()];
    for isolate in &isolates {
        for agent in [&one, &other] {
            token(&hub, isolate, agent).expect(200);
        }
    }
    let mut stopped = false;
    for second in 0..30_u32 {
        hub.clock.advance(1);
        change(&hub, &one, if stopped { "resume" } else { "suspend" });
        stopped = !stopped;
        for isolate in &isolates {
            let cost = cost(&hub, || drop(token(&hub, isolate, &other).expect(200)));
            assert!(cost <= 1, "{second}: {cost}");
        }
    }
    hub.clock.advance(5);
    let wanted = if stopped { 401 } else { 200 };
    for isolate in &isolates {
        token(&hub, isolate, &one).expect(wanted);
    }
}

#[test]
fn a_log_with_a_gap_and_one_that_is_gone_drop_all_that_is_known() {
    for gap in ["DELETE FROM changes", "DELETE FROM changes WHERE seq = (SELECT max(seq) FROM changes)"] {
        let (hub, [one, other]) = two();
        let elsewhere = hub.isolate();
        for agent in [&one, &other] {
            token(&hub, &elsewhere, agent).expect(200);
        }
        change(&hub, &other, "suspend");
        change(&hub, &one, "suspend");
        hub.db.execute(gap);
        hub.clock.advance(5);
        token(&hub, &elsewhere, &one).expect(401);
        token(&hub, &elsewhere, &other).expect(401);
    }
}

#[test]
fn more_changes_than_an_isolate_catches_up_with_drop_all_that_is_known() {
    let (hub, [one, _]) = two();
    let elsewhere = hub.isolate();
    token(&hub, &elsewhere, &one).expect(200);
    hub.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) \
         INSERT INTO changes (tenant, seq, key, at) SELECT t.id, t.epoch + i, 'x', 0 FROM n, tenants t; \
         UPDATE tenants SET epoch = epoch + 600",
    );
    change(&hub, &one, "suspend");
    hub.clock.advance(5);
    token(&hub, &elsewhere, &one).expect(401);
}

#[test]
fn a_change_whose_reply_was_lost_is_seen_at_once_where_it_was_made() {
    let (hub, [one, _]) = two();
    hub.token(&one, &[]).expect(200);
    let admin = hub.admin("POST", &format!("clients/{}/suspend", one.client_id));
    let commit = |seen: &Seen| seen.text.starts_with("UPDATE clients SET status");
    hub.faults.fail_when(Port::Db, commit, Effect::LosesReply);
    admin.send().expect(503);
    hub.faults.heal();
    hub.token(&one, &[]).expect(401);
}

/// Sends `late` for so many turns, then does `meanwhile`, then lets it go on; true if it was done before.
fn overtaken(hub: &Setup, late: Call<'_>, turns: usize, meanwhile: impl FnOnce()) -> bool {
    hub.faults.steady(true);
    let mut late = late.future();
    let mut cx = Context::from_waker(Waker::noop());
    let done = (0..turns).any(|_| late.as_mut().poll(&mut cx).is_ready());
    hub.faults.steady(false);
    meanwhile();
    if !done {
        hub.clock.block_on(late);
    }
    done
}

#[test]
fn a_load_that_began_before_a_change_is_not_kept() {
    // Wherever the suspension of a client overtakes the load of it, the isolate refuses it afterwards.
    for turns in 0.. {
        let (hub, [one, _]) = two();
        let admin = hub.admin_token();
        hub.restart();
        let suspend = || {
            let path = format!("/t/main/admin/clients/{}/suspend", one.client_id);
            hub.call("POST", &path).bearer(&admin).send().expect(200);
        };
        let done = overtaken(&hub, hub.token_call(&one, &[]), turns, suspend);
        hub.token(&one, &[]).expect(401);
        hub.clock.advance(1);
        hub.token(&one, &[]).expect(401);
        if done {
            return assert!(turns > 10, "it waits for its ports");
        }
    }
}

#[test]
fn a_read_of_the_tenant_that_began_before_its_policies_changed_does_not_keep_the_old_ones() {
    for turns in 0.. {
        let (hub, [one, _]) = two();
        let admin = hub.admin_token();
        let etag =
            hub.call("GET", "/t/main/admin/policies/one").bearer(&admin).send().header("etag").unwrap().to_owned();
        hub.restart();
        let forbid = || {
            let body = json!({"description": "x", "cedar": "forbid(principal, action, resource);", "mode": "enforce"});
            let call = hub.call("PUT", "/t/main/admin/policies/one").bearer(&admin).header("if-match", &etag);
            call.json(&body).send().expect(200);
        };
        let done = overtaken(&hub, hub.token_call(&one, &[]), turns, forbid);
        hub.token(&one, &[]).expect(400);
        if done {
            return assert!(turns > 10, "it waits for its ports");
        }
    }
}

#[test]
fn a_load_that_began_before_a_change_of_another_isolate_was_noticed_is_not_kept() {
    for turns in 0.. {
        let (hub, [one, other]) = two();
        let far = hub.isolate();
        hub.token_call(&other, &[]).on(&far).send().expect(200);
        let meanwhile = || {
            hub.admin("POST", &format!("clients/{}/suspend", one.client_id)).send().expect(200);
            hub.clock.advance(5);
            hub.token_call(&other, &[]).on(&far).send().expect(200);
        };
        let done = overtaken(&hub, hub.token_call(&one, &[]).on(&far), turns, meanwhile);
        hub.token_call(&one, &[]).on(&far).send().expect(401);
        if done {
            return assert!(turns > 3, "it waits for its ports");
        }
    }
}

#[test]
fn strangers_make_an_isolate_remember_nothing() {
    let (hub, [one, _]) = two();
    hub.token(&one, &[]).expect(200);
    let long = "x".repeat(60_000);
    for n in 0..200 {
        let stranger = Credentials { client_id: format!("{n}{long}"), client_secret: "guess".to_owned() };
        let form = [("grant_type", "client_credentials")];
        let reply = hub.call("POST", "/t/main/token").basic(&stranger).form(&form).send();
        assert!(matches!(reply.status, 400 | 401 | 429), "{reply:?}");
    }
    assert!(hub.faults.texts(Port::Db).iter().all(|text| !text.contains(&long)));
    // What was known still is.
    assert_eq!(cost(&hub, || drop(hub.token(&one, &[]).expect(200))), 0);
}

#[test]
fn unknown_tenants_and_metadata_cost_one_read_a_bound() {
    let (hub, _) = two();
    let id = hub.db.query("SELECT id FROM resources WHERE tenant = 'main'")[0]["id"].as_str().unwrap().to_owned();
    let paths = [
        "/t/nowhere/.well-known/oauth-authorization-server".to_owned(),
        "/t/nowhere/jwks.json".to_owned(),
        "/t/main/.well-known/oauth-authorization-server".to_owned(),
        "/t/main/.well-known/openid-configuration".to_owned(),
        "/t/main/jwks.json".to_owned(),
        format!("/t/main/resources/{id}/oauth-protected-resource"),
        "/t/main/.well-known/ssf-configuration".to_owned(),
        "/t/main/status-list".to_owned(),
    ];
    for path in &paths {
        let ask = || {
            hub.call("GET", path).send();
        };
        ask();
        assert_eq!(cost(&hub, || (0..20).for_each(|_| ask())), 0, "{path}");
    }
    hub.clock.advance(5);
    let again = cost(&hub, || (0..20).for_each(|_| paths.iter().for_each(|path| drop(hub.call("GET", path).send()))));
    assert!(again <= 4, "one read of each tenant, and the list's: {again}");
}

#[test]
fn a_stranger_who_introspects_costs_the_count_of_it_and_no_read() {
    let (hub, [one, _]) = two();
    hub.token(&one, &[]).expect(200);
    hub.call("POST", "/t/main/introspect").form(&[("token", "x")]).send().expect(401);
    let ask = || drop(hub.call("POST", "/t/main/introspect").form(&[("token", "x")]).send());
    assert_eq!(cost(&hub, ask), 1, "what proves nothing is counted under its address");
    (0..100).for_each(|_| ask());
    assert_eq!(cost(&hub, ask), 0, "and beyond the limit nothing is written");
}

#[test]
fn a_status_list_is_signed_once_a_second_at_most() {
    let (hub, [one, _]) = two();
    hub.token(&one, &[]).expect(200);
    let isolate = hub.isolate();
    let ask = || hub.call("GET", "/t/main/status-list").on(&isolate).send().expect(200).text;
    let first = ask();
    let (signed, read) = (hub.faults.calls(Port::Keys), hub.faults.calls(Port::Db));
    hub.clock.advance_millis(999);
    assert!((0..100).all(|_| ask() == first));
    assert_eq!((hub.faults.calls(Port::Keys), hub.faults.calls(Port::Db)), (signed, read));
    // Nothing has changed: looked at again, and not signed again.
    hub.clock.advance_millis(1);
    assert_eq!(ask(), first);
    assert_eq!(hub.faults.calls(Port::Keys), signed);
    change(&hub, &one, "suspend");
    hub.clock.advance(1);
    assert_ne!(ask(), first);
    // Many at once make one.
    change(&hub, &one, "resume");
    hub.clock.advance(1);
    let before = hub.faults.calls(Port::Keys);
    let calls = (0..20).map(|_| hub.call("GET", "/t/main/status-list").on(&isolate).future()).collect();
    let replies = hub.together(7, calls);
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(hub.faults.calls(Port::Keys), before + 1);
}

#[test]
fn a_list_of_100_000_identities_is_made_of_those_that_are_stopped() {
    let hub = Setup::new();
    hub.db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
         INSERT INTO clients (tenant, id, metadata, status, created_at, updated_at) \
         SELECT 'main', printf('client_%05d', i), '{\"client_name\":\"n\"}', CASE i % 100 WHEN 0 THEN 'suspended' ELSE 'active' END, 0, 0 \
         FROM n; \
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) \
         INSERT INTO identities (tenant, id, place, client, subject, registered_by, status, created_at, updated_at) \
         SELECT 'main', printf('id_%06d', i), i, printf('client_%05d', i % 1000), printf('user_%06d', i), 'g', \
         CASE i % 1000 WHEN 1 THEN 'retired' ELSE 'active' END, 0, 0 FROM n",
    );
    let reply = hub.call("GET", "/t/main/status-list").send().expect(200);
    let (_, claims) = decode(&reply.text);
    let packed = writ::crypto::unb64(claims["status_list"]["lst"].as_str().unwrap()).unwrap();
    let list = miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap();
    for i in 0..100_000 {
        let wanted = if i % 1000 == 1 {
            1
        } else if i % 100 == 0 {
            2
        } else {
            0
        };
        assert_eq!(list[i / 4] >> (i % 4 * 2) & 3, wanted, "{i}");
    }
}
