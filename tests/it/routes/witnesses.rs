//! Witnesses of a tenant's log: what they cosign is served and can be demanded; what contradicts them is found; none of them delays anything.

use crate::support::signer::{Verifier, at_once};
use crate::support::witness::Witness;
use crate::support::{Credentials, Effect, Port, Reply, Scripted, Seen, Setup};
use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::Rc;
use writ::audit::log::note::{Checkpoint, Vkey};
use writ::ports::FetchError;

struct Scene {
    hub: Setup,
    client: Credentials,
    witnesses: Vec<Rc<Witness>>,
}

impl Scene {
    /// A tenant whose log these witnesses know and cosign.
    fn new(names: &[&str]) -> Self {
        let hub = Setup::new();
        let client = hub.agent("agent", "mcp:read");
        let witnesses: Vec<_> = names.iter().map(|name| Witness::new(&hub, name)).collect();
        Witness::open(&hub, &witnesses);
        let scene = Self { hub, client, witnesses };
        let all: Vec<Value> = scene.witnesses.iter().map(|one| json!({"url": one.url(), "key": one.vkey()})).collect();
        scene.set(json!(all)).expect(200);
        scene.hub.deliver();
        let key = scene.log("key").expect(200).text;
        scene.witnesses.iter().for_each(|one| one.trust(&key));
        scene
    }

    fn set(&self, witnesses: Value) -> Reply {
        let body = json!({"name": "Main", "zone": "UTC", "settings": {"log_witnesses": witnesses}});
        self.hub.admin("PUT", "tenants/main").header("if-match", "*").json(&body).send()
    }

    fn log(&self, path: &str) -> Reply {
        self.hub.call("GET", &format!("/t/main/log/{path}")).send()
    }

    /// Something happens, and a checkpoint covers it.
    fn grow(&self, count: usize) {
        (0..count).for_each(|_| drop(self.hub.token(&self.client, &[]).expect(200)));
        self.hub.deliver();
    }

    fn minute(&self) {
        self.hub.clock.advance(60);
        self.hub.tick().unwrap();
    }

    fn newest(&self) -> Checkpoint {
        Checkpoint::parse(&self.log("checkpoint").expect(200).text).unwrap()
    }

    fn states(&self) -> Vec<Value> {
        let shown = self.hub.admin("GET", "log/witnesses").send().expect(200).json();
        shown["witnesses"].as_array().unwrap().clone()
    }

    fn alarms(&self) -> Vec<Value> {
        self.hub.events_of("log.broken")
    }

    /// The proof of the newest token.
    fn proof(&self) -> String {
        let event = self.hub.events_of("token.issued").into_iter().rfind(|one| one["client"] == self.client.client_id);
        let id = event.unwrap()["id"].as_str().unwrap().to_owned();
        self.hub.admin("GET", &format!("events/{id}/proof")).send().expect(200).text
    }

    /// What `writ verify` says of files, demanding these witnesses.
    fn verify(&self, files: &[(&str, &str)], witnesses: &[&str]) -> Result<String, String> {
        let key = self.log("key").expect(200).text;
        let names = files.iter().map(|(name, _)| (*name).to_owned());
        let demanded = witnesses.iter().map(|vkey| format!("--witness={vkey}"));
        let words: Vec<String> = names.chain([format!("--key={}", key.trim())]).chain(demanded).collect();
        let read = |name: &str| files.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        at_once(writ::cli::verify::run(&words, &read, &Verifier))
    }
}

