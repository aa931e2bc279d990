//! The log of a tenant: indices, checkpoints, tiles, proofs, and what is found where somebody has changed the database.

use crate::support::hub::{ADMIN_KEK, Isolate};
use crate::support::run::Random;
use crate::support::signer::{Verifier, at_once};
use crate::support::{Credentials, Effect, Port, Reply, Setup};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use writ::app::Source;
use writ::audit::log::edge::ENTRY;
use writ::audit::log::entry::Opening;
use writ::audit::log::note::{Checkpoint, Vkey};
use writ::audit::log::tree::{self, Hash};
use writ::crypto::{b64_std, unb64, unb64_std};
use writ::ports::Pending;

const DAY: u64 = 86_400;

fn ready() -> (Setup, Credentials) {
    let hub = Setup::new();
    let client = hub.agent("agent", "mcp:read");
    (hub, client)
}

/// Gets that many tokens, and leaves their events in the queue.
fn tokens(hub: &Setup, client: &Credentials, count: usize) {
    (0..count).for_each(|_| drop(hub.token(client, &[]).expect(200)));
}

fn publish(hub: &Setup) {
    hub.events();
}

/// Index and entry of every event that is kept, in the order of the log.
fn placed(hub: &Setup) -> Vec<(i64, Vec<u8>)> {
    let rows = hub.trail.query("SELECT seq, entry, salt, body FROM events WHERE tenant = 'main' ORDER BY seq");
    let text = |row: &writ::ports::Row, name: &str| row[name].as_str().unwrap_or_else(|| panic!("{row:?}")).to_owned();
    rows.iter()
        .map(|row| {
            let entry = unb64(&text(row, "entry")).unwrap();
            let opened = Opening::of(&text(row, "body"), &text(row, "salt")).unwrap().entry().unwrap();
            assert_eq!(entry, opened, "the event opens its entry");
            (row["seq"].as_i64().unwrap(), entry)
        })
        .collect()
}

/// RFC 6962 §2.1 word by word.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => tree::empty(),
        1 => leaves[0],
        n => {
            let k = (0..).map(|bits| 1_usize << bits).take_while(|k| *k < n).last().unwrap();
            tree::node(&naive(&leaves[..k]), &naive(&leaves[k..]))
        }
    }
}

fn get(hub: &Setup, path: &str) -> Reply {
    hub.call("GET", &format!("/t/main/log/{path}")).send()
}

fn key(hub: &Setup) -> Vkey {
    Vkey::parse(&get(hub, "key").expect(200).text).unwrap()
}

fn checkpoint(hub: &Setup) -> Checkpoint {
    Checkpoint::parse(&get(hub, "checkpoint").expect(200).text).unwrap()
}

/// What `writ verify` says of files.
fn verify(words: &[&str], files: &[(&str, &str)]) -> Result<String, String> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let read = |name: &str| files.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
    at_once(writ::cli::verify::run(&words, &read, &Verifier))
}

fn verify_proof(hub: &Setup, proof: &str) -> Result<String, String> {
    verify(&["proof", "--key", &key(hub).to_text()], &[("proof", proof)])
}

/// The log is whole: indices without a gap, each event once, and a checkpoint over all of them with the root of the definition.
fn expect_whole(hub: &Setup, count: usize) {
    let placed = placed(hub);
    assert_eq!(placed.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (0..placed.len() as i64).collect::<Vec<_>>());
    assert_eq!(placed.len(), count);
    let leaves: Vec<Hash> = placed.iter().map(|(_, entry)| tree::leaf(entry)).collect();
    let checkpoint = checkpoint(hub);
    assert_eq!((checkpoint.size as usize, checkpoint.root), (count, naive(&leaves)));
}

fn checked(hub: &Setup, from: u64) -> Value {
    hub.admin("GET", &format!("events/verify?from={from}")).send().expect(200).json()
}

/// Every problem that a check from the beginning to the end names.
fn problems(hub: &Setup) -> Vec<(String, Option<u64>)> {
    let (mut from, mut all) = (0, vec![]);
    loop {
        let answer = checked(hub, from);
        let named = answer["problems"].as_array().unwrap().iter();
        all.extend(named.map(|one| (one["problem"].as_str().unwrap().to_owned(), one["seq"].as_u64())));
        match answer["next"].as_u64() {
            Some(next) => from = next,
            None => return all,
        }
    }
}

fn rows(hub: &Setup, of: &str) -> i64 {
    hub.trail.query(&format!("SELECT count(*) AS n FROM {of}"))[0]["n"].as_i64().unwrap()
}

#[test]
fn each_event_has_the_next_index_once_whoever_keeps_it_in_whichever_order_and_however_often() {
    for seed in 0..12 {
        let (hub, client) = ready();
        publish(&hub);
        let before = rows(&hub, "events") as usize;
        tokens(&hub, &client, 40);
        let messages = hub.queue.take();
        let mut all = [messages.clone(), messages.clone(), messages].concat();
        Random(seed).shuffle(&mut all);
        let isolates: Vec<Isolate> = (0..4).map(|_| hub.isolate()).collect();
        let now = hub.clock.now();
        let batches: Vec<&[String]> = all.chunks(all.len().div_ceil(4)).collect();
        let runs = isolates.iter().zip(&batches).map(|(isolate, batch)| -> Pending<'_, bool> {
            Box::pin(async move { isolate.app().consume(Source::Audit, batch, now).await.is_ok() })
        });
        assert!(hub.together(seed, runs.collect()).into_iter().all(|kept| kept));
        expect_whole(&hub, before + 40);
    }
}

