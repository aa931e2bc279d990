//! Findings: what a tenant would not miss, and what looks as if somebody else had it.
//!
//! In scope: looking at clients, connections and consents in the order of their ids, a bounded number at a time. Out of scope: doing anything about it; each
//! finding says the one call that would.
//!
//! 1. What is asked of the trail is bounded for each record (`SAMPLE` tokens): a client that gets more shows by its newest.

use crate::audit::query;
use crate::context::Cx;
use crate::error::Result;
use crate::model::id::{first_at, is_user};
use crate::model::{Client, Connection, Consent, Status};
use crate::store;
use crate::store::findings::Sample;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// How many tokens of a client are looked at, in either period.
const SAMPLE: i64 = 200;
const DAY: i64 = 86_400;
/// After how many days a secret is old.
const SECRET_DAYS: i64 = 180;
/// How many refusals of a client in an hour are a burst, and how many bursts are told.
const BURST: i64 = 20;
const BURSTS: i64 = 50;

/// The kinds of findings, with how much each matters.
pub const KINDS: [(&str, &str); 9] = [
    ("client_without_owner", "medium"),
    ("client_owner_gone", "high"),
    ("client_unused", "medium"),
    ("client_scope_unused", "low"),
    ("secret_old", "medium"),
    ("client_new_network", "high"),
    ("denied_burst", "high"),
    ("connection_unused", "low"),
    ("consent_unused", "low"),
];

/// Something that an administrator may want to do something about.
pub struct Finding {
    /// Its kind.
    pub kind: &'static str,
    /// The record: an id or a name.
    pub target: String,
    /// What it is called.
    pub target_name: Option<String>,
    /// Since when it is so, in seconds.
    pub since: Option<i64>,
    /// In words.
    pub detail: String,
    /// The one call that ends it.
    pub remedy: Remedy,
}

/// A call of the admin API.
pub struct Remedy {
    /// The method.
    pub method: &'static str,
    /// The path below `admin/`.
    pub path: String,
    /// The body.
    pub body: Option<Value>,
    /// The version that the call is for.
    pub version: Option<i64>,
}

impl Remedy {
    fn call(method: &'static str, path: String) -> Self {
        Self { method, path, body: None, version: None }
    }

    fn suspend(client: &str) -> Self {
        Self::call("POST", format!("clients/{}/suspend", encoded(client)))
    }
}

/// An id as it stands in a path: that of a client may be a URL.
fn encoded(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%5F", "_")
        .replace("%2D", "-")
}

/// Bursts of refusals in the last day. Those that merely name a client do not count: anybody can make them.
pub async fn bursts(cx: &Cx<'_>) -> Result<Vec<Finding>> {
    query::count(cx).await?;
    let since = cx.now.seconds().saturating_sub(DAY);
    let found = cx.trail().all(store::counts::bursts(&cx.tenant.id, (since, BURST), BURSTS)).await?;
    let ids = Value::from(found.iter().map(|(client, ..)| client.as_str()).collect::<Vec<_>>()).to_string();
    let mut clients = cx.all(store::clients::some(&cx.tenant.id, ids)).await?;
    // Of one that is stopped or gone nothing is left to do.
    clients.retain(|client| client.status == Status::Active);
    let finding = |(id, hour, refused): (String, i64, i64)| {
        let client = clients.iter().find(|client| client.id == id)?;
        Some(Finding {
            kind: "denied_burst",
            remedy: Remedy::suspend(&id),
            target: id,
            target_name: Some(client.metadata.client_name.clone()),
            since: Some(hour),
            detail: format!("{refused} requests that it has proved to be its own were refused within an hour"),
        })
    };
    Ok(found.into_iter().filter_map(finding).collect())
}