/// The text with another letter there.
fn changed(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

fn lines(note: &str) -> usize {
    note.lines().filter(|line| line.starts_with("— ")).count()
}

#[test]
fn a_checkpoint_is_cosigned_by_each_witness_and_proofs_carry_what_they_say() {
    let scene = Scene::new(&["witness.example/w1", "other.example/w2"]);
    scene.log("cosigned").expect(404);
    scene.grow(3);
    assert_eq!(lines(&scene.log("checkpoint").text), 1, "no witness has been asked yet");
    scene.minute();
    let note = scene.log("checkpoint").expect(200).text;
    assert_eq!(lines(&note), 3, "{note}");
    assert_eq!(scene.log("cosigned").expect(200).text, note);
    let vkeys: Vec<String> = scene.witnesses.iter().map(|one| one.vkey()).collect();
    let vkeys: Vec<&str> = vkeys.iter().map(|one| &**one).collect();
    let proof = scene.proof();
    let told = scene.verify(&[("proof", &proof)], &vkeys).unwrap();
    assert!(told.contains(vkeys[0]) && told.contains("and cosigned at 2026-01-06T12:01:00.000Z by"), "{told}");
    let stranger = Witness::new(&scene.hub, "stranger.example").vkey();
    let told = scene.verify(&[("proof", &proof)], &[vkeys[0], &stranger]).unwrap_err();
    assert!(told.contains("stranger.example has not cosigned"), "{told}");
    // The name of a witness with another key, or the key of a log, is no witness.
    let forged = Vkey { public: [5; 32], ..Vkey::parse_witness(vkeys[0]).unwrap() }.to_text();
    assert!(scene.verify(&[("proof", &proof)], &[&forged]).unwrap_err().contains("has not cosigned"));
    let log = scene.log("key").text;
    assert!(scene.verify(&[("proof", &proof)], &[log.trim()]).unwrap_err().contains("--witness"));
    // A cosignature of one moment does not count for another.
    let at = proof.rfind("— other.example/w2 ").unwrap() + "— other.example/w2 ".len() + 12;
    let changed = changed(&proof, at);
    assert!(scene.verify(&[("proof", &changed)], &[vkeys[1]]).unwrap_err().contains("does not hold"));
    scene.verify(&[("proof", &changed)], &[vkeys[0]]).unwrap();
}

#[test]
fn a_proof_has_the_checkpoint_that_most_witnesses_have_cosigned_and_it_proves_the_event() {
    let scene = Scene::new(&["witness.example/w1", "other.example/w2"]);
    scene.grow(300);
    scene.minute();
    let cosigned = scene.log("cosigned").expect(200).text;
    let old = scene.hub.events_of("token.issued")[5]["id"].as_str().unwrap().to_owned();
    scene.grow(300);
    let newest = scene.log("checkpoint").expect(200).text;
    assert_eq!(lines(&newest), 1);
    assert_eq!(scene.log("cosigned").text, cosigned, "the newest one that is cosigned");
    let proof = scene.hub.admin("GET", &format!("events/{old}/proof")).send().expect(200).text;
    assert!(proof.ends_with(&cosigned), "{proof}");
    let witness = scene.witnesses[0].vkey();
    scene.verify(&[("proof", &proof)], &[&witness]).unwrap();
    // What no cosigned one covers is proved by the newest.
    let proof = scene.proof();
    assert_eq!(lines(&proof), 1);
    scene.verify(&[("proof", &proof)], &[]).unwrap();
    assert!(scene.verify(&[("proof", &proof)], &[&witness]).is_err());
    // The second witness is away: of two that one witness has cosigned, the newer one counts.
    *scene.witnesses[1].instead.borrow_mut() = Some(Scripted::failure(FetchError::Unreachable));
    scene.minute();
    let proof = scene.hub.admin("GET", &format!("events/{old}/proof")).send().expect(200).text;
    assert_eq!(lines(&proof), 2, "{proof}");
    scene.verify(&[("proof", &proof)], &[&witness]).unwrap();
    // Two checkpoints with the proof between them; the newer one has to be cosigned.
    let first = Checkpoint::parse(&cosigned).unwrap().size;
    let new = scene.log("checkpoint").text;
    let second = Checkpoint::parse(&new).unwrap().size;
    let between = scene.log(&format!("consistency?first={first}&second={second}")).expect(200).text;
    let files = [("old", &*cosigned), ("new", &*new), ("proof", &*between)];
    assert_eq!(scene.verify(&files, &[&witness]).is_ok(), lines(&new) > 1);
    scene.verify(&files, &[]).unwrap();
}

#[test]
fn a_witness_is_asked_from_the_size_that_it_has_seen_and_tells_it_where_that_is_not_known() {
    let scene = Scene::new(&["witness.example/w1"]);
    let witness = &scene.witnesses[0];
    for count in [1, 2, 5, 60, 256, 300] {
        scene.grow(count);
        scene.minute();
        assert_eq!(witness.size(), Checkpoint::parse(&scene.log("cosigned").text).unwrap().size);
    }
    assert_eq!(*witness.answered.borrow(), [200; 6]);
    // What was known of it is gone: a database that was restored, or another deployment.
    scene.hub.db.execute("DELETE FROM log_witnesses");
    scene.grow(2);
    scene.minute();
    assert_eq!(witness.answered.borrow()[6..], [409, 200]);
    // Its answer is lost: it has cosigned, and says so by its size.
    scene.grow(2);
    scene.hub.faults.fail_nth(Port::Fetch, 0, Effect::LosesReply);
    scene.minute();
    let state = &scene.states()[0];
    assert_eq!((state["outcome"].as_str(), state["attempts"].as_i64()), (Some("it is unreachable"), Some(1)));
    assert!(state["lag"].as_u64().unwrap() > 0);
    scene.grow(1);
    scene.minute();
    scene.minute();
    let state = &scene.states()[0];
    assert_eq!((&state["outcome"], state["attempts"].as_i64()), (&Value::Null, Some(0)), "{state}");
    assert!(scene.alarms().is_empty());
}

#[test]
fn a_log_that_does_not_grow_is_cosigned_anew_each_hour_and_not_each_minute() {
    let scene = Scene::new(&["witness.example/w1"]);
    scene.grow(2);
    for _ in 0..59 {
        scene.minute();
    }
    // The events of the administrator's calls are the only ones.
    let before = scene.witnesses[0].answered.borrow().len();
    assert!(before <= 3, "{before}");
    scene.minute();
    scene.minute();
    assert_eq!(scene.witnesses[0].answered.borrow().len(), before + 1);
    let at = scene.states()[0]["cosigned_at"].as_u64().unwrap();
    assert!(at + 120 > scene.hub.clock.seconds());
}

/// Sets both databases back to what they were when `saved` was called, but for what a witness keeps.
struct Saved {
    size: u64,
}

impl Saved {
    fn of(scene: &Scene) -> Self {
        scene.hub.trail.execute("CREATE TABLE saved AS SELECT * FROM logs");
        scene.hub.db.execute(
            "CREATE TABLE saved AS SELECT * FROM log_keys; CREATE TABLE saved_witnesses AS SELECT * FROM log_witnesses",
        );
        Self { size: scene.newest().size }
    }

    fn restore(&self, scene: &Scene) {
        let size = self.size;
        scene.hub.trail.execute(&format!(
            "DELETE FROM events WHERE tenant = 'main' AND seq >= {size}; DELETE FROM logs; INSERT INTO logs SELECT * FROM saved"
        ));
        scene.hub.db.execute(
            "DELETE FROM log_keys; INSERT INTO log_keys SELECT * FROM saved; DELETE FROM log_witnesses; \
             INSERT INTO log_witnesses SELECT * FROM saved_witnesses",
        );
        scene.hub.restart();
    }
}

#[test]
fn a_log_that_both_databases_have_another_history_of_contradicts_its_witness() {
    for (growth, told) in [(0, "it has seen"), (5, "other events"), (9, "does not take this log for the successor")] {
        let scene = Scene::new(&["witness.example/w1"]);
        scene.grow(4);
        scene.minute();
        let saved = Saved::of(&scene);
        scene.grow(5);
        scene.minute();
        let seen = scene.witnesses[0].size();
        assert!(seen > saved.size);
        let vkey = scene.witnesses[0].vkey();
        let before = scene.proof();
        scene.verify(&[("proof", &before)], &[&vkey]).unwrap();
        saved.restore(&scene);
        // Another history, signed by the right key, up to below, at or beyond what the witness has seen.
        let mut size = scene.newest().size;
        while growth > 0 && size < if growth == 5 { seen } else { seen + 3 } {
            scene.grow(1);
            size = scene.newest().size;
        }
        let from = scene.hub.admin("GET", "events/verify").send().expect(200).json();
        assert_eq!(from["problems"], json!([]), "{growth}: the databases agree with each other");
        // A log that does not grow is shown to its witness once an hour.
        scene.hub.clock.advance(if growth == 0 { 3_600 } else { 60 });
        scene.hub.tick().unwrap();
        let alarms = scene.alarms();
        assert_eq!(alarms.len(), 1, "{growth}: {alarms:?}");
        assert_eq!((&alarms[0]["reason"], &alarms[0]["target"]), (&json!("witness"), &json!("witness.example/w1")));
        assert!(alarms[0]["detail"].as_str().unwrap().contains(told), "{growth}: {}", alarms[0]);
        scene.hub.clock.advance(7_200);
        scene.hub.tick().unwrap();
        assert_eq!(scene.alarms().len(), 1, "{growth}: once a day");
        let proof = scene.proof();
        assert!(
            growth == 0 || scene.verify(&[("proof", &proof)], &[&vkey]).is_err(),
            "{growth}: the witness stands for no other"
        );
    }
}

#[test]
fn the_alarm_of_a_witness_takes_none_from_the_check_of_the_log() {
    let scene = Scene::new(&["witness.example/w1"]);
    *scene.witnesses[0].instead.borrow_mut() = Some(Scripted::answer(409, "text/x.tlog.size", "1000000\n"));
    scene.grow(4);
    scene.minute();
    let reasons = || scene.alarms().iter().map(|one| one["reason"].clone()).collect::<Vec<_>>();
    assert_eq!(reasons(), ["witness"]);
    assert!(scene.alarms()[0]["detail"].as_str().unwrap().contains("1000000"));
    let size = scene.newest().size;
    scene.grow(1);
    assert!(scene.newest().size > size, "the log goes on");
    scene.hub.trail.execute("UPDATE events SET salt = 'AAAAAAAAAAAAAAAAAAAAAA' WHERE tenant = 'main' AND seq = 2");
    for _ in 0..3 {
        scene.hub.clock.advance(60);
        drop(scene.hub.tick());
    }
    assert_eq!(reasons(), ["witness", "changed"]);
}

#[test]
fn wherever_asking_a_witness_fails_it_cosigns_in_the_next_minutes_and_no_alarm_is_raised() {
    for (port, text) in [
        (Port::Db, "SELECT witness"),
        (Port::Db, "INSERT INTO log_witnesses"),
        (Port::Db, "UPDATE log_witnesses"),
        (Port::Trail, "SELECT size, signed"),
        (Port::Fetch, "POST"),
        (Port::Keys, "verify"),
    ] {
        for effect in [Effect::Fails, Effect::LosesReply] {
            let scene = Scene::new(&["witness.example/w1"]);
            scene.grow(3);
            scene.minute();
            scene.grow(3);
            scene.hub.faults.fail_when(port, move |seen| seen.text.contains(text), effect);
            scene.hub.clock.advance(60);
            drop(scene.hub.tick());
            scene.hub.faults.heal();
            (0..3).for_each(|_| scene.minute());
            let note = scene.log("cosigned").expect(200).text;
            assert!(Checkpoint::parse(&note).unwrap().size >= 6, "{port:?} {text} {effect:?}");
            assert_eq!(scene.witnesses[0].size(), Checkpoint::parse(&note).unwrap().size, "{port:?} {text} {effect:?}");
            assert_eq!(scene.states()[0]["attempts"], 0, "{port:?} {text} {effect:?}");
            assert!(scene.alarms().is_empty(), "{port:?} {text} {effect:?}");
        }
    }
}

#[test]
fn a_witness_that_is_away_or_answers_wrongly_delays_no_checkpoint_and_no_other_witness_and_is_told_of() {
    let text = |status: u16, body: &str| Scripted::answer(status, "text/plain", body);
    let failures = [
        (Scripted::failure(FetchError::Unreachable), "it is unreachable"),
        (text(200, "").after(60_000), "it did not answer in time"),
        (text(200, ""), "its answer has no cosignature of its key"),
        (text(200, "hello"), "its answer has no cosignature of its key"),
        (text(404, ""), "it does not know this log: its operator has to add the log's key (404)"),
        (text(403, ""), "it knows this log under another key (403)"),
        (text(409, "soon"), "it does not say how many events it has seen"),
        (text(409, "-1\n"), "it does not say how many events it has seen"),
        (text(422, ""), "it answers 422"),
        (text(302, ""), "it redirects"),
        (text(503, ""), "it answers 503"),
    ];
    for (failure, told) in failures {
        let scene = Scene::new(&["witness.example/w1", "other.example/w2"]);
        *scene.witnesses[0].instead.borrow_mut() = Some(failure);
        scene.grow(2);
        assert_eq!(
            scene.newest().size as i64,
            scene.hub.trail.query("SELECT size FROM logs WHERE tenant = 'main'")[0]["size"].as_i64().unwrap()
        );
        scene.minute();
        let states = scene.states();
        assert_eq!(states[0]["outcome"], told);
        assert_eq!((states[0]["size"].as_u64(), states[0]["cosigned_at"].as_u64()), (Some(0), None), "{told}");
        assert!(states[0]["next_at"].as_u64().unwrap() > scene.hub.clock.seconds());
        assert!(states[1]["cosigned_at"].is_u64(), "{told}: the other one has cosigned");
        let asked = || {
            let requests = scene.hub.fetch.requests();
            requests.iter().filter(|one| one.url.starts_with(&scene.witnesses[0].url())).count()
        };
        let before = asked();
        for _ in 0..30 {
            scene.minute();
        }
        assert!((3..=6).contains(&(asked() - before)), "{told}: {}", asked() - before);
        let events = scene.hub.events_of("log.witness_failing");
        assert_eq!(events.len(), 1, "{told}");
        assert_eq!((&events[0]["target"], &events[0]["detail"]), (&json!("witness.example/w1"), &json!(told)));
        assert!(scene.alarms().is_empty(), "{told}");
    }
}

#[test]
fn a_cosignature_that_does_not_hold_is_not_kept() {
    let stranger = "stranger.example/w";
    type Lie = fn(&Witness, String) -> String;
    let lies: [(Lie, &str); 5] = [
        (
            |other, _| other.cosign("x\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"),
            "its answer has no cosignature of its key",
        ),
        (|_, line| changed(&line, line.len() - 12), "its cosignature does not hold"),
        (|_, line| format!("id.example/t/main/log\n1\n\n{line}"), "its answer has no cosignature of its key"),
        (|_, line| line.trim_end().to_owned(), "its answer has no cosignature of its key"),
        (|_, line| line.replace("— ", "- "), "its answer has no cosignature of its key"),
    ];
    for (lie, told) in lies {
        let scene = Scene::new(&["witness.example/w1"]);
        let other = Witness::new(&scene.hub, stranger);
        *scene.witnesses[0].lies.borrow_mut() = Some(Box::new(move |line| lie(&other, line)));
        scene.grow(2);
        scene.minute();
        assert_eq!(scene.states()[0]["outcome"], told);
        assert_eq!(lines(&scene.log("checkpoint").text), 1);
    }
    let scene = Scene::new(&["witness.example/w1"]);
    scene.witnesses[0].ahead.set(3_600);
    scene.grow(2);
    scene.minute();
    assert_eq!(scene.states()[0]["outcome"], "its clock is ahead");
    // Lines of others beside its own are passed over.
    let scene = Scene::new(&["witness.example/w1"]);
    let other = Witness::new(&scene.hub, stranger);
    *scene.witnesses[0].lies.borrow_mut() = Some(Box::new(move |line| other.cosign("x\n") + &line));
    scene.grow(2);
    scene.minute();
    let note = scene.log("checkpoint").text;
    assert!(lines(&note) == 2 && !note.contains(stranger), "{note}");
}

#[test]
fn nothing_that_the_log_has_not_signed_goes_to_a_witness() {
    let scene = Scene::new(&["witness.example/w1"]);
    scene.grow(2);
    scene
        .hub
        .trail
        .execute("UPDATE logs SET checkpoint = replace(checkpoint, 'main/log ', 'mine/log ') WHERE tenant = 'main'");
    scene.hub.clock.advance(60);
    drop(scene.hub.tick());
    assert!(scene.hub.fetch.requests().is_empty());
    assert_eq!(scene.alarms()[0]["reason"], "signature");
}

#[test]
fn two_crons_at_once_ask_a_witness_once() {
    let scene = Scene::new(&["witness.example/w1"]);
    scene.grow(2);
    scene.hub.clock.advance(60);
    let isolates: Vec<_> = (0..3).map(|_| scene.hub.isolate()).collect();
    let now = scene.hub.clock.now();
    let ticks = isolates.iter().map(|isolate| -> writ::ports::Pending<'_, bool> {
        Box::pin(async move { isolate.app().tick(&|| now).await.is_ok() })
    });
    scene.hub.together(7, ticks.collect());
    assert_eq!(*scene.witnesses[0].answered.borrow(), [200]);
}

