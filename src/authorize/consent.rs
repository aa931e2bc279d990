//! What a person decides: writing the consent, with the code under it, in one change.
//!
//! 1. A line is allowed only if it was on the page and is possible now: the page is made anew from the sealed request.
//! 2. What was allowed before stays: a step-up is a union.
//! 3. Authorization details are allowed for the code and what comes of it, never remembered for another request (docs/decisions.md 114).
//! 4. `this time` is not remembered, and brings no refresh token.

use super::asked::{document, parties};
use super::code;
use super::lines::Possible;
use super::request::{Request, refusal_response};
use super::steps::Ask;
use crate::audit;
use crate::authn::people::Person;
use crate::context::{Change, Cx};
use crate::error::{Fault, Reason, Result};
use crate::model::consent::Line;
use crate::model::event::Facts;
use crate::model::{Consent, EventType};
use crate::oauth::{AuthorizationDetail, Scope};
use crate::revocation::consents::{self, By};
use crate::store;
use crate::store::consents::{Answered, Written};

/// For how long a line is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duration {
    /// For the first token alone.
    Once,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// 30 days.
    Month,
    /// Until it is taken back.
    Open,
}

impl Duration {
    /// Every one, the shortest first.
    pub const ALL: [Self; 5] = [Self::Once, Self::Hour, Self::Day, Self::Month, Self::Open];

    /// The name in the form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Open => "open",
        }
    }

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|duration| duration.as_str() == name)
    }

    /// When it is over, in seconds since the epoch; nothing: never.
    fn until(self, now: i64) -> Option<i64> {
        let seconds = match self {
            Self::Once => 0,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Month => 30 * 86_400,
            Self::Open => return None,
        };
        Some(now.saturating_add(seconds))
    }
}

/// A line that the person has ticked.
pub struct Choice {
    /// The scope.
    pub scope: String,
    /// For how long.
    pub duration: Duration,
    /// Whether that was said of this line; else a line that is allowed already keeps its own end.
    pub is_own: bool,
}

/// What the person has ticked.
pub struct Decision {
    /// The scopes.
    pub scopes: Vec<Choice>,
    /// The authorization details, each by its place in the request.
    pub authorization_details: Vec<usize>,
}

/// Allows what the person has ticked; the response for the client.
pub async fn approve(
    cx: &Cx<'_>,
    request: &Request,
    ask: &Ask,
    person: &Person,
    decision: &Decision,
) -> Result<String> {
    let now = cx.now.seconds();
    let possible =
        |scope: &str| ask.lines.iter().any(|line| line.scope == scope && !matches!(line.possible, Possible::No(_)));
    let chosen: Vec<&Choice> = decision.scopes.iter().filter(|choice| possible(&choice.scope)).collect();
    let is_of_resource = |scope: &str| ask.asked.target.scope.contains(scope);
    if !chosen.iter().any(|choice| is_of_resource(&choice.scope)) {
        return Err(Reason::NothingChosen.into());
    }
    let held = |scope: &str| ask.lines.iter().any(|line| line.scope == scope && line.is_held);
    let (as_before, new): (Vec<&Choice>, Vec<&Choice>) =
        chosen.iter().partition(|choice| !choice.is_own && held(&choice.scope));
    let (once, lasting): (Vec<&Choice>, Vec<&Choice>) =
        new.iter().partition(|choice| choice.duration == Duration::Once);
    let once: Scope = once.into_iter().map(|choice| &*choice.scope).collect();
    let names = |choices: &[&Choice], scope: &str| choices.iter().any(|choice| choice.scope == scope);
    // What the person has not seen under this description of the client is gone; so is what could be ticked and is not.
    let stays = |line: &Line| ask.consent.is_some() && (!possible(&line.scope) || names(&as_before, &line.scope));
    let stored = ask.stored.as_ref();
    let goes = |line: &Line| line.is_live(now) && !stays(line) && !names(&lasting, &line.scope);
    let is_narrowed = stored.is_some_and(|consent| consent.lines.iter().any(goes));
    let mut lines: Vec<Line> = stored.map(|consent| consent.lines.clone()).unwrap_or_default();
    lines.retain(|line| line.is_live(now) && stays(line));
    for choice in &lasting {
        lines.push(Line { scope: choice.scope.clone(), until: choice.duration.until(now) });
    }
    let consent = remembered(cx, ask, (person, stored), lines);
    let change = written(cx, request, ask, (&consent, is_narrowed))?;
    let details = ask.asked.authorization_details.iter().enumerate();
    let details = details.filter(|(n, _)| decision.authorization_details.contains(n));
    let authorization_details: Vec<_> = details.map(|(_, detail)| detail.clone()).collect();
    let facts = Facts {
        subject: Some(person.user.id.clone()),
        resource: Some(consent.resource.clone()),
        scope_asked: request.get("scope").map(str::to_owned),
        scope_given: Some(chosen.iter().map(|choice| &*choice.scope).collect::<Scope>().to_string()),
        authorization_details: AuthorizationDetail::print(&authorization_details),
        target: Some(consent.id.clone()),
        detail: Some(consent.redirect_host.clone()),
        ..Facts::default()
    };
    let event = audit::event(cx, EventType::ConsentGranted, Some(&ask.asked.client.id), facts);
    let under = (!consent.lines.is_empty()).then_some(&consent);
    let grant = code::Grant { consent: under, once, authorization_details, change, event: Some(event) };
    code::issue(cx, request, &ask.asked, person, grant).await
}

