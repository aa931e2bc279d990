//! Witnesses: others who cosign the checkpoints of a log, each once it has seen that the log has only grown (C2SP tlog-witness, tlog-cosignature).
//!
//! In scope: asking witnesses. Out of scope: who they are (the setting `log_witnesses`), and what is served of their cosignatures
//! ([`super::cosigned`]).
//!
//! 1. A witness is sent only what the key of the log has signed, and a proof from the size that the witness has seen.
//! 2. Of its answer the cosignature alone counts, and only if the key of the witness has made it over this checkpoint.
//! 3. A witness never delays a checkpoint: it is asked by the cron, after all else, and after an attempt in vain less and less often. It is asked for
//!    each new checkpoint once a minute, and for the same one each hour, so that its word is fresh and a log that was set back is found.
//! 4. A witness that has seen more than the log has, or something else, contradicts the log: `log.broken` is recorded with the reason `witness`, once
//!    a day for each witness. Who can write to both databases cannot change what a witness has seen.

use super::keys::{self, LogKey};
use super::note::{Checkpoint, Cosignature, Vkey, number};
use super::read::{Tiles, lines};
use super::tree;
use crate::audit;
use crate::context::{Change, Cx};
use crate::error::{Fault, Result};
use crate::jose::PublicJwk;
use crate::model::EventType;
use crate::model::event::Facts;
use crate::model::tenant::{LogWitness, MAX_WITNESSES};
use crate::outbound::{self, retry};
use crate::ports::{Alg, Pending};
use crate::store::witnesses::{self, Cosigned, Unsigned, WitnessState};
use serde_json::{Value, json};

/// How long a claim holds, in seconds: longer than a run asks from the moment of its `Cx` on (`jobs::witnesses`), so that no attempt outlives its claim, and less than
/// a minute.
const CLAIM_SECONDS: i64 = 50;
/// After how many seconds a witness is asked for the same checkpoint again.
const FRESH_SECONDS: i64 = 3_600;
/// How far the clock of a witness may be ahead, in seconds.
const AHEAD_SECONDS: i64 = 300;
/// After how many attempts in vain an event tells of it: about a quarter of an hour.
const TOLD_AFTER: i64 = 4;

/// Everything that is wrong with the witnesses that an administrator has set.
pub fn problems(cx: &Cx<'_>, witnesses: &[LogWitness]) -> Vec<String> {
    let mut all = Vec::new();
    if witnesses.len() > MAX_WITNESSES {
        all.push(format!("`settings.log_witnesses` may have {MAX_WITNESSES} items at most"));
    }
    for (n, LogWitness { url, key }) in witnesses.iter().enumerate() {
        if outbound::admit(cx.config, url).is_none() || url.contains(['?', '#']) {
            all.push(format!(
                "`settings.log_witnesses[{n}].url` must be an https URL of a public host, without a port, a query or a fragment"
            ));
        }
        // As it is written by whoever has made the key: it is compared as text.
        if Vkey::parse_witness(key).is_none_or(|parsed| parsed.to_text() != *key) {
            all.push(format!(
                "`settings.log_witnesses[{n}].key` must be the verifier key of an Ed25519 witness (C2SP tlog-cosignature), such as witness.example/w1+a1b2c3d4+BE…"
            ));
        }
        if witnesses.iter().take(n).any(|other| other.key == *key) {
            all.push(format!("`settings.log_witnesses[{n}].key` stands there twice"));
        }
    }
    all
}

/// Asks each witness that is due.
pub async fn tick(cx: &Cx<'_>) -> Result<()> {
    let witnesses = &cx.tenant.settings.log_witnesses;
    if witnesses.is_empty() || cx.config.logs().is_none() {
        return Ok(());
    }
    let (Some(key), Some(tiles)) = (keys::get(cx).await?, Tiles::open(cx).await?) else { return Ok(()) };
    let states = cx.all(witnesses::list(&cx.tenant.id)).await?;
    let now = cx.now.seconds();
    let is_due = |state: &WitnessState| {
        let is_stale = state.cosigned_at.is_none_or(|at| at.saturating_add(FRESH_SECONDS) <= now);
        state.not_before <= now && (is_stale || state.checkpoint != tiles.checkpoint)
    };
    let due = witnesses.iter().map(|witness| (witness, state_of(&states, witness))).filter(|(_, state)| is_due(state));
    let due: Vec<_> = due.collect();
    // What the key has not signed goes nowhere; the check of the log raises the alarm.
    if due.is_empty() || !key.has_signed(cx, &tiles.checkpoint).await? {
        return Ok(());
    }
    let asked = due.into_iter().map(|(witness, state)| -> Pending<'_, ()> {
        let key = &key;
        Box::pin(async move {
            if let Err(error) = attend(cx, witness, key, state).await {
                cx.world.log.line(&format!("a witness of {}: {error}", cx.tenant.id));
            }
        })
    });
    retry::all(asked.collect()).await;
    Ok(())
}

