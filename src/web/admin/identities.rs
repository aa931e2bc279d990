//! `admin/identities`: the directory of agentic identities, and stopping one.

use super::events::{EVENT, seconds};
use super::{explain, kill, page, parameters};
use crate::context::Peer;
use crate::directory::identities::{self, Recent};
use crate::error::{Reason, Result};
use crate::model::identity::{Entry, Filter};
use crate::model::{Status, Stoppable};
use crate::policy::reach::{self, Reach};
use crate::ports::Now;
use crate::store::consents::Holdings;
use crate::web::schema::objects::STATUS;
use crate::web::schema::{ANY, Kind, Member, members, object};
use crate::web::{AdminCall, Response};
use serde::Serialize;
use serde_json::Value;
use std::net::IpAddr;

/// From where and when the reach of an identity may be asked.
pub const VANTAGE: &[&str] = &["ip", "at"];

/// What a query may say besides `limit` and `cursor`.
pub const PARAMETERS: &[&str] = &["client", "subject", "status"];

const WORDS: Kind = Kind::List(&Kind::Word, ANY);

const SHOWN: &[Member] = members![
    must "id" Kind::Word,
    must "client" Kind::Word,
    may "client_name" Kind::Word,
    must "subject" Kind::Word,
    may "subject_name" Kind::Word,
    may "owner" Kind::Word,
    must "tags" WORDS,
    must "registered_by" Kind::Word,
    must "status" STATUS,
    may "stopped" WORDS,
    may "held" Kind::Word,
    must "status_list_index" Kind::Count,
    must "created_at" Kind::Time,
    must "updated_at" Kind::Time,
];

object!(
    /// An agentic identity.
    IDENTITY = "Identity" [SHOWN]
);

object!(
    /// An agentic identity, what it can reach, and what it did last.
    DETAIL = "IdentityDetail" [SHOWN, members![
        must "consents" Kind::Count,
        must "refresh_families" Kind::Count,
        may "consents_used_at" Kind::Time,
        must "reach" Kind::Object(&REACH),
        must "events" Kind::List(&Kind::Object(&EVENT), ANY),
        must "chains" Kind::List(&Kind::Object(&CHAIN), ANY),
        must "explain" Kind::Object(&LINK),
    ]]
);

object!(
    /// Where an explanation is asked for, and with which body; add `resource` and `scopes`, or `connection`.
    LINK = "ExplainLink" [members![must "url" Kind::Word, must "body" Kind::Json]]
);

object!(
    /// What an agentic identity can reach.
    REACH = "Reach" [members![
        may "ip" Kind::Word,
        must "at" Kind::Time,
        must "scopes" Kind::List(&Kind::Object(&REACHABLE), ANY),
        must "connections" Kind::List(&Kind::Object(&REACHABLE), ANY),
    ]]
);

object!(
    /// Whether a scope or a connection can be reached, and why.
    REACHABLE = "Reachable" [members![
        may "resource" Kind::Word,
        must "name" Kind::Word,
        must "allowed" Kind::Boolean,
        must "policies" WORDS,
        must "because" Kind::Word,
    ]]
);

object!(
    /// A token that has not expired.
    CHAIN = "Chain" [members![
        must "jti_hash" Kind::Word,
        must "chain" WORDS,
        may "chain_names" WORDS,
        may "resource" Kind::Word,
        must "scope" Kind::Word,
        must "expires_at" Kind::Time,
    ]]
);

#[derive(Serialize)]
struct View {
    id: String,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    tags: Vec<String>,
    /// The grant that it was first seen with.
    registered_by: String,
    status: Status,
    /// Who of it is not active.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stopped: Vec<&'static str>,
    /// How its user has stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<&'static str>,
    /// Its index in the status list.
    status_list_index: i64,
    created_at: i64,
    updated_at: i64,
}

/// What can be reached, as asked from that address, or from nowhere, at that moment.
#[derive(Serialize)]
struct From {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    at: i64,
    #[serde(flatten)]
    reach: Reach,
}

/// The address and the moment that the query names.
fn vantage(query: &[(String, String)]) -> Result<(Option<IpAddr>, Option<i64>)> {
    let text = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let ip =
        text("ip").map(|text| text.parse().map_err(|_| Reason::InvalidQuery.because("`ip` must be an IP address")));
    let at = text("at").map(|text| seconds("at", text));
    Ok((ip.transpose()?, at.transpose()?))
}

