//! The lines of a consent: what a client asks for, in words, with what policy says of each.
//!
//! 1. A line says what policy would give the client now, for this person, from here; the token endpoint asks again.
//! 2. What is not possible is a line too. Nothing that is granted is none.
//! 3. A line that the request names is ticked, unless it deletes something. Where the request names none, what reads is ticked and nothing
//!    else: the least. Where one line alone is missing of what was allowed before, that is ticked too: the client needs it now.
//! 4. `consent` forbids, and permits nothing: what a client may have, `issue` says.

use super::asked::Asked;
use crate::authn::people::Person;
use crate::cedar::{Action, Circumstance, Required, Verdict};
use crate::context::Cx;
use crate::error::Result;
use crate::model::event::Because;
use crate::model::resource::Effect;
use crate::model::{Client, Consent, User};
use crate::oauth::DEVICE_CODE;
use crate::policy::obligations::{self, Means};
use crate::policy::{self, Inquiry};
use crate::tokens::Target;
use crate::tokens::decide::as_policy_targets;

/// What policy says of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Possible {
    /// It would be given.
    Yes,
    /// It would be given on a condition, which is asked for when it is used.
    AsksAgain,
    /// It would not be given.
    No(Because),
}

/// One scope that the person is asked about.
#[derive(Clone, Debug)]
pub struct Line {
    /// The scope.
    pub scope: String,
    /// What it is, in the words of its resource; nothing for a scope about the person.
    pub description: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// The tool that it stands for.
    pub tool: Option<String>,
    /// What policy says.
    pub possible: Possible,
    /// What is missing, where the user has to sign in anew for it.
    pub lacks_sign_in: Option<Vec<Required>>,
    /// Whether the person has allowed it before.
    pub is_held: bool,
    /// When that ends, in seconds since the epoch; nothing: when it is taken back.
    pub until: Option<i64>,
    /// Whether it is ticked at first.
    pub is_ticked: bool,
}

/// The lines of a request, in the order in which their resource has them; those about the person come first.
pub async fn of(cx: &Cx<'_>, asked: &Asked, person: &Person, consent: Option<&Consent>) -> Result<Vec<Line>> {
    let (client, target, who) = (&asked.client, &asked.target, consenting(asked, person));
    let mut verdicts = verdicts(cx, client, target, who, Action::Issue).await?;
    let details = asked.authorization_details.iter().map(|one| one.kind().to_owned()).collect();
    // The key is proved at the token endpoint.
    let (auth_time, acr) = (Some(person.session.auth_time), person.session.acr.clone());
    let means = Means { auth_time, acr, is_bound: true, details };
    obligations::meet(cx.now, &mut verdicts, &means);
    let forbids = forbidden(cx, client, target, who).await?;
    let held = consent.map(|consent| consent.scope(cx.now.seconds())).unwrap_or_default();
    let allowed = |scope: &str| consent?.lines.iter().find(|line| line.scope == scope);
    let until = |scope: &str| allowed(scope)?.until;
    // What alone is missing is what the client needs now.
    let missing = asked.target.scope.iter().filter(|scope| !held.contains(scope)).count();
    let is_the_difference = !held.is_empty() && missing == 1;
    let mut lines = Vec::new();
    for scope in asked.identity.iter() {
        lines.push(Line {
            scope: scope.to_owned(),
            description: None,
            effect: Effect::Reads,
            tool: None,
            possible: Possible::Yes,
            lacks_sign_in: None,
            is_held: held.contains(scope),
            until: until(scope),
            is_ticked: true,
        });
    }
    for ((scope, verdict), forbid) in asked.target.scope.iter().zip(&verdicts).zip(&forbids) {
        let body = asked.target.resource.body.scopes.iter().find(|body| body.name == scope);
        let possible = forbid.map_or_else(|| possible(verdict), Possible::No);
        let effect = body.map_or(Effect::Changes, |body| body.effect());
        let is_least = match asked.names_scope {
            true => effect != Effect::Deletes || is_the_difference,
            false => effect == Effect::Reads,
        };
        lines.push(Line {
            scope: scope.to_owned(),
            description: body.map(|body| body.description.clone()),
            effect,
            tool: body.and_then(|body| body.tool.clone()),
            possible,
            lacks_sign_in: (possible == Possible::AsksAgain && policy::lacks_sign_in(verdict))
                .then(|| verdict.require.clone()),
            is_held: held.contains(scope),
            until: until(scope),
            is_ticked: possible == Possible::Yes && is_least,
        });
    }
    Ok(lines)
}

fn possible(verdict: &Verdict) -> Possible {
    match policy::refusal(verdict) {
        None => Possible::Yes,
        Some(Because::Requirement) if verdict.can_be_met() => Possible::AsksAgain,
        Some(because) => Possible::No(because),
    }
}

/// Whose consent it is.
#[derive(Clone, Copy)]
pub struct Consenting<'a> {
    /// The user.
    pub user: &'a User,
    /// How the user has authenticated.
    pub acr: Option<&'a str>,
    /// The grant.
    pub grant_type: &'a str,
    /// Whether the token will be bound to a key.
    pub is_bound: bool,
}

fn consenting<'a>(asked: &Asked, person: &'a Person) -> Consenting<'a> {
    let grant_type = if asked.device.is_some() { DEVICE_CODE } else { "authorization_code" };
    let (user, acr, is_bound) = (&person.user, person.session.acr.as_deref(), asked.jkt.is_some());
    Consenting { user, acr, grant_type, is_bound }
}

/// What policy says of each scope of a target, with that user as the subject.
pub(super) async fn verdicts(
    cx: &Cx<'_>,
    client: &Client,
    target: &Target,
    Consenting { user, acr, grant_type, is_bound }: Consenting<'_>,
    action: Action,
) -> Result<Vec<Verdict>> {
    let circumstance = Circumstance {
        grant_type: Some(grant_type.to_owned()),
        auth_method: Some(client.metadata.token_endpoint_auth_method.as_str().to_owned()),
        acr: acr.map(str::to_owned),
        dpop: is_bound || client.metadata.dpop_bound_access_tokens,
        scopes: target.scope.to_vec(),
        chain_tags: policy::shared_tags(cx, &client.id, &user.id, &[]).await?,
        subject: Some(policy::subject(user)),
        ..policy::circumstance(cx)
    };
    let targets = as_policy_targets(target);
    policy::decide(cx, client, Inquiry { action, targets: &targets, circumstance: &circumstance }).await
}

/// Of each scope of a target, why it may not be consented to; nothing if no policy says so.
pub async fn forbidden(
    cx: &Cx<'_>,
    client: &Client,
    target: &Target,
    who: Consenting<'_>,
) -> Result<Vec<Option<Because>>> {
    let verdicts = verdicts(cx, client, target, who, Action::Consent).await?;
    let forbid =
        |verdict: &Verdict| policy::refusal(verdict).filter(|why| matches!(why, Because::Forbidden | Because::Error));
    Ok(verdicts.iter().map(forbid).collect())
}