#[test]
fn wherever_a_run_ends_and_whichever_reply_is_lost_the_log_is_whole_after_the_next() {
    for port in [Port::Trail, Port::Db, Port::Keys] {
        for effect in [Effect::Fails, Effect::LosesReply] {
            for nth in 0..7 {
                let (hub, client) = ready();
                tokens(&hub, &client, 3);
                let messages = hub.queue.take();
                hub.faults.fail_nth(port, nth, effect);
                // The host ends it at once: nothing is tried again in the same run.
                let app = hub.isolate();
                let now = hub.clock.now();
                let run = Box::pin(async move { app.app().consume(Source::Audit, &messages, now).await.is_ok() });
                let kept = hub.clock.drive_for(40, run);
                hub.faults.heal();
                let count = rows(&hub, "events");
                assert!(kept == Some(false) || count > 3, "{port:?} {effect:?} {nth}");
                publish(&hub);
                let count = rows(&hub, "events") as usize;
                expect_whole(&hub, count);
            }
        }
    }
}

#[test]
fn a_checkpoint_that_failed_is_made_without_another_event() {
    let (hub, client) = ready();
    publish(&hub);
    tokens(&hub, &client, 2);
    hub.faults.fail_when(Port::Keys, |seen| seen.text.starts_with("sign"), Effect::Fails);
    let size = || hub.trail.query("SELECT signed, size FROM logs WHERE tenant = 'main'")[0].clone();
    hub.deliver();
    assert_ne!(size()["signed"], size()["size"]);
    let stale = get(&hub, "checkpoint").expect(200);
    hub.faults.heal();
    let fresh = get(&hub, "checkpoint").expect(200);
    assert_ne!(stale.text, fresh.text, "who asks for the checkpoint gets the new one");
    tokens(&hub, &client, 2);
    hub.faults.fail_when(Port::Keys, |seen| seen.text.starts_with("sign"), Effect::Fails);
    hub.deliver();
    hub.faults.heal();
    assert_ne!(size()["signed"], size()["size"]);
    hub.tick().unwrap();
    assert_eq!(size()["signed"], size()["size"], "and so does the cron");
}

