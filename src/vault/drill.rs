//! Stopping everything that reaches a service: all connections to it are suspended by one request.
//!
//! 1. A connection is meant by its service in the catalogue, by its kind, or by a host that stands in a URL of its own or of its service
//!    (docs/requirements.md R294). A host stands for all below it.
//! 2. Connections are suspended a page at a time, each page in one transaction with an event for each; what is stopped already stays as it
//!    is. A request that was lost is sent again.
//! 3. What stops leases, calls and streams is the check that they make anyway (`permit`): within the freshness bound.

use super::service::{self, Service};
use crate::audit;
use crate::context::{Change, Cx};
use crate::directory::connections::{ConnectionKey, KeptTokensKey};
use crate::error::{Fault, Result};
use crate::model::event::Facts;
use crate::model::{Connection, EventType, Status};
use crate::revocation::kill;
use crate::store;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use url::Url;

/// How many connections are read and suspended at once, and how often in one request.
const PAGE: i64 = 100;
const PAGES: usize = 20;

/// Which connections are meant.
pub enum Reaching {
    /// Those of a service of the catalogue.
    Service(String),
    /// Those of a kind.
    Kind(String),
    /// Those that have to do with a host, or with one below it.
    Host(String),
}

/// What was suspended.
#[derive(Debug, Default, Serialize)]
pub struct Suspended {
    /// How many.
    pub suspended: usize,
    /// Their names.
    pub connections: Vec<String>,
    /// From then on no part of Writ uses them: the freshness bound has passed.
    pub not_honoured_after: i64,
    /// The name after which the next request has to go on; absent where all were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Suspends every active connection that is meant, after the name `after`.
pub async fn suspend(cx: &Cx<'_>, admin: &str, reaching: &Reaching, mut after: String) -> Result<Suspended> {
    let (tenant, now) = (&cx.tenant.id, cx.now);
    let mut done = Suspended { not_honoured_after: kill::holds_from(cx, now.millis()), ..Suspended::default() };
    for _ in 0..PAGES {
        let page = cx.all(store::connections::list(tenant, &after, PAGE)).await?;
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or_default();
        if let Some(last) = page.last() {
            after.clone_from(&last.name);
        }
        let meant = page.into_iter().filter(|one| one.status == Status::Active && reaching.means(one));
        let names: Vec<String> = meant.map(|connection| connection.name).collect();
        if !names.is_empty() && cx.commit(change(cx, admin, &names)?).await? {
            done.suspended = done.suspended.saturating_add(names.len());
            done.connections.extend(names);
        }
        if is_last {
            return Ok(done);
        }
    }
    Ok(Suspended { next_cursor: Some(after), ..done })
}

fn change(cx: &Cx<'_>, admin: &str, names: &[String]) -> Result<Change> {
    let json = serde_json::to_string(names).map_err(|_| Fault::Broken("names have no JSON"))?;
    let change = Change::guard(store::connections::suspend(&cx.tenant.id, json, cx.now.seconds()));
    Ok(names.iter().fold(change, |change, name| {
        let facts = Facts { target: Some(name.clone()), connection: Some(name.clone()), ..Facts::default() };
        change.invalidates(&ConnectionKey(name)).invalidates(&KeptTokensKey(name)).event(audit::event(
            cx,
            EventType::ConnectionSuspended,
            Some(admin),
            facts,
        ))
    }))
}

impl Reaching {
    fn means(&self, connection: &Connection) -> bool {
        let config = &connection.settings.config;
        match self {
            Self::Service(name) => config.get("service").and_then(Value::as_str) == Some(name),
            Self::Kind(kind) => connection.kind == *kind,
            Self::Host(host) => {
                let own = described(config).and_then(|service| serde_json::to_value(service).ok());
                let is_meant = |text: &str| is_at(text, host);
                holds(config, &is_meant) || own.is_some_and(|service| holds(&service, &is_meant))
            }
        }
    }
}

/// The service of a config, with its settings filled in.
fn described(config: &Value) -> Option<Service> {
    let settings = config.get("settings").cloned().unwrap_or_default();
    let settings: BTreeMap<String, String> = serde_json::from_value(settings).unwrap_or_default();
    let service = Service { docs: String::new(), ..service::find(config.get("service")?).ok()? };
    service.with_settings(&settings).ok()
}

/// Whether a text in the value is meant.
fn holds(value: &Value, is_meant: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_meant(text),
        Value::Array(items) => items.iter().any(|item| holds(item, is_meant)),
        Value::Object(members) => members.values().any(|member| holds(member, is_meant)),
        _ => false,
    }
}

/// Whether a text is a URL at that host or below it.
fn is_at(text: &str, host: &str) -> bool {
    let url = text.contains("://").then(|| Url::parse(text).ok()).flatten();
    let found = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    found.strip_suffix(host).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stands_for_itself_and_for_all_below_it() {
        for (text, is_meant) in [
            ("https://slack.com/api", true),
            ("https://api.SLACK.com", true),
            ("https://notslack.com", false),
            ("https://slack.com.evil.example", false),
            ("https://evil.example/slack.com", false),
            ("slack.com", false),
        ] {
            assert_eq!(is_at(text, "slack.com"), is_meant, "{text}");
        }
    }
}
