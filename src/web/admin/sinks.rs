//! `admin/sinks`: where the tenant's trail is sent, and how far each sink has come. A `secret` goes in and never comes out.

use super::aggregate::{Aggregate, Posted, Posting, Shown, object, optional};
use super::page::Page;
use crate::audit::sinks::{KINDS, Verdict};
use crate::context::Cx;
use crate::directory::sinks::{self, Draft};
use crate::error::Result;
use crate::model::sink::{EventForm, MAX_TEXT, SinkState};
use crate::model::{EventType, Sink, SinkBody};
use crate::store;
use crate::store::sinks::Lag;
use crate::web::schema::{Kind, Member, Object, members, object, sent};
use crate::web::{AdminCall, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const MAX_URL: usize = 2_000;
const KIND: Kind = Kind::Words("SinkKind", || KINDS.map(|kind| kind.name).to_vec());
const FORM: Kind = Kind::Words("SinkForm", || EventForm::ALL.map(EventForm::as_str).to_vec());
const TYPE: Kind = Kind::Words("EventType", || EventType::ALL.iter().map(|kind| kind.as_str()).collect());
const STATES: [&str; 4] = ["current", "behind", "failing", "disabled"];
/// The highest sequence number that a body may name: what D1 carries.
const LAST: i64 = 1 << 53;

const BODY_MEMBERS: &[Member] = members![
    must "kind" KIND,
    must "url" Kind::Text(MAX_URL),
    may "config" Kind::Json,
    may "form" FORM,
    may "events" Kind::List(&TYPE, EventType::ALL.len()),
    may "description" Kind::Note(MAX_TEXT),
    may "enabled" Kind::Boolean,
];

const SHOWN: &[Member] = members![
    must "id" Kind::Word,
    must "form" FORM,
    must "enabled" Kind::Boolean,
    must "created_at" Kind::Time,
    must "updated_at" Kind::Time,
];

object!(
    /// What a sink is made with. It gets what comes after it was made, or everything from the sequence number `from` on.
    NEW = "NewSink" [BODY_MEMBERS, members![may "secret" Kind::Json, may "from" Kind::Whole(0, LAST)]]
);

object!(
    /// What a sink is changed to: as shown, or without what only the server sets. Its secret stays unless another is sent.
    PUT_BODY = "SinkUpdate" [BODY_MEMBERS, members![
        may "secret" Kind::Json,
        read "id" Kind::Word,
        read "created_at" Kind::Time,
        read "updated_at" Kind::Time,
    ]]
);

object!(
    /// A sink, without its secret.
    SINK = "Sink" [BODY_MEMBERS, SHOWN]
);

object!(
    /// A sink that was just made, with the secret that signs if it was made here.
    MADE = "MadeSink" [BODY_MEMBERS, SHOWN, members![may "signing_secret" Kind::Word]]
);

object!(
    /// How far a sink has come.
    STATE = "SinkState" [members![
        must "state" Kind::Words("SinkStateName", || STATES.to_vec()),
        may "position" Kind::Count,
        may "head" Kind::Count,
        may "lag" Kind::Count,
        may "lag_seconds" Kind::Count,
        must "taken" Kind::Count,
        must "missed" Kind::Count,
        may "taken_at" Kind::Time,
        may "attempts" Kind::Count,
        may "outcome" Kind::Word,
        may "failing_since" Kind::Time,
        may "next_attempt_at" Kind::Time,
    ]]
);

object!(
    /// From which sequence number on a sink is to be sent again.
    REPLAY = "SinkReplay" [members![must "from" Kind::Whole(0, LAST)]]
);

object!(
    /// What became of a trial.
    TESTED = "SinkTest" [members![must "taken" Kind::Boolean, may "outcome" Kind::Word]]
);

/// What an administrator sends.
#[derive(Deserialize)]
pub struct SinkInput {
    #[serde(flatten)]
    body: SinkBody,
    #[serde(default)]
    secret: Option<Map<String, Value>>,
    #[serde(default)]
    from: Option<i64>,
}

impl SinkInput {
    fn draft(&self) -> Draft {
        Draft { body: self.body.clone(), secret: self.secret.clone() }
    }
}

/// Sinks.
pub struct Sinks;

impl Aggregate for Sinks {
    type Record = Sink;
    type Body = SinkInput;

    const PATH: &'static str = "sinks";
    const BODY: Object = PUT_BODY;
    const FILTERS: &'static [&'static str] = &[];

    fn id(sink: &Sink) -> (&str, i64) {
        (&sink.id, sink.version)
    }

    fn view(_: &Cx<'_>, sink: &Sink) -> Map<String, Value> {
        Shown {
            id: ("id", &sink.id),
            body: &sink.body,
            status: None,
            created: ("created_at", sink.created_at),
            updated_at: sink.updated_at,
        }
        .members()
    }

    async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<Sink>> {
        optional(sinks::find(cx, id).await)
    }

    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<Sink>> {
        cx.all(store::sinks::list(&cx.tenant.id, page.after(), page.rows())).await
    }

    async fn problems(cx: &Cx<'_>, input: &SinkInput) -> Result<Vec<String>> {
        Ok(sinks::problems(cx, &input.draft()))
    }

    async fn update(call: AdminCall<'_>, present: Sink, input: SinkInput) -> Result<Sink> {
        sinks::update(call.cx, present, input.draft(), call.admin).await
    }

    async fn delete(call: AdminCall<'_>, present: &Sink) -> Result<()> {
        sinks::delete(call.cx, present, call.admin).await
    }
}