#[test]
fn slow_witnesses_of_some_tenants_keep_no_other_from_its_turn() {
    let hub = Setup::new();
    let tenants = ["a", "b", "c", "d", "z"];
    let witnesses: Vec<_> = tenants.iter().map(|id| Witness::new(&hub, &format!("{id}.example"))).collect();
    Witness::open(&hub, &witnesses);
    for (tenant, witness) in tenants.iter().zip(&witnesses) {
        hub.create_tenant(tenant);
        let settings = json!({"log_witnesses": [{"url": witness.url(), "key": witness.vkey()}]});
        let body = json!({"name": tenant, "zone": "UTC", "settings": settings});
        hub.admin("PUT", &format!("tenants/{tenant}")).header("if-match", "*").json(&body).send().expect(200);
    }
    hub.deliver();
    for (tenant, witness) in tenants.iter().zip(&witnesses) {
        witness.trust(&hub.call("GET", &format!("/t/{tenant}/log/key")).send().expect(200).text);
        witness.takes_millis.set(9_900);
    }
    for _ in 0..10 {
        for tenant in tenants {
            hub.admin_token_of(tenant);
        }
        hub.deliver();
        hub.clock.advance(60);
        hub.tick().unwrap();
    }
    let asked: Vec<usize> = witnesses.iter().map(|one| one.answered.borrow().len()).collect();
    assert!(asked.iter().all(|times| *times >= 5), "{asked:?}");
    let cosigned = hub.db.query("SELECT tenant FROM log_witnesses WHERE cosigned_at IS NOT NULL");
    assert_eq!(cosigned.len(), 5);
    assert!(hub.log.lines().iter().any(|line| line.contains("time is up after those of 4 of 5 tenants")));
}

