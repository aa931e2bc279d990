//! From a decision to the trail: queue, outbox, relay, consumer, dead letters.

use crate::support::run::Random;
use crate::support::{Credentials, Effect, Port, Setup};
use serde_json::Value;
use writ::app::Source;

fn ready() -> (Setup, Credentials) {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    hub.token(&client, &[]).expect(200);
    hub.events();
    (hub, client)
}

fn outbox(hub: &Setup) -> usize {
    hub.db.query("SELECT id FROM outbox").len()
}

fn kept(hub: &Setup) -> usize {
    hub.trail.query("SELECT id FROM events").len()
}

#[test]
fn a_token_leaves_only_after_the_queue_has_taken_its_event() {
    let (hub, client) = ready();
    hub.token(&client, &[]).expect(200);
    let waiting = hub.queue.waiting();
    assert_eq!(waiting.len(), 1);
    let event: Value = serde_json::from_str(&waiting[0]).unwrap();
    assert_eq!((&event["type"], &event["client"]), (&"token.issued".into(), &client.client_id.as_str().into()));
    assert_eq!(outbox(&hub), 0);
}

#[test]
fn when_the_queue_refuses_the_outbox_keeps_the_event_until_a_relay_gets_it_through() {
    let (hub, client) = ready();
    let before = kept(&hub);
    hub.faults.fail(Port::Queue);
    hub.token(&client, &[]).expect(200);
    hub.token(&client, &[("scope", "other")]).expect(400);
    assert_eq!((outbox(&hub), hub.queue.waiting().len()), (2, 0));
    hub.tick().unwrap();
    assert_eq!(outbox(&hub), 2, "the queue still refuses");
    hub.faults.heal();
    hub.tick().unwrap();
    assert_eq!((outbox(&hub), hub.queue.waiting().len()), (0, 2));
    hub.deliver();
    assert_eq!(kept(&hub), before + 2);
}

#[test]
fn when_neither_queue_nor_outbox_takes_the_event_there_is_no_token_but_a_503() {
    let (hub, client) = ready();
    hub.faults.fail(Port::Queue);
    hub.faults.fail(Port::Db);
    for form in [&[][..], &[("scope", "other")]] {
        let reply = hub.token(&client, form).expect(503);
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(reply.error(), "temporarily_unavailable");
        assert!(reply.json().get("access_token").is_none());
    }
    hub.faults.heal();
    hub.token(&client, &[]).expect(200);
}

#[test]
fn a_change_and_its_event_are_one_transaction() {
    let (hub, _) = ready();
    hub.faults.fail(Port::Queue);
    hub.create_client(serde_json::json!({"client_name": "while the queue is down"}));
    let staged = hub.db.query("SELECT body FROM outbox WHERE body LIKE '%client.created%'");
    assert_eq!(staged.len(), 1);
}

#[test]
fn a_lost_reply_of_the_queue_makes_a_second_delivery_and_not_a_second_event() {
    let (hub, client) = ready();
    let before = kept(&hub);
    hub.faults.lose_reply(Port::Queue);
    hub.token(&client, &[]).expect(200);
    hub.faults.heal();
    assert_eq!((outbox(&hub), hub.queue.waiting().len()), (1, 1), "the queue has it, and we cannot know");
    hub.events();
    assert_eq!(kept(&hub), before + 1);
}

#[test]
fn a_relay_that_dies_between_sending_and_removing_sends_again_and_the_event_is_kept_once() {
    let (hub, client) = ready();
    let before = kept(&hub);
    hub.faults.fail(Port::Queue);
    hub.token(&client, &[]).expect(200);
    hub.faults.heal();
    hub.faults.fail_when(Port::Db, |call| call.text.contains("DELETE FROM outbox"), Effect::Fails);
    assert!(hub.relay().is_err());
    hub.faults.heal();
    assert_eq!(outbox(&hub), 1);
    hub.events();
    assert_eq!((outbox(&hub), kept(&hub)), (0, before + 1));
}

#[test]
fn relays_that_race_lose_nothing_and_double_nothing() {
    for seed in 0..10 {
        let (hub, client) = ready();
        let before = kept(&hub);
        hub.faults.fail(Port::Queue);
        for _ in 0..5 {
            hub.token(&client, &[]).expect(200);
        }
        hub.faults.heal();
        let world = hub.world();
        let relay = || -> writ::ports::Pending<'_, _> { Box::pin(writ::audit::relay(&world, hub.clock.now())) };
        hub.together(seed, vec![relay(), relay(), relay()]).into_iter().for_each(|done| done.unwrap());
        hub.deliver();
        assert_eq!((outbox(&hub), kept(&hub)), (0, before + 5), "seed {seed}");
    }
}