/// Forgets the witnesses that are no longer set.
pub async fn forget(cx: &Cx<'_>) -> Result<()> {
    let known: Vec<&str> = cx.tenant.settings.log_witnesses.iter().map(|witness| &*witness.key).collect();
    cx.run(vec![witnesses::forget_others(&cx.tenant.id, json!(known).to_string())]).await.map(drop)
}

fn state_of(states: &[WitnessState], witness: &LogWitness) -> WitnessState {
    states.iter().find(|state| state.witness == witness.key).cloned().unwrap_or_default()
}

/// What came of asking a witness.
enum Outcome {
    /// It has cosigned.
    Cosigned(Cosignature),
    /// It has not; it may have said how many events it has seen.
    Failed(String, Option<u64>),
    /// It has seen what the log does not have.
    Contradicts(String, Option<u64>),
}

async fn attend(cx: &Cx<'_>, witness: &LogWitness, key: &LogKey, state: WitnessState) -> Result<()> {
    let (tenant, name, now) = (&cx.tenant.id, &witness.key, cx.now.seconds());
    let claim = witnesses::claim(tenant, name, now, now.saturating_add(CLAIM_SECONDS));
    if cx.run(vec![claim]).await?.first() != Some(&1) {
        return Ok(());
    }
    let Some(mut tiles) = Tiles::open(cx).await? else { return Ok(()) };
    if !key.has_signed(cx, &tiles.checkpoint).await? {
        return Ok(());
    }
    let (why, size, contradicts) = match ask(cx, witness, &mut tiles, state.size).await? {
        Outcome::Cosigned(cosignature) => {
            let cosigned = Cosigned {
                size: i64::try_from(tiles.size).unwrap_or(i64::MAX),
                checkpoint: &tiles.checkpoint,
                cosignature: &cosignature.line,
                at: cosignature.at,
            };
            return cx.run(vec![witnesses::cosign(tenant, name, &cosigned)]).await.map(drop);
        }
        Outcome::Failed(why, size) => (why, size, false),
        Outcome::Contradicts(why, size) => (why, size, true),
    };
    let failed = Unsigned {
        outcome: &why,
        now,
        not_before: now.saturating_add(retry::pause(state.attempts)),
        size: size.and_then(|size| i64::try_from(size).ok()),
    };
    cx.run(vec![witnesses::fail(tenant, name, &failed)]).await?;
    let told = Facts {
        target: Some(name.split('+').next().unwrap_or_default().to_owned()),
        detail: Some(why),
        ..Facts::default()
    };
    if contradicts {
        let day = now.div_euclid(86_400);
        let event = audit::event(cx, EventType::LogBroken, None, Facts { reason: Some("witness".to_owned()), ..told });
        cx.commit(Change::guard(witnesses::alarm(tenant, name, day)).event(event)).await?;
    } else if state.attempts.saturating_add(1) == TOLD_AFTER {
        audit::record(cx, &audit::event(cx, EventType::WitnessFailing, None, told)).await?;
    }
    Ok(())
}