#[test]
fn a_claim_on_a_witness_begins_when_it_is_asked_however_long_the_rest_of_the_cron_has_taken() {
    let scene = Scene::new(&["witness.example/w1"]);
    scene.grow(2);
    let isolates = [scene.hub.isolate(), scene.hub.isolate()];
    let begun = scene.hub.clock.now();
    scene.hub.clock.advance(60);
    scene.witnesses[0].takes_millis.set(9_900);
    let now = scene.hub.clock.now();
    let ticks = isolates.iter().map(|isolate| -> writ::ports::Pending<'_, bool> {
        Box::pin(async move {
            let reads = Cell::new(0);
            let clock = || if reads.replace(1) == 0 { begun } else { now };
            isolate.app().tick(&clock).await.is_ok()
        })
    });
    assert_eq!(scene.hub.together(3, ticks.collect()), [true, true]);
    assert_eq!(*scene.witnesses[0].answered.borrow(), [200]);
}

#[test]
fn a_witness_that_is_no_longer_set_is_forgotten_and_its_cosignatures_are_not_served() {
    let scene = Scene::new(&["witness.example/w1", "other.example/w2"]);
    scene.grow(2);
    scene.minute();
    assert_eq!(lines(&scene.log("cosigned").text), 3);
    let left = &scene.witnesses[1];
    scene.set(json!([{"url": left.url(), "key": left.vkey()}])).expect(200);
    assert_eq!(lines(&scene.log("cosigned").text), 2);
    scene.minute();
    assert_eq!(scene.hub.db.query("SELECT witness FROM log_witnesses").len(), 1);
    scene.set(json!([])).expect(200);
    scene.log("cosigned").expect(404);
    scene.minute();
    assert!(scene.hub.db.query("SELECT witness FROM log_witnesses").is_empty());
}