/// What is found of these clients. `days` says how long something has to be unused.
pub async fn of_clients(cx: &Cx<'_>, clients: &[Client], days: i64) -> Result<Vec<Finding>> {
    let (tenant, now) = (&cx.tenant.id, cx.now.seconds());
    let active: Vec<&Client> = clients.iter().filter(|client| client.status == Status::Active).collect();
    if active.is_empty() {
        return Ok(Vec::new());
    }
    let since = now.saturating_sub(days.saturating_mul(DAY));
    let ids = Value::from(active.iter().map(|client| client.id.as_str()).collect::<Vec<_>>()).to_string();
    let owners: BTreeSet<&str> =
        active.iter().filter_map(|client| client.metadata.owner.as_deref()).filter(|owner| is_user(owner)).collect();
    let owners = Value::from(owners.into_iter().collect::<Vec<_>>()).to_string();
    let present: BTreeSet<String> = cx.all(store::findings::active_users(tenant, owners)).await?.into_iter().collect();
    let at = |seconds: i64| first_at(seconds.saturating_mul(1_000));
    let samples = store::findings::samples(tenant, ids.clone(), (&at(since), &at(now.saturating_sub(DAY))), SAMPLE);
    let (last, samples) = cx.trail().batch((store::events::last_tokens(tenant, ids), samples)).await?;
    let last: HashMap<String, i64> = last.into_iter().collect();
    let samples: HashMap<String, Sample> = samples.into_iter().collect();
    let mut all = Vec::new();
    for client in active {
        let used = last.get(&client.id).map(|millis| millis.div_euclid(1_000));
        all.extend(of_client(client, used, samples.get(&client.id), &Moments { now, since, days }, &present));
    }
    Ok(all)
}

struct Moments {
    now: i64,
    since: i64,
    days: i64,
}

fn of_client(
    client: &Client,
    used: Option<i64>,
    sample: Option<&Sample>,
    Moments { now, since, days }: &Moments,
    present: &BTreeSet<String>,
) -> Vec<Finding> {
    let found = |kind: &'static str, since: Option<i64>, detail: String, remedy: Remedy| Finding {
        kind,
        target: client.id.clone(),
        target_name: Some(client.metadata.client_name.clone()),
        since,
        detail,
        remedy,
    };
    let suspend = || Remedy::suspend(&client.id);
    let mut all = Vec::new();
    match client.metadata.owner.as_deref() {
        None => all.push(found(
            "client_without_owner",
            Some(client.created_at),
            "nobody answers for it".to_owned(),
            suspend(),
        )),
        Some(owner) if is_user(owner) && !present.contains(owner) => {
            all.push(found(
                "client_owner_gone",
                None,
                format!("its owner {owner} is not there or was stopped"),
                suspend(),
            ));
        }
        Some(_) => {}
    }
    let is_old = client.created_at <= *since;
    let idle = used.unwrap_or(client.updated_at);
    if is_old && idle <= *since {
        all.push(found("client_unused", Some(idle), format!("it got no token for {days} days"), suspend()));
    } else if let (true, Some(sample)) = (is_old, sample) {
        all.extend(
            unused_scope(client, sample, *days)
                .map(|(detail, remedy)| found("client_scope_unused", Some(*since), detail, remedy)),
        );
    }
    let oldest = client
        .secrets
        .iter()
        .filter(|secret| secret.expires_at.is_none_or(|end| end > *now))
        .min_by_key(|secret| secret.created_at);
    if let Some(secret) =
        oldest.filter(|secret| secret.created_at <= now.saturating_sub(SECRET_DAYS.saturating_mul(DAY)))
    {
        let path = format!("clients/{}/secrets", encoded(&client.id));
        let detail = format!(
            "its secret {} is older than {SECRET_DAYS} days: make another, and remove it once that is in use",
            secret.id
        );
        all.push(found("secret_old", Some(secret.created_at), detail, Remedy::call("POST", path)));
    }
    if let Some(sample) = sample {
        let known: BTreeSet<String> = sample.before.iter().filter_map(|ip| network(ip)).collect();
        let new: BTreeSet<String> =
            sample.recent.iter().filter_map(|ip| network(ip)).filter(|net| !known.contains(net)).collect();
        if !known.is_empty() && !new.is_empty() {
            let named: Vec<String> = new.into_iter().take(5).collect();
            let detail = format!("in the last day it came from {}, where it was not seen before", named.join(", "));
            all.push(found("client_new_network", Some(now.saturating_sub(DAY)), detail, suspend()));
        }
    }
    all
}