/// Sends a checkpoint to a witness that has seen `seen` events; once more where it says that it has seen others.
async fn ask(cx: &Cx<'_>, witness: &LogWitness, tiles: &mut Tiles, seen: i64) -> Result<Outcome> {
    let size = tiles.size;
    let url = [witness.url.trim_end_matches('/'), "/add-checkpoint"].concat();
    let mut old = u64::try_from(seen).unwrap_or_default().min(size);
    for is_last in [false, true] {
        let path = tiles.hash(cx, |find| tree::consistency(old, size, find)).await?;
        let path = path.ok_or(Fault::Broken("a tile of the log is gone"))?;
        let body = format!("old {old}\n{}\n{}", lines(&path), tiles.checkpoint);
        let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        let answer = match outbound::send(cx, ("POST", &url), headers, Some(body)).await {
            Ok(answer) => answer,
            Err(failure) => return Ok(Outcome::Failed(failure.why().to_owned(), None)),
        };
        let text = String::from_utf8(answer.body).unwrap_or_default();
        match answer.status {
            200 => return read(cx, witness, &tiles.checkpoint, &text).await,
            409 => match number(text.trim_end_matches('\n')) {
                Some(seen) if seen > size => {
                    // Somebody may have shown it a newer checkpoint of this log meanwhile: each of them is public.
                    let newest = Tiles::open(cx).await?.map_or(0, |tiles| tiles.size);
                    let why = format!("it has seen {seen} events of this log, which has {newest}");
                    return Ok(match seen > newest {
                        true => Outcome::Contradicts(why, Some(seen)),
                        false => Outcome::Failed(why, Some(seen)),
                    });
                }
                Some(seen) if seen != old && !is_last => old = seen,
                // Its record has the same size, and another root.
                told if old == size && (told == Some(size) || text.trim().is_empty()) => {
                    let why = format!("it has seen other events among the first {size} of this log");
                    return Ok(Outcome::Contradicts(why, None));
                }
                Some(seen) => return Ok(Outcome::Failed(format!("it has seen {seen} events now"), Some(seen))),
                None => return Ok(Outcome::Failed("it does not say how many events it has seen".to_owned(), None)),
            },
            // Of a log that it has not seen before there is nothing to contradict: whoever answers so is no witness.
            422 if old > 0 => {
                let why =
                    format!("it does not take this log for the successor of the first {old} events that it has seen");
                return Ok(Outcome::Contradicts(why, Some(old)));
            }
            404 => {
                return Ok(Outcome::Failed(
                    "it does not know this log: its operator has to add the log's key (404)".to_owned(),
                    None,
                ));
            }
            403 => return Ok(Outcome::Failed("it knows this log under another key (403)".to_owned(), None)),
            status => return Ok(Outcome::Failed(format!("it answers {status}"), None)),
        }
    }
    Ok(Outcome::Failed("it answers 409 again".to_owned(), Some(old)))
}

/// Reads the cosignature of a witness in its answer.
async fn read(cx: &Cx<'_>, witness: &LogWitness, checkpoint: &str, answer: &str) -> Result<Outcome> {
    let failed = |why: &str| Ok(Outcome::Failed(why.to_owned(), None));
    let Some(key) = Vkey::parse_witness(&witness.key) else { return failed("its key cannot be read") };
    // The lines alone: what stands before the signatures of a note is not the witness' to say.
    let note = [checkpoint.split_once("\n\n").map_or("", |(text, _)| text), "\n\n", answer].concat();
    let Some(cosignature) = key.cosignature_of(&note).filter(|_| !answer.contains("\n\n")) else {
        return failed("its answer has no cosignature of its key");
    };
    if !holds(cx, &key, &cosignature).await? {
        return failed("its cosignature does not hold");
    }
    if cosignature.at > cx.now.seconds().saturating_add(AHEAD_SECONDS) {
        return failed("its clock is ahead");
    }
    Ok(Outcome::Cosigned(cosignature))
}

async fn holds(cx: &Cx<'_>, key: &Vkey, cosignature: &Cosignature) -> Result<bool> {
    let Some(jwk) = PublicJwk::parse(Alg::EdDsa, &key.jwk()) else { return Ok(false) };
    Ok(cx.world.keys.verify(jwk.as_key(), cosignature.message.as_bytes(), &cosignature.signature).await?)
}

/// How each witness of the tenant answers, for administrators.
pub async fn states(cx: &Cx<'_>) -> Result<Value> {
    let witnesses = &cx.tenant.settings.log_witnesses;
    let size = Tiles::open(cx).await?.map_or(0, |tiles| tiles.size);
    let states = cx.all(witnesses::list(&cx.tenant.id)).await?;
    let shown: Vec<Value> = witnesses
        .iter()
        .map(|witness| {
            let state = state_of(&states, witness);
            let covers = Checkpoint::parse(&state.checkpoint).map_or(0, |checkpoint| checkpoint.size);
            let mut members = json!({
                "name": witness.key.split('+').next(),
                "url": witness.url,
                "key": witness.key,
                "size": covers,
                "lag": size.saturating_sub(covers),
                "attempts": state.attempts,
            });
            let optional = [
                ("cosigned_at", state.cosigned_at.map(Value::from)),
                ("failing_since", state.failing_since.map(Value::from)),
                ("next_at", Some(state.not_before).filter(|_| state.attempts > 0).map(Value::from)),
                ("outcome", state.outcome.map(Value::from)),
            ];
            if let Some(members) = members.as_object_mut() {
                members.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            }
            members
        })
        .collect();
    Ok(json!({"size": size, "witnesses": shown}))
}