#[test]
fn a_witness_that_somebody_has_shown_a_newer_checkpoint_meanwhile_contradicts_nothing() {
    let scene = Scene::new(&["witness.example/w1"]);
    scene.grow(4);
    scene.minute();
    let saved = Saved::of(&scene);
    scene.grow(5);
    let newest = scene.newest().size;
    scene.hub.trail.execute("CREATE TABLE newer AS SELECT * FROM logs");
    saved.restore(&scene);
    let told = Scripted::answer(409, "text/x.tlog.size", format!("{newest}\n"));
    *scene.witnesses[0].instead.borrow_mut() = Some(told);
    let trail = scene.hub.trail.clone();
    let grows = move |_: &Seen| {
        trail.execute("DELETE FROM logs; INSERT INTO logs SELECT * FROM newer");
        false
    };
    scene.hub.faults.fail_when(Port::Fetch, grows, Effect::Fails);
    scene.hub.clock.advance(3_600);
    scene.hub.tick().unwrap();
    assert!(scene.alarms().is_empty(), "{:?}", scene.alarms());
    assert_eq!(scene.states()[0]["outcome"], format!("it has seen {newest} events of this log, which has {newest}"));
}

#[test]
fn a_409_of_something_that_is_no_witness_is_no_other_history() {
    let scene = Scene::new(&["witness.example/w1"]);
    scene.grow(4);
    scene.minute();
    *scene.witnesses[0].instead.borrow_mut() = Some(Scripted::answer(409, "text/html", "<html>busy</html>"));
    scene.hub.clock.advance(3_600);
    scene.hub.tick().unwrap();
    assert!(scene.alarms().is_empty(), "{:?}", scene.alarms());
    assert_eq!(scene.states()[0]["outcome"], "it does not say how many events it has seen");
}