impl Posted for Sinks {
    type New = SinkInput;

    const NEW: Object = NEW;

    async fn problems_of_new(cx: &Cx<'_>, input: &SinkInput) -> Result<Vec<String>> {
        Self::problems(cx, input).await
    }

    fn create(call: AdminCall<'_>, input: SinkInput) -> Result<Posting<Sink>> {
        let start = input.from.map(|from| from.saturating_sub(1));
        let (creation, minted) = sinks::create(call.cx, input.draft(), start, call.admin)?;
        let once = minted.map(|secret| object(&json!({"signing_secret": secret.expose()}))).unwrap_or_default();
        Ok(Posting { creation, once })
    }
}

/// Shows how far a sink has come.
pub async fn state(call: AdminCall<'_>) -> Result<Response> {
    let (cx, tenant) = (call.cx, &call.cx.tenant.id);
    let sink = sinks::find(cx, call.id(0)?).await?;
    // A state of another run is about what was before.
    let state = cx.trail().one(store::sinks::state(tenant, &sink.id)).await?.filter(|state| state.run == sink.run);
    let position = state.as_ref().map(|state| state.position);
    let lag = cx.trail().one(store::sinks::lag(tenant, position.unwrap_or(-1))).await?;
    let lag = lag.unwrap_or(Lag { head: -1, next_at: None });
    Ok(Response::json(200, &view(cx, &sink, state.as_ref(), &lag)))
}

fn view(cx: &Cx<'_>, sink: &Sink, state: Option<&SinkState>, Lag { head, next_at }: &Lag) -> Map<String, Value> {
    let [current, behind, failing, disabled] = STATES;
    let attempts = state.map(|state| state.attempts).unwrap_or_default();
    let position = state.map(|state| state.position);
    let name = match (sink.body.enabled, attempts, position) {
        (false, ..) => disabled,
        (true, 1.., _) => failing,
        (true, _, Some(position)) if position >= *head => current,
        (true, ..) => behind,
    };
    let seconds = |millis: i64| json!(millis.div_euclid(1_000));
    let now = i64::try_from(cx.now.millis()).unwrap_or(i64::MAX);
    let lag = position.map(|position| head.saturating_sub(position).max(0));
    let lag_millis = next_at.filter(|_| position.is_some()).map(|at| now.saturating_sub(at).max(0));
    let (taken, missed) = state.map(|state| (state.taken, state.missed)).unwrap_or_default();
    let mut members = object(&json!({"state": name, "taken": taken, "missed": missed}));
    let failing = |value: Option<Value>| value.filter(|_| attempts > 0);
    let more = [
        ("position", position.filter(|position| *position >= 0).map(Value::from)),
        ("head", Some(*head).filter(|head| *head >= 0).map(Value::from)),
        ("lag", lag.map(Value::from)),
        ("lag_seconds", lag_millis.map(seconds)),
        ("taken_at", state.and_then(|state| state.taken_at).map(seconds)),
        ("attempts", failing(Some(attempts.into()))),
        ("outcome", state.and_then(|state| state.outcome.clone()).map(Value::from)),
        ("failing_since", state.and_then(|state| state.failing_since).map(seconds)),
        ("next_attempt_at", failing(state.map(|state| seconds(state.not_before)))),
    ];
    members.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    members
}

/// Sends an event to try a sink.
pub async fn test(call: AdminCall<'_>) -> Result<Response> {
    let present = sinks::find(call.cx, call.id(0)?).await?;
    let outcome = match sinks::test(call.cx, &present, call.admin).await? {
        Verdict::Taken(0) => None,
        Verdict::Taken(_) => Some("it has rejected the event".to_owned()),
        Verdict::Refused(why) | Verdict::Failed(why) => Some(why),
    };
    let taken = outcome.is_none();
    let mut members = object(&json!({"taken": taken}));
    members.extend(outcome.map(|outcome| ("outcome".to_owned(), outcome.into())));
    Ok(Response::json(200, &members))
}

/// Has a sink sent again from a sequence number on.
pub async fn replay(call: AdminCall<'_>) -> Result<Response> {
    let present = sinks::find(call.cx, call.id(0)?).await?;
    let body: Map<String, Value> = sent(call.request)?.read_plain(&REPLAY).await?;
    let from = body.get("from").and_then(Value::as_i64).unwrap_or_default();
    sinks::replay(call.cx, &present, from, call.admin).await?;
    Ok(Response::empty(204))
}