#[test]
fn a_failure_of_one_tenant_delays_no_other() {
    let (hub, client) = ready();
    hub.create_tenant("other");
    hub.admin_of("other", "GET", "clients").send().expect(200);
    publish(&hub);
    tokens(&hub, &client, 1);
    hub.admin_of("other", "GET", "clients").send().expect(200);
    hub.trail.execute(
        "CREATE TRIGGER broken BEFORE INSERT ON events WHEN NEW.tenant = 'other' BEGIN SELECT RAISE(ABORT, 'broken'); END",
    );
    let batch = hub.queue.take();
    assert!(batch.iter().any(|event| event.contains(r#""tenant":"other""#)));
    assert!(hub.consume(Source::Audit, &batch).is_err());
    assert_eq!(placed(&hub).len() as u64, checkpoint(&hub).size);
    assert!(hub.trail.query("SELECT body FROM events WHERE tenant = 'main' AND type = 'token.issued'").len() > 1);
}

#[test]
fn events_that_somebody_keeps_out_of_the_trail_come_again() {
    for hidden in [
        "INSERT INTO former_tenants (id, deleted_at) VALUES ('main', 0)",
        "CREATE TRIGGER hidden BEFORE INSERT ON events WHEN NEW.type = 'token.issued' BEGIN SELECT RAISE(IGNORE); END",
    ] {
        let (hub, client) = ready();
        publish(&hub);
        tokens(&hub, &client, 1);
        hub.trail.execute(hidden);
        let batch = hub.queue.take();
        assert!(hub.consume(Source::Audit, &batch).is_err(), "{hidden}");
        hub.trail.execute("DROP TRIGGER IF EXISTS hidden; DELETE FROM former_tenants");
        let before = placed(&hub).len();
        hub.consume(Source::Audit, &batch).unwrap();
        assert!(placed(&hub).len() > before, "{hidden}");
    }
}

#[test]
fn a_tile_that_somebody_has_put_in_ahead_of_its_time_does_not_stop_the_log() {
    let (hub, client) = ready();
    publish(&hub);
    hub.trail.execute("INSERT INTO tiles (tenant, level, n, content) VALUES ('main', 0, 0, '')");
    tokens(&hub, &client, 300);
    publish(&hub);
    expect_whole(&hub, placed(&hub).len());
    assert_eq!(problems(&hub), []);
}

#[test]
fn tiles_are_those_of_the_specification_and_lead_from_the_entries_to_the_checkpoint() {
    let (hub, client) = ready();
    tokens(&hub, &client, 600);
    publish(&hub);
    let checkpoint = checkpoint(&hub);
    let size = checkpoint.size as usize;
    let (full, width) = (size / 256, size % 256);
    assert!(full == 2 && width > 0, "{size}");
    let tile = |path: &str| {
        let reply = get(&hub, path).expect(200);
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
        assert!(reply.header("cache-control").unwrap().contains("immutable"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        reply.bytes
    };
    let mut leaves: Vec<Hash> = Vec::new();
    for (n, suffix) in [(0, String::new()), (1, String::new()), (2, format!(".p/{width}"))] {
        let entries = tile(&format!("tile/entries/00{n}{suffix}"));
        let hashes = tile(&format!("tile/0/00{n}{suffix}"));
        let mut rest = &entries[..];
        let mut of_entries = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (entry, after) = after.split_at(u16::from_be_bytes(*length).into());
            assert_eq!(entry.len(), ENTRY);
            of_entries.push(tree::leaf(entry));
            rest = after;
        }
        assert_eq!(of_entries.as_flattened(), hashes);
        leaves.extend(of_entries);
    }
    assert_eq!((leaves.len(), naive(&leaves)), (size, checkpoint.root));
    let above = tile("tile/1/000.p/2");
    assert_eq!(above, [naive(&leaves[..256]), naive(&leaves[256..512])].as_flattened());
    assert_eq!(tile("tile/0/000.p/7"), leaves[..7].as_flattened(), "a partial tile is the beginning of the full one");
    for path in
        ["tile/0/002", "tile/0/003", "tile/1/000", "tile/2/000", "tile/0/000.p/256", "tile/9/000", "tile/0", "tile/"]
    {
        get(&hub, path).expect(404);
    }
    get(&hub, &format!("tile/0/002.p/{}", width + 1)).expect(404);
    let before = get(&hub, "tile/0/002.p/3").expect(200).bytes;
    tokens(&hub, &client, 300);
    publish(&hub);
    assert_eq!(get(&hub, "tile/0/002.p/3").expect(200).bytes, before, "and stays what it was");
    let all: BTreeMap<String, i64> = hub
        .trail
        .query("SELECT level || '/' || n AS place, length(content) AS n FROM tiles WHERE tenant = 'main'")
        .iter()
        .map(|row| (row["place"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap()))
        .collect();
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn nothing_that_an_event_says_is_published() {
    let (hub, client) = ready();
    tokens(&hub, &client, 3);
    publish(&hub);
    let size = checkpoint(&hub).size;
    let entries = get(&hub, &format!("tile/entries/000.p/{size}")).expect(200).bytes;
    assert_eq!(entries.len() as u64, size * 36, "digests and days alone");
    let again = Setup::new();
    assert_ne!(get(&hub, "key").text, again.call("GET", "/t/main/log/key").send().text);
}

#[test]
fn a_checkpoint_is_signed_by_the_key_that_is_published_under_the_origin_of_its_url() {
    let (hub, client) = ready();
    tokens(&hub, &client, 1);
    publish(&hub);
    let (reply, key) = (get(&hub, "checkpoint").expect(200), key(&hub));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(key.name, "id.example/t/main/log");
    let old = reply.text.clone();
    let proof = get(&hub, &format!("consistency?first={}", checkpoint(&hub).size)).expect(200).text;
    let files = [("old", &*old), ("proof", &*proof)];
    verify(&["old", "old", "proof", "--key", &key.to_text()], &files).unwrap();
    let other = Vkey { public: [3; 32], ..key.clone() };
    let forged = other.sign(&format!("{}\n", old.split_once("\n\n").unwrap().0), &[1; 64]);
    let told = verify(&["old", "old", "proof", "--key", &key.to_text()], &[("old", &forged), files[1]]).unwrap_err();
    assert!(told.contains("not signed by this key"), "{told}");
    let bad = old.replacen(&checkpoint(&hub).size.to_string(), "7", 1);
    let told = verify(&["old", "old", "proof", "--key", &key.to_text()], &[("old", &bad), files[1]]).unwrap_err();
    assert!(told.contains("signature"), "{told}");
    let dump = hub.dump_at_rest();
    for pkcs8 in hub.keys.made() {
        assert!(!dump.contains(&writ::crypto::b64(&pkcs8)) && !dump.contains(&b64_std(&pkcs8)));
    }
}

#[test]
fn any_two_checkpoints_are_consistent_and_a_log_that_was_changed_has_no_proof() {
    let (hub, client) = ready();
    let mut notes = Vec::new();
    for count in [1, 2, 3, 7, 40, 220, 256, 30] {
        tokens(&hub, &client, count);
        publish(&hub);
        notes.push(get(&hub, "checkpoint").expect(200).text);
    }
    let key = key(&hub).to_text();
    let sizes: Vec<u64> = notes.iter().map(|note| Checkpoint::parse(note).unwrap().size).collect();
    for (old, first) in notes.iter().zip(&sizes) {
        for (new, second) in notes.iter().zip(&sizes).filter(|(_, second)| first <= *second) {
            let proof = get(&hub, &format!("consistency?first={first}&second={second}")).expect(200).text;
            let files = [("old", &**old), ("new", &**new), ("proof", &*proof)];
            let told = verify(&["old", "new", "proof", "--key", &key], &files).unwrap();
            assert!(told.starts_with(&format!("OK: the first {first} of {second}")), "{told}");
            if first != second {
                let other = get(&hub, &format!("consistency?first={first}&second={}", second - 1)).expect(200).text;
                let files = [("old", &**old), ("new", &**new), ("proof", &*other)];
                assert!(other == proof || verify(&["old", "new", "proof", "--key", &key], &files).is_err());
                verify(&["new", "old", "proof", "--key", &key], &files).unwrap_err();
            }
        }
    }
    for bad in ["consistency", "consistency?first=-1", "consistency?first=01", "consistency?first=1&third=2"] {
        get(&hub, bad).expect(400);
    }
    for bad in ["first=5&second=4", "first=1&second=99999", "first=99999"] {
        get(&hub, &format!("consistency?{bad}")).expect(404);
    }
}

/// The newest event of a token of that client.
fn event_of(hub: &Setup, client: &Credentials) -> Value {
    hub.events_of("token.issued").into_iter().rfind(|event| event["client"] == client.client_id).unwrap()
}

#[test]
fn the_proof_of_an_event_or_a_token_holds_offline_and_shows_what_was_recorded() {
    let (hub, client) = ready();
    tokens(&hub, &client, 300);
    let token = hub.access_token(&client, "mcp:read");
    let jti = crate::support::hub::decode(&token).1["jti"].as_str().unwrap().to_owned();
    let by_token = hub.admin("GET", &format!("events/proof?jti={jti}")).send();
    assert_eq!(by_token.status, 404, "its event is still on its way");
    let event = event_of(&hub, &client);
    let id = event["id"].as_str().unwrap();
    let proof = hub.admin("GET", &format!("events/{id}/proof")).send().expect(200);
    assert_eq!(proof.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(proof.text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{}", proof.text);
    let told = verify_proof(&hub, &proof.text).unwrap();
    for shown in [id, &client.client_id, "token.issued", "id.example/t/main/log", "2026-01-06T12:00:00.000Z"] {
        assert!(told.contains(shown), "{shown}: {told}");
    }
    let by_token = hub.admin("GET", &format!("events/proof?jti={jti}")).send().expect(200).text;
    assert_eq!(verify_proof(&hub, &by_token).unwrap(), told);

    // An older proof holds for ever: its checkpoint is in it.
    tokens(&hub, &client, 300);
    publish(&hub);
    assert_eq!(verify_proof(&hub, &proof.text).unwrap(), told);

    for (first, second) in [("index ", "index 1"), ("\n\n", "\n"), ("@v1", "@v2"), ("main/log\n", "mine/log\n")] {
        assert!(verify_proof(&hub, &proof.text.replacen(first, second, 1)).is_err(), "{first}");
    }
    assert!(verify(&["proof"], &[("proof", &proof.text)]).unwrap_err().contains("--key"));
    let other = Setup::new();
    publish(&other);
    hub.admin("GET", "events/nothing/proof").send().expect(404);
    hub.admin("GET", "events/proof").send().expect(400);
    hub.admin("GET", "events/proof?jti=other").send().expect(404);
}

#[test]
fn a_member_can_be_withheld_from_a_proof_and_none_can_be_changed_or_left_out_silently() {
    let (hub, client) = ready();
    tokens(&hub, &client, 5);
    let event = event_of(&hub, &client);
    let path = format!("events/{}/proof", event["id"].as_str().unwrap());
    let whole = hub.admin("GET", &path).send().expect(200).text;
    let part =
        hub.admin("GET", &format!("{path}?without=client,client_name,subject,subject_name")).send().expect(200).text;
    let told = verify_proof(&hub, &part).unwrap();
    assert!(!told.contains(&client.client_id) && told.contains("4 more members are withheld"), "{told}");
    let line = whole.lines().nth(1).unwrap().strip_prefix("extra ").unwrap();
    let extra: Value = serde_json::from_slice(&unb64_std(line).unwrap()).unwrap();
    let with = |extra: &Value| whole.replacen(line, &b64_std(extra.to_string()), 1);
    for n in 0..extra["disclosures"].as_array().unwrap().len() {
        let mut changed = extra.clone();
        let text = String::from_utf8(unb64(changed["disclosures"][n].as_str().unwrap()).unwrap()).unwrap();
        changed["disclosures"][n] = writ::crypto::b64(text.replacen("[\"", "[\"x", 1)).into();
        assert!(verify_proof(&hub, &with(&changed)).is_err(), "{text}");
        let mut shorter = extra.clone();
        shorter["disclosures"].as_array_mut().unwrap().remove(n);
        assert!(verify_proof(&hub, &with(&shorter)).is_err(), "{text}");
    }
    let mut later = extra.clone();
    later["day"] = (extra["day"].as_u64().unwrap() + 1).into();
    assert!(verify_proof(&hub, &with(&later)).is_err());
    assert_eq!(verify_proof(&hub, &with(&extra)).unwrap(), verify_proof(&hub, &whole).unwrap());
}

#[test]
fn a_whole_log_has_no_problem_however_often_and_from_wherever_it_is_checked() {
    let (hub, client) = ready();
    tokens(&hub, &client, 600);
    publish(&hub);
    assert_eq!(problems(&hub), []);
    for _ in 0..6 {
        hub.clock.advance(60);
        hub.tick().unwrap();
        publish(&hub);
    }
    assert_eq!(problems(&hub), []);
    let last = checked(&hub, 600);
    assert_eq!(
        (last["from"].as_u64(), last["to"].as_u64(), &last["next"]),
        (Some(512), last["size"].as_u64(), &Value::Null)
    );
    assert!(hub.events_of("log.broken").is_empty());
}

/// A way to change the database, and the problem that has to be found.
const CHANGES: &[(&str, &str, Option<u64>)] = &[
    (
        "UPDATE events SET body = replace(body, 'mcp:read', 'mcp:writ') WHERE tenant = 'main' AND seq = 300",
        "changed",
        Some(300),
    ),
    ("UPDATE events SET salt = 'AAAAAAAAAAAAAAAAAAAAAA' WHERE tenant = 'main' AND seq = 20", "changed", Some(20)),
    ("DELETE FROM events WHERE tenant = 'main' AND seq = 40", "missing", Some(40)),
    ("UPDATE events SET seq = NULL WHERE tenant = 'main' AND seq = 41", "missing", Some(41)),
    ("DELETE FROM tiles WHERE tenant = 'main' AND level = 0 AND n = 1", "tile", Some(256)),
    (
        "UPDATE tiles SET content = 'AAAA' || substr(content, 5) WHERE tenant = 'main' AND level = 0 AND n = 0",
        "tile",
        Some(0),
    ),
    ("UPDATE logs SET edge = replace(edge, substr(edge, 5, 8), 'AAAAAAAA') WHERE tenant = 'main'", "edge", None),
    (
        "UPDATE logs SET checkpoint = replace(checkpoint, 'main/log ', 'mine/log ') WHERE tenant = 'main'",
        "signature",
        None,
    ),
    (
        "UPDATE logs SET edge = '[]', checkpoint = '', signed = 0 WHERE tenant = 'main'; \
         UPDATE events SET entry = (SELECT entry FROM events WHERE tenant = 'main' AND seq = 8) WHERE tenant = 'main' AND seq = 7",
        "rolled_back",
        None,
    ),
    (
        "DELETE FROM logs WHERE tenant = 'main'; \
         UPDATE events SET entry = (SELECT entry FROM events WHERE tenant = 'main' AND seq = 8) WHERE tenant = 'main' AND seq = 7",
        "rolled_back",
        None,
    ),
    ("UPDATE events SET type = 'token.refused' WHERE tenant = 'main' AND seq = 300", "columns", Some(300)),
    (
        "INSERT INTO events (tenant, id, at, type, client, subject, refused, body, target, seq, salt, entry) \
         SELECT tenant, 'x' || id, at, type, client, subject, refused, body, target, -1, salt, entry FROM events \
         WHERE tenant = 'main' AND seq = 5",
        "outside",
        None,
    ),
    ("CREATE TRIGGER still BEFORE UPDATE OF size ON logs BEGIN SELECT RAISE(IGNORE); END", "outside", None),
    ("CREATE TRIGGER still BEFORE UPDATE OF signed ON logs BEGIN SELECT RAISE(IGNORE); END", "stalled", None),
    (
        "CREATE TRIGGER still AFTER UPDATE OF signed ON logs WHEN NEW.signed > OLD.signed BEGIN UPDATE logs SET signed = OLD.signed, \
         edge = OLD.edge, checkpoint = OLD.checkpoint WHERE tenant = NEW.tenant; END",
        "stalled",
        None,
    ),
];

#[test]
fn each_way_to_change_the_database_is_found_by_a_check_and_by_the_cron_which_raises_the_alarm_once_a_day() {
    for (change, problem, seq) in CHANGES {
        let (hub, client) = ready();
        tokens(&hub, &client, 600);
        publish(&hub);
        hub.tick().unwrap();
        publish(&hub);
        hub.trail.execute(change);
        tokens(&hub, &client, 1);
        hub.deliver();
        let found = problems(&hub);
        assert!(found.contains(&((*problem).to_owned(), *seq)), "{change}: {found:?}");
        for _ in 0..5 {
            hub.clock.advance(60);
            drop(hub.tick());
        }
        let reasons = || -> Vec<String> {
            let alarms = hub.events_of("log.broken");
            alarms.iter().map(|alarm| alarm["reason"].as_str().unwrap().to_owned()).collect()
        };
        let of_day = reasons();
        let distinct: BTreeSet<&String> = of_day.iter().collect();
        assert!(of_day.iter().any(|reason| reason == problem), "{change}: {of_day:?}");
        assert_eq!(distinct.len(), of_day.len(), "{change}: {of_day:?}");
        hub.clock.advance(DAY);
        for _ in 0..5 {
            hub.clock.advance(60);
            drop(hub.tick());
        }
        let again = reasons()[of_day.len()..].iter().filter(|reason| *reason == problem).count();
        assert_eq!(again, 1, "{change}: once a day");
    }
}

#[test]
fn each_column_by_which_an_event_is_found_is_compared_with_what_it_says() {
    let (hub, client) = ready();
    tokens(&hub, &client, 5);
    publish(&hub);
    let id = event_of(&hub, &client)["id"].as_str().unwrap().to_owned();
    let seq = hub.trail.query(&format!("SELECT seq FROM events WHERE id = '{id}'"))[0]["seq"].as_u64().unwrap();
    assert_eq!(problems(&hub), []);
    for (column, other) in [
        ("id", "'x' || id"),
        ("at", "at + 1"),
        ("type", "'token.refused'"),
        ("client", "'another'"),
        ("client", "NULL"),
        ("subject", "'another'"),
        ("refused", "1"),
        ("target", "'another'"),
    ] {
        let row =
            &hub.trail.query(&format!("SELECT {column} AS old FROM events WHERE tenant = 'main' AND seq = {seq}"))[0];
        let old = match row["old"].as_str() {
            Some(text) => format!("'{text}'"),
            None => row["old"].to_string(),
        };
        hub.trail.execute(&format!("UPDATE events SET {column} = {other} WHERE tenant = 'main' AND seq = {seq}"));
        assert_eq!(problems(&hub), [("columns".to_owned(), Some(seq))], "{column}");
        hub.trail.execute(&format!("UPDATE events SET {column} = {old} WHERE tenant = 'main' AND seq = {seq}"));
    }
    hub.trail.execute(&format!("INSERT INTO event_actors (tenant, actor, id) VALUES ('main', 'another', '{id}')"));
    assert_eq!(problems(&hub), [("columns".to_owned(), Some(seq))], "one who does not stand in its chain");
}

/// The row of the log, as a statement that brings it back.
fn row_of_the_log(hub: &Setup) -> String {
    let row = &hub.trail.query("SELECT edge, checkpoint, signed FROM logs WHERE tenant = 'main'")[0];
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    let (edge, checkpoint, signed) = (text("edge"), text("checkpoint"), row["signed"].as_i64().unwrap());
    format!("UPDATE logs SET edge = '{edge}', checkpoint = '{checkpoint}', signed = {signed} WHERE tenant = 'main'")
}

#[test]
fn a_log_that_was_set_back_to_any_checkpoint_comes_to_the_same_root_again_or_gets_no_signature() {
    let (hub, client) = ready();
    tokens(&hub, &client, 10);
    publish(&hub);
    let back = row_of_the_log(&hub);
    tokens(&hub, &client, 10);
    publish(&hub);
    let newest = checkpoint(&hub);
    // Nothing was changed but the checkpoint, as where a run has ended half way.
    hub.trail.execute(&back);
    assert_eq!(problems(&hub), []);
    assert_eq!(checkpoint(&hub), newest);
    tokens(&hub, &client, 3);
    hub.trail.execute(&back);
    publish(&hub);
    assert_eq!(problems(&hub), []);
    expect_whole(&hub, placed(&hub).len());
    let newest = checkpoint(&hub);
    // The cron has not run since the first checkpoint was signed. The last two events trade their entries.
    let of_last = |n: u64| format!("(SELECT entry FROM events WHERE tenant = 'main' AND seq = {})", newest.size - n);
    hub.trail.execute(&format!(
        "{back}; CREATE TABLE two AS SELECT {} AS a, {} AS b; \
         UPDATE events SET entry = (SELECT a FROM two) WHERE tenant = 'main' AND seq = {}; \
         UPDATE events SET entry = (SELECT b FROM two) WHERE tenant = 'main' AND seq = {}; DROP TABLE two",
        of_last(1),
        of_last(2),
        newest.size - 2,
        newest.size - 1
    ));
    let set_back = get(&hub, "checkpoint").expect(200).text;
    assert!(Checkpoint::parse(&set_back).unwrap().size < newest.size);
    hub.deliver();
    assert!(problems(&hub).contains(&("rolled_back".to_owned(), None)));
    tokens(&hub, &client, 3);
    hub.deliver();
    drop(hub.tick());
    assert_eq!(get(&hub, "checkpoint").expect(200).text, set_back);
    assert_eq!(hub.events_of("log.broken")[0]["reason"], "rolled_back");
}

#[test]
fn a_checkpoint_is_noted_in_the_other_database_before_anybody_can_have_it() {
    let (hub, client) = ready();
    publish(&hub);
    for effect in [Effect::Fails, Effect::LosesReply] {
        tokens(&hub, &client, 3);
        let before = checkpoint(&hub);
        hub.faults.fail_when(Port::Db, |seen| seen.text.starts_with("UPDATE log_keys SET seen_size"), effect);
        hub.deliver();
        assert_eq!(checkpoint(&hub), before);
        hub.faults.heal();
        publish(&hub);
        expect_whole(&hub, placed(&hub).len());
        assert_eq!(problems(&hub), []);
    }
    let noted = &hub.db.query("SELECT seen_size FROM log_keys WHERE tenant = 'main'")[0];
    assert_eq!(noted["seen_size"].as_i64(), Some(checkpoint(&hub).size as i64));
    assert!(hub.events_of("log.broken").is_empty());
}

#[test]
fn events_that_wait_for_a_checkpoint_are_told_and_that_none_can_be_made() {
    let (hub, client) = ready();
    publish(&hub);
    let whole = checked(&hub, 0);
    assert_eq!((&whole["waiting"], &whole["waiting_since"]), (&0.into(), &Value::Null));
    hub.trail.execute("CREATE TRIGGER still BEFORE UPDATE OF signed ON logs BEGIN SELECT RAISE(ABORT, 'still'); END");
    tokens(&hub, &client, 2);
    let since = hub.clock.seconds();
    hub.deliver();
    let young = checked(&hub, 0);
    let waiting = rows(&hub, "events WHERE tenant = 'main' AND seq >= (SELECT signed FROM logs WHERE tenant = 'main')");
    assert!(waiting >= 2);
    assert_eq!((young["waiting"].as_i64(), young["waiting_since"].as_u64()), (Some(waiting), Some(since)), "{young}");
    assert_eq!(young["problems"], serde_json::json!([]));
    drop(hub.tick());
    assert!(hub.events_of("log.broken").is_empty(), "a hitch");
    hub.clock.advance(200);
    let late = checked(&hub, 0);
    assert_eq!(late["problems"][0]["problem"], "stalled", "{late}");
    drop(hub.tick());
    assert_eq!(hub.events_of("log.broken")[0]["reason"], "stalled");
    hub.trail.execute("DROP TRIGGER still");
    assert_eq!(problems(&hub), []);
    // One that is given no index.
    hub.trail.execute(
        "CREATE TRIGGER still BEFORE UPDATE OF seq ON events WHEN NEW.seq IS NOT NULL BEGIN SELECT RAISE(IGNORE); END",
    );
    hub.trail.execute(
        "INSERT INTO events (tenant, id, at, type, client, subject, refused, body, target) \
         SELECT tenant, 'x' || id, at, type, client, subject, refused, body, target FROM events WHERE tenant = 'main' AND seq = 1",
    );
    assert_eq!(problems(&hub), [("stalled".to_owned(), None)]);
    hub.clock.advance(DAY);
    drop(hub.tick());
    assert_eq!(hub.events_of("log.broken")[1]["reason"], "stalled");
}

#[test]
fn an_event_that_the_database_changes_while_it_is_kept_raises_the_alarm() {
    for change in ["body = replace(body, 'mcp:read', 'mcp:writ'), entry = salt", "seq = NULL"] {
        let (hub, client) = ready();
        publish(&hub);
        tokens(&hub, &client, 2);
        let messages = hub.queue.take();
        hub.trail.execute(&format!(
            "CREATE TRIGGER changes AFTER INSERT ON events WHEN NEW.type = 'token.issued' BEGIN \
             UPDATE events SET {change} WHERE tenant = NEW.tenant AND id = NEW.id; END"
        ));
        hub.consume(Source::Audit, &messages).unwrap();
        hub.trail.execute("DROP TRIGGER changes");
        assert_eq!(hub.events_of("log.broken")[0]["reason"], "altered", "{change}");
    }
    let (hub, client) = ready();
    publish(&hub);
    tokens(&hub, &client, 2);
    let messages = hub.queue.take();
    let doubled = [&messages[..1], &messages[..]].concat();
    hub.consume(Source::Audit, &messages[..1]).unwrap();
    hub.consume(Source::Audit, &doubled).unwrap();
    assert!(hub.events_of("log.broken").is_empty(), "one that came before has the entry that it had");
}

/// A command in a page of the documentation, after these words.
fn documented(page: &str, words: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with("npx ") && line.contains(words)).unwrap().to_owned();
    line.split_once("--command \"").unwrap().1.strip_suffix('"').unwrap().to_owned()
}

#[test]
fn another_log_that_is_begun_as_documented_goes_on_with_sinks_and_counts_where_they_were() {
    let (hub, client) = ready();
    tokens(&hub, &client, 30);
    publish(&hub);
    let old = (key(&hub), checkpoint(&hub));
    hub.admin("GET", "events/summary?by=type").send().expect(200);
    let counted = || {
        let query = "SELECT sum(count) AS n FROM event_counts WHERE tenant = 'main' AND dimension = 'type'";
        hub.trail.query(query)[0]["n"].as_i64().unwrap()
    };
    let before = counted();
    // What the first ten events were has been forgotten; a sink has taken all but the last five.
    hub.trail.execute("DELETE FROM events WHERE tenant = 'main' AND seq < 10");
    let position = old.1.size as i64 - 6;
    hub.trail.execute(&format!(
        "INSERT INTO sink_states (tenant, sink, run, version, position, size, waits) VALUES ('main', 'siem', 1, 1, {position}, 1, 0)"
    ));
    let after = |position: i64| {
        let query = format!("SELECT id FROM events WHERE tenant = 'main' AND seq > {position} ORDER BY seq");
        hub.trail.query(&query).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let left = after(position);
    hub.db.execute(&documented("operations.md", "DELETE FROM log_keys"));
    hub.trail.execute(&documented("operations.md", "DELETE FROM tiles"));
    hub.restart();
    let position =
        hub.trail.query("SELECT position FROM sink_states WHERE sink = 'siem'")[0]["position"].as_i64().unwrap();
    assert_eq!(after(position), left);
    tokens(&hub, &client, 2);
    hub.deliver();
    expect_whole(&hub, placed(&hub).len());
    assert_eq!(problems(&hub), []);
    assert_ne!(key(&hub), old.0);
    assert_eq!(after(position)[..5], left);
    assert_eq!(placed(&hub).len(), after(-1).len());
    let more = placed(&hub).len() as i64 - (old.1.size as i64 - 10);
    assert!(more >= 2);
    hub.admin("GET", "events/summary?by=type").send().expect(200);
    assert_eq!(counted(), before + more, "each is counted once");
}

#[test]
fn no_checkpoint_is_signed_over_a_tree_that_somebody_has_changed() {
    for (change, problem, _) in CHANGES.iter().filter(|(_, problem, _)| ["edge", "signature"].contains(problem)) {
        let (hub, client) = ready();
        tokens(&hub, &client, 10);
        publish(&hub);
        hub.trail.execute(change);
        let signatures = || hub.faults.texts(Port::Keys).iter().filter(|text| text.starts_with("sign ")).count();
        tokens(&hub, &client, 10);
        let before = signatures();
        hub.deliver();
        assert_eq!(signatures(), before, "{change}");
        assert_eq!(hub.events_of("log.broken")[0]["reason"], *problem);
    }
    let (hub, client) = ready();
    publish(&hub);
    tokens(&hub, &client, 2);
    hub.faults.fail_when(Port::Trail, |seen| seen.text.starts_with("UPDATE logs SET signed"), Effect::Fails);
    hub.deliver();
    hub.faults.heal();
    let last = placed(&hub).len() - 1;
    hub.trail.execute(&format!("DELETE FROM events WHERE tenant = 'main' AND seq = {}", last - 1));
    get(&hub, "checkpoint").expect(200);
    drop(hub.tick());
    assert_eq!(hub.events_of("log.broken")[0]["reason"], "missing", "an event that no checkpoint covers yet");
}

#[test]
fn a_count_that_somebody_has_set_back_gives_no_index_twice_and_keeps_no_event_out() {
    let (hub, client) = ready();
    tokens(&hub, &client, 10);
    publish(&hub);
    for change in ["UPDATE logs SET size = 3 WHERE tenant = 'main'", "UPDATE logs SET size = 0 WHERE tenant = 'main'"] {
        hub.trail.execute(change);
        tokens(&hub, &client, 3);
        hub.deliver();
        expect_whole(&hub, placed(&hub).len());
    }
}

#[test]
fn events_that_are_forgotten_in_time_are_no_problem_and_what_is_proved_stays_so() {
    let (hub, client) = ready();
    tokens(&hub, &client, 300);
    let first = event_of(&hub, &client);
    let id = first["id"].as_str().unwrap();
    let old = hub.admin("GET", &format!("events/{id}/proof")).send().expect(200).text;
    let before = checkpoint(&hub);
    hub.clock.advance(401 * DAY);
    let client = hub.agent("later", "mcp:read");
    tokens(&hub, &client, 3);
    publish(&hub);
    hub.tick().unwrap();
    assert!(hub.trail.query(&format!("SELECT id FROM events WHERE id = '{id}'")).is_empty());
    assert_eq!(problems(&hub), []);
    let report = checked(&hub, 0);
    assert!(report["forgotten"].as_u64().unwrap() >= 300, "{report}");
    assert!(report["forgotten_until"].as_u64().unwrap() <= hub.clock.seconds() - 399 * DAY, "{report}");
    verify_proof(&hub, &old).unwrap();
    let newest = event_of(&hub, &client);
    let proof = hub.admin("GET", &format!("events/{}/proof", newest["id"].as_str().unwrap())).send().expect(200).text;
    verify_proof(&hub, &proof).unwrap();
    let path = get(&hub, &format!("consistency?first={}", before.size)).expect(200).text;
    assert!(path.starts_with(&format!("old {}\n", before.size)));
    hub.trail
        .execute(&format!("DELETE FROM events WHERE tenant = 'main' AND id = '{}'", newest["id"].as_str().unwrap()));
    assert_eq!(problems(&hub)[0].0, "missing", "one that is not old is missed");
}

#[test]
fn an_event_that_no_checkpoint_covers_is_not_forgotten() {
    let (hub, client) = ready();
    publish(&hub);
    tokens(&hub, &client, 3);
    hub.faults.fail_when(Port::Keys, |seen| seen.text.starts_with("sign"), Effect::Fails);
    hub.deliver();
    let (signed, all) = (checkpoint(&hub).size as i64, rows(&hub, "events"));
    hub.clock.advance(500 * DAY);
    drop(hub.tick());
    assert_eq!(rows(&hub, "events WHERE tenant = 'main'"), all - signed);
    hub.faults.heal();
    hub.tick().unwrap();
    hub.tick().unwrap();
    assert!(rows(&hub, "events WHERE at < 1767700800999 AND tenant = 'main'") == 0);
    assert_eq!(problems(&hub), []);
}

#[test]
fn metadata_say_where_the_log_is_and_which_key_verifies_it() {
    let hub = Setup::new();
    let metadata = |path: &str| hub.call("GET", path).send().expect(200).json();
    let path = "/t/main/.well-known/oauth-authorization-server";
    assert_eq!(metadata(path)["writ_event_log"], "https://id.example/t/main/log");
    assert!(metadata(path).get("writ_event_log_key").is_none(), "the log has not begun");
    assert!(hub.db.query("SELECT * FROM log_keys").is_empty(), "and metadata begin none");
    hub.agent("agent", "mcp:read");
    publish(&hub);
    let key = get(&hub, "key").expect(200).text;
    assert_eq!(metadata(path)["writ_event_log_key"], key.trim());
    // A Worker that cannot open the private half says the same.
    let discovery =
        hub.isolate_with(&[("ROLES", "discovery"), ("SIGNING_KEK", ""), ("VAULT_KEK", ""), ("ADMIN_KEK", "")]);
    let said = hub.call("GET", "/.well-known/openid-configuration/t/main").on(&discovery).send().expect(200).json();
    assert_eq!(said["writ_event_log_key"], key.trim());
}

#[test]
fn events_of_before_the_log_get_their_index_from_the_cron() {
    let (hub, client) = ready();
    tokens(&hub, &client, 3);
    publish(&hub);
    let before = rows(&hub, "events") as usize;
    hub.trail.execute("UPDATE events SET seq = NULL, salt = NULL, entry = NULL");
    hub.trail.execute("DELETE FROM logs");
    hub.db.execute("DELETE FROM log_keys");
    hub.restart();
    // While others keep events of their own, and another cron does the same.
    for seed in 0..4 {
        tokens(&hub, &client, 5);
        let (messages, now) = (hub.queue.take(), hub.clock.now());
        let isolates: Vec<Isolate> = (0..3).map(|_| hub.isolate()).collect();
        let run = |n: usize| -> Pending<'_, bool> {
            let (app, messages) = (isolates[n].app(), &messages);
            match n {
                0 => Box::pin(async move { app.consume(Source::Audit, messages, now).await.is_ok() }),
                _ => Box::pin(async move { app.tick(&|| now).await.is_ok() }),
            }
        };
        hub.together(seed, vec![run(0), run(1), run(2)]);
        hub.consume(Source::Audit, &messages).unwrap();
        hub.clock.advance(60);
    }
    hub.tick().unwrap();
    let before = before + 20;
    expect_whole(&hub, before);
    tokens(&hub, &client, 2);
    hub.deliver();
    expect_whole(&hub, before + 2);
    assert_eq!(problems(&hub), []);
}

#[test]
fn a_worker_with_the_role_audit_signs_with_a_key_of_its_own_and_others_never() {
    let (hub, client) = ready();
    tokens(&hub, &client, 2);
    let messages = hub.queue.take();
    let none = ("SIGNING_KEK", "");
    let split = hub.isolate_with(&[("ROLES", "admin,audit"), none, ("VAULT_KEK", ""), ("ADMIN_KEK", ADMIN_KEK)]);
    let now = hub.clock.now();
    hub.clock.block_on(split.app().consume(Source::Audit, &messages, now)).unwrap();
    let sent = hub.call("GET", "/t/main/log/checkpoint").on(&split).send().expect(200);
    assert!(Checkpoint::parse(&sent.text).unwrap().size > 2);
    let token = hub.isolate_with(&[("ROLES", "token"), ("VAULT_KEK", "")]);
    hub.call("GET", "/t/main/log/checkpoint").on(&token).send().expect(404);
    let sealed = hub.db.query("SELECT sealed FROM log_keys")[0]["sealed"].as_str().unwrap().to_owned();
    // A new version of the key-encryption key seals it anew, and the key stays.
    let two = format!("2:HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 {ADMIN_KEK}");
    let later = hub.isolate_with(&[("ROLES", "admin,audit"), none, ("VAULT_KEK", ""), ("ADMIN_KEK", &two)]);
    let before = hub.call("GET", "/t/main/log/key").on(&split).send().expect(200).text;
    hub.clock.advance(60);
    hub.clock.block_on(later.app().tick(&|| hub.clock.now())).unwrap();
    let again = hub.db.query("SELECT sealed FROM log_keys")[0]["sealed"].as_str().unwrap().to_owned();
    assert!(sealed.starts_with("1.") && again.starts_with("2."), "{sealed} {again}");
    assert_eq!(hub.call("GET", "/t/main/log/key").on(&later).send().expect(200).text, before);
}

#[test]
fn no_other_role_on_its_own_ever_signs_a_checkpoint() {
    let (hub, client) = ready();
    tokens(&hub, &client, 3);
    let messages = hub.queue.take();
    for role in ["authorize", "broker", "admin", "token", "discovery"] {
        // It has every secret: what keeps it from signing is its role.
        let all = [("ROLES", role), ("ADMIN_KEK", ADMIN_KEK), ("AUDIT_KEK", ADMIN_KEK), ("PEOPLE_KEK", ADMIN_KEK)];
        let alone = hub.isolate_with(&all);
        hub.clock.block_on(alone.app().consume(Source::Audit, &messages, hub.clock.now())).unwrap();
        hub.clock.advance(60);
        hub.clock.block_on(alone.app().tick(&|| hub.clock.now())).unwrap();
        let signed = rows(&hub, "events WHERE seq < (SELECT signed FROM logs WHERE logs.tenant = events.tenant)");
        assert_eq!(signed, 0, "{role}");
        assert!(hub.db.query("SELECT tenant FROM log_keys").is_empty(), "{role}");
    }
    hub.consume(Source::Audit, &messages).unwrap();
    assert!(checkpoint(&hub).size > 2);
}

#[test]
fn a_batch_of_events_takes_a_bounded_number_of_statements_however_many_there_are() {
    let (hub, client) = ready();
    publish(&hub);
    tokens(&hub, &client, 100);
    let batch = hub.queue.take();
    let before = hub.faults.texts(Port::Trail).len();
    hub.consume(Source::Audit, &batch).unwrap();
    let texts = hub.faults.texts(Port::Trail);
    let statements: usize = texts[before..].iter().map(|text| text.matches("; ").count() + 1).sum();
    assert!(texts.len() - before <= 4 && statements <= 10, "{:#?}", &texts[before..]);
}

#[test]
fn an_index_is_given_in_the_transaction_that_keeps_the_event() {
    let (hub, client) = ready();
    publish(&hub);
    tokens(&hub, &client, 3);
    hub.faults.fail(Port::Keys);
    hub.deliver();
    let of_main = |more: &str| rows(&hub, &format!("events WHERE tenant = 'main' {more}"));
    assert_eq!((of_main("AND seq IS NULL"), of_main("AND seq >= (SELECT signed FROM logs)")), (0, 3));
}