#[test]
fn a_witness_that_cannot_be_asked_or_verified_is_refused_by_name() {
    let hub = Setup::new();
    let scene = Scene { client: hub.agent("agent", "mcp:read"), hub, witnesses: vec![] };
    let good = Witness::new(&scene.hub, "witness.example/w1");
    scene.hub.deliver();
    let log = scene.log("key").expect(200).text;
    let (url, key) = (good.url(), good.vkey());
    for (witnesses, told) in [
        (json!([{"url": "http://witness.example", "key": key}]), "settings.log_witnesses[0].url"),
        (json!([{"url": "https://127.0.0.1/w", "key": key}]), "settings.log_witnesses[0].url"),
        (json!([{"url": "https://witness.example/w?x=1", "key": key}]), "settings.log_witnesses[0].url"),
        (json!([{"url": url, "key": log.trim()}]), "settings.log_witnesses[0].key"),
        (json!([{"url": url, "key": key.replace("w1", "w2")}]), "settings.log_witnesses[0].key"),
        (json!([{"url": url, "key": format!(" {key}")}]), "settings.log_witnesses[0].key"),
        (json!([{"url": url, "key": key}, {"url": "https://other.example", "key": key}]), "stands there twice"),
        (json!([{"url": url}]), "`key` is missing"),
        (json!(vec![json!({"url": url, "key": key}); 5]), "4 items at most"),
    ] {
        let reply = scene.set(witnesses.clone());
        assert_eq!(reply.status, 400, "{witnesses}");
        assert!(reply.text.contains(told), "{told}: {}", reply.text);
    }
    scene.set(json!([{"url": url, "key": key}])).expect(200);
    let shown = scene.hub.admin("GET", "tenants/main").send().expect(200).json();
    assert_eq!(shown["settings"]["log_witnesses"], json!([{"url": url, "key": key}]));
    scene.hub.admin("PUT", "tenants/main").header("if-match", "*").json(&shown).send().expect(200);
    let state = &scene.states()[0];
    assert_eq!((state["name"].as_str(), state["size"].as_u64()), (Some("witness.example/w1"), Some(0)));
}
