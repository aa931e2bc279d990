//! What keeps a question from being answered as policy says: for explanations, which only read.
//!
//! In scope: stopped parties, connections that cannot be used, a tenant's quota of tokens. Out of scope: what policy says (`policy::explain`).

use super::check::{self, Parties};
use crate::cedar::{Action, Target};
use crate::context::Cx;
use crate::directory::{clients, connections};
use crate::error::{Error, Rejection, Result};
use crate::model::{ClientKind, Status};
use crate::policy::question::Question;
use crate::store;

/// Why a question is refused now whatever policy says; nothing if it is not.
pub async fn stopped(cx: &Cx<'_>, question: &Question) -> Result<Option<String>> {
    if question.action == Action::Register {
        return Ok(None);
    }
    let about = &question.circumstance;
    let subject = about.subject.as_ref().map_or(&question.client.id, |user| &user.id);
    let actors: Vec<&str> = about.chain.iter().map(String::as_str).collect();
    let parties = Parties { client: &question.client.id, subject, actors: &actors, chain: &[], issued_at: None };
    let why = match check::check(cx, &parties).await {
        Ok(_) => None,
        Err(Rejection::Because(why)) => Some(why),
        Err(Rejection::Error(fault @ Error::Fault(_))) => return Err(fault),
        Err(_) => Some("a party of it is stopped"),
    };
    if let Some(why) = why {
        return Ok(Some(["a token about it is refused: ", why].concat()));
    }
    if let Some(Target::Connection { name, .. }) = question.targets.first() {
        let found = connections::load(cx, name).await?;
        if found.is_none_or(|connection| connection.status != Status::Active) {
            return Ok(Some("there is no such connection, or it is stopped".to_owned()));
        }
    }
    let Some(id) = &about.resource_server else { return Ok(None) };
    let server = clients::load(cx, id).await?.filter(|server| server.is_live(cx.now));
    let is_one = server.is_some_and(|server| server.metadata.kind == ClientKind::ResourceServer);
    Ok((!is_one).then(|| "the resource server is none, or it is stopped".to_owned()))
}

/// What the tenant's quota of tokens says of this minute; nothing where there is none for the question.
pub async fn quota(cx: &Cx<'_>, question: &Question) -> Result<Option<String>> {
    let is_token = matches!(question.action, Action::Issue | Action::Exchange | Action::Impersonate);
    let quota = cx.tenant.settings.quotas.as_ref().and_then(|quotas| quotas.tokens_per_minute);
    let Some(quota) = quota.filter(|_| is_token) else { return Ok(None) };
    let minute = cx.now.seconds().div_euclid(60);
    let taken = cx.one(store::quotas::taken(&cx.tenant.id, minute)).await?.unwrap_or_default();
    let left = i64::from(quota).saturating_sub(taken).max(0);
    Ok(Some(format!("the tenant's quota of {quota} tokens a minute has {left} left for isolates to claim")))
}