/// The scope that a client may have and got no token with; nothing where its newest tokens say too little.
fn unused_scope(client: &Client, sample: &Sample, days: i64) -> Option<(String, Remedy)> {
    let ceiling = client.metadata.scope.as_ref()?;
    let is_whole = i64::try_from(sample.tokens).unwrap_or(i64::MAX) < SAMPLE;
    let used: BTreeSet<&str> = sample.scopes.iter().flat_map(|scope| scope.split(' ')).collect();
    let ceiling = ceiling.to_string();
    let (kept, unused): (Vec<&str>, Vec<&str>) = ceiling.split(' ').partition(|scope| used.contains(scope));
    if !is_whole || unused.is_empty() || kept.is_empty() {
        return None;
    }
    let mut body = serde_json::to_value(&client.metadata).ok()?;
    body.as_object_mut()?.insert("scope".to_owned(), json!(kept.join(" ")));
    let path = format!("clients/{}", encoded(&client.id));
    let remedy = Remedy { method: "PUT", path, body: Some(body), version: Some(client.version) };
    Some((format!("no token of {days} days had {}", unused.join(" ")), remedy))
}

/// The network of an address: /24, or /48 of IPv6.
fn network(ip: &str) -> Option<String> {
    match ip.parse().ok()? {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Some(format!("{a}.{b}.{c}.0/24"))
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            Some(format!("{a:x}:{b:x}:{c:x}::/48"))
        }
    }
}

/// What is found of these connections.
pub async fn of_connections(cx: &Cx<'_>, connections: &[Connection], days: i64) -> Result<Vec<Finding>> {
    let since = cx.now.seconds().saturating_sub(days.saturating_mul(DAY));
    let old = connections.iter().filter(|one| one.status == Status::Active && one.updated_at <= since);
    let names: Vec<&str> = old.clone().map(|one| one.name.as_str()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let from = first_at(since.saturating_mul(1_000));
    let unused = cx
        .trail()
        .all(store::findings::unused_connections(&cx.tenant.id, Value::from(names).to_string(), &from))
        .await?;
    let found = old.filter(|one| unused.contains(&one.name)).map(|one| Finding {
        kind: "connection_unused",
        target: one.name.clone(),
        target_name: None,
        since: Some(one.updated_at),
        detail: format!("nobody has leased it or called through it for {days} days"),
        remedy: Remedy::call("POST", format!("connections/{}/suspend", one.name)),
    });
    Ok(found.collect())
}

/// What is found of these consents.
pub fn of_consents(cx: &Cx<'_>, consents: &[Consent], days: i64) -> Vec<Finding> {
    let now = cx.now.seconds();
    let since = now.saturating_sub(days.saturating_mul(DAY));
    let last = |consent: &Consent| {
        consent.lines.iter().map(|line| consent.used_at(&line.scope)).max().unwrap_or(consent.updated_at)
    };
    let unused = consents.iter().map(|consent| (consent, last(consent))).filter(|(_, last)| *last <= since);
    let found = unused.map(|(consent, last)| Finding {
        kind: "consent_unused",
        target: consent.id.clone(),
        target_name: None,
        since: Some(last),
        detail: format!(
            "{} has let {} use {}, and no token had any of it for {days} days",
            consent.user, consent.client, consent.resource
        ),
        remedy: Remedy::call("DELETE", format!("consents/{}", consent.id)),
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn addresses_of_one_network_are_one() {
        assert_eq!(network("192.0.2.7").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(network("2001:db8:1:2::3").as_deref(), Some("2001:db8:1::/48"));
        assert_eq!(network("nowhere"), None);
    }
}