#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    identity: View,
    /// What its user has allowed it, and the refresh families that came of it.
    consents: i64,
    refresh_families: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    consents_used_at: Option<i64>,
    reach: From,
    /// Newest first.
    events: Vec<Value>,
    /// Tokens that it got last and that have not expired, newest first.
    chains: Vec<Chain>,
    /// How to ask why it gets something or not.
    explain: Value,
}

/// A token, by the digest of its `jti`.
#[derive(Serialize)]
struct Chain {
    jti_hash: String,
    /// Who acts, newest first.
    chain: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chain_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    scope: String,
    expires_at: i64,
}

fn view(entry: Entry) -> View {
    let (status, stopped) = (entry.status, entry.stopped());
    let Entry { identity, client, subject_name, .. } = entry;
    let (client_name, owner, tags) = match client {
        Some(client) => (Some(client.client_name), client.owner, client.tags),
        None => (None, None, vec![]),
    };
    View {
        id: identity.id,
        client: identity.client,
        client_name,
        subject: identity.subject,
        subject_name,
        owner,
        tags,
        registered_by: identity.registered_by,
        status,
        stopped,
        held: identity.held.name(),
        status_list_index: identity.place,
        created_at: identity.created_at,
        updated_at: identity.updated_at,
    }
}

/// The token that an event tells of, if it has not expired.
fn chain(event: &Value, now: i64) -> Option<Chain> {
    let text = |name: &str| event.get(name)?.as_str().map(str::to_owned);
    let expires_at = event.get("expires_at")?.as_i64().filter(|expiry| *expiry > now)?;
    let texts = |name: &str| {
        let list = event.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    (event.get("type")? == "token.issued").then_some(())?;
    Some(Chain {
        jti_hash: text("jti_hash")?,
        chain: texts("chain"),
        chain_names: texts("chain_names"),
        resource: text("resource"),
        scope: text("scope_given")?,
        expires_at,
    })
}

/// Lists identities.
pub async fn list(call: AdminCall<'_>) -> Result<Response> {
    let page = page(call, PARAMETERS)?;
    let status = match page.get("status") {
        Some("active") => Some(Status::Active),
        Some("suspended") => Some(Status::Suspended),
        Some("retired") => Some(Status::Retired),
        None => None,
        Some(_) => return Err(Reason::InvalidQuery.because("`status` must be active, suspended or retired")),
    };
    let filter = Filter { client: page.get("client"), subject: page.get("subject"), status };
    let entries = identities::list(call.cx, &filter, page.after(), page.rows()).await?;
    Ok(page.of(entries, |entry| (entry.identity.id.clone(), view(entry))))
}

/// Shows an identity: who it is, what it can reach, what it did last.
pub async fn get(call: AdminCall<'_>) -> Result<Response> {
    let (cx, now) = (call.cx, call.cx.now.seconds());
    let (ip, at) = vantage(&parameters(call, VANTAGE)?)?;
    let entry = identities::find(cx, call.id(0)?).await?;
    let moment = at.and_then(|at| u64::try_from(at.checked_mul(1_000)?).ok()).map_or(cx.now, Now::from_millis);
    let asking = cx.imagined(moment, Peer { ip, ..Peer::default() });
    let reach =
        From { ip: ip.map(|ip| ip.to_string()), at: moment.seconds(), reach: reach::reach(&asking, &entry).await? };
    let Recent { events, issued } = identities::recent(cx, &entry).await?;
    let Holdings { consents, refresh_families, used_at } = identities::holdings(cx, &entry).await?;
    let explain = explain::link(cx, &entry.identity.client, &entry.identity.subject);
    let chains = issued.iter().filter_map(|event| chain(event, now)).collect();
    Ok(Response::json(
        200,
        &Detail {
            identity: view(entry),
            consents,
            refresh_families,
            consents_used_at: used_at,
            reach,
            events,
            chains,
            explain,
        },
    ))
}

/// Lets a suspended identity go on.
pub async fn resume(call: AdminCall<'_>) -> Result<Response> {
    kill::resume(call, Stoppable::Identity).await?;
    Ok(Response::json(200, &view(identities::find(call.cx, call.id(0)?).await?)))
}