#[test]
fn a_long_outbox_is_relayed_in_several_runs_and_none_moves_more_than_a_request_may() {
    let (hub, client) = ready();
    hub.faults.fail(Port::Queue);
    for _ in 0..50 {
        hub.token(&client, &[]).expect(200);
    }
    hub.faults.heal();
    let mut runs = 0;
    while outbox(&hub) > 0 {
        let before = hub.faults.calls(Port::Queue);
        hub.relay().unwrap();
        assert!(hub.faults.calls(Port::Queue) - before <= 45, "a free plan has 50 subrequests a request");
        runs += 1;
    }
    assert!(runs > 1);
    assert_eq!(hub.queue.waiting().len(), 50);
}

#[test]
fn duplicated_reordered_and_retried_batches_keep_each_event_once() {
    let (hub, client) = ready();
    for _ in 0..10 {
        hub.token(&client, &[]).expect(200);
    }
    let before = kept(&hub);
    let messages = hub.queue.take();
    for seed in 0..5 {
        let mut batch = [messages.clone(), messages.clone()].concat();
        Random(seed).shuffle(&mut batch);
        hub.consume(Source::Audit, &batch).unwrap();
        assert_eq!(kept(&hub), before + 10);
    }
    hub.faults.fail_nth(Port::Trail, 0, Effect::LosesReply);
    assert!(hub.consume(Source::Audit, &messages).is_err(), "so the whole batch comes again");
    hub.consume(Source::Audit, &messages).unwrap();
    assert_eq!(kept(&hub), before + 10);
}

#[test]
fn a_batch_that_the_database_refuses_is_kept_by_nobody_and_comes_again_whole() {
    let (hub, client) = ready();
    for _ in 0..3 {
        hub.token(&client, &[]).expect(200);
    }
    let (before, messages) = (kept(&hub), hub.queue.take());
    hub.faults.fail(Port::Trail);
    assert!(hub.consume(Source::Audit, &messages).is_err());
    hub.faults.heal();
    assert_eq!(kept(&hub), before);
    hub.consume(Source::Audit, &messages).unwrap();
    assert_eq!(kept(&hub), before + 3);
}

#[test]
fn what_is_no_event_becomes_a_dead_letter_beside_the_events_that_are() {
    let (hub, client) = ready();
    hub.token(&client, &[]).expect(200);
    let before = kept(&hub);
    let mut batch = hub.queue.take();
    batch.extend(["", "{}", "not json", r#"{"id":1}"#, "[]"].map(str::to_owned));
    hub.consume(Source::Audit, &batch).unwrap();
    hub.consume(Source::Audit, &batch).unwrap();
    assert_eq!(kept(&hub), before + 1);
    assert_eq!(hub.db.query("SELECT id FROM dead_letters").len(), 5, "each once");
}

#[test]
fn what_the_queue_gave_up_on_is_kept_and_counted() {
    let (hub, client) = ready();
    hub.token(&client, &[]).expect(200);
    let batch = hub.queue.take();
    hub.consume(Source::DeadLetters, &batch).unwrap();
    hub.consume(Source::DeadLetters, &batch).unwrap();
    let dead = hub.db.query("SELECT body FROM dead_letters");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0]["body"].as_str(), Some(&*batch[0]));
    let counted = hub.admin("GET", "dead-letters").send().expect(200).json();
    assert!(counted.as_object().unwrap().values().any(|value| value == 1), "{counted}");
}

#[test]
fn the_largest_event_that_a_request_can_cause_fits_the_queue() {
    let (hub, client) = ready();
    let scope: String = (0..99).map(|n| format!("scope-{n:03}-{} ", "x".repeat(28))).collect();
    let resource = format!("https://mcp.example/{}", "x".repeat(480));
    for form in [vec![("scope", &*scope)], vec![("resource", &*resource)]] {
        hub.token(&client, &form).expect(400);
    }
    assert!(hub.queue.waiting().iter().all(|message| message.len() < 16 * 1024));
}