/// The change that writes the consent, or removes one of which nothing is left. What was issued under lines that the person does not tick any more
/// is not honoured from then on.
fn written(
    cx: &Cx<'_>,
    request: &Request,
    ask: &Ask,
    (consent, is_narrowed): (&Consent, bool),
) -> Result<Option<Change>> {
    let (tenant, stored) = (&cx.tenant.id, ask.stored.as_ref());
    let pushed = request.redeemable(cx, &ask.asked.client.id);
    let answered = Answered { device: ask.asked.device.as_ref().map(|device| &*device.id), pushed: pushed.as_ref() };
    let before = stored.map(lines_json).transpose()?;
    let (guard, kind) = match (consent.lines.is_empty(), stored, before) {
        (false, _, before) => {
            let written = Written { lines: lines_json(consent)?, before, is_narrowed };
            (store::consents::put(tenant, consent, written, answered), EventType::ConsentNarrowed)
        }
        (true, Some(stored), Some(before)) if is_narrowed => (
            store::consents::delete_answering(tenant, stored, before, answered, cx.now.seconds()),
            EventType::ConsentWithdrawn,
        ),
        _ => return Ok(None),
    };
    let change = Change::guard(guard);
    Ok(Some(match stored.filter(|_| is_narrowed) {
        Some(stored) => consents::narrowed(cx, change, (stored, &consent.lines), kind, By::Person),
        None => change,
    }))
}

/// The consent as it will be.
fn remembered(cx: &Cx<'_>, ask: &Ask, (person, stored): (&Person, Option<&Consent>), lines: Vec<Line>) -> Consent {
    let now = cx.now.seconds();
    let parties = parties(&ask.asked, person);
    let (id, version, created_at) = match stored {
        Some(consent) => (consent.id.clone(), consent.version, consent.created_at),
        None => (cx.new_id(), 1, now),
    };
    let used = ask.consent.as_ref().map(|consent| consent.used.clone()).unwrap_or_default();
    Consent {
        id,
        user: parties.user.to_owned(),
        client: parties.client.to_owned(),
        redirect_host: parties.redirect_host.to_owned(),
        resource: parties.resource.to_owned(),
        document: document(&ask.asked.client),
        lines,
        version,
        created_at,
        updated_at: now,
        used,
    }
}

fn lines_json(consent: &Consent) -> Result<String> {
    serde_json::to_string(&consent.lines).map_err(|_| Fault::Broken("a consent has no JSON").into())
}

/// Refuses everything; the response for the client.
pub async fn refuse(cx: &Cx<'_>, request: &Request, ask: &Ask, person: &Person) -> Result<String> {
    let facts = Facts {
        subject: Some(person.user.id.clone()),
        resource: Some(ask.asked.target.resource.body.resource.to_string()),
        scope_asked: Some(ask.asked.target.scope.to_string()),
        ..Facts::default()
    };
    let event = audit::event(cx, EventType::ConsentRefused, Some(&ask.asked.client.id), facts);
    if let Some(device) = &ask.asked.device {
        let change = Change::guard(store::device_codes::deny(&cx.tenant.id, &device.id, cx.now.seconds()));
        return match cx.commit(change.event(event)).await? {
            true => Ok(code::device_page(cx, "denied")),
            false => Err(Reason::ConsentChanged.into()),
        };
    }
    audit::record(cx, &event).await?;
    Ok(refusal_response(cx, request, &ask.asked.redirect_uri, Reason::ConsentDenied))
}
