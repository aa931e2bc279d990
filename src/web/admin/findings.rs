//! `GET admin/findings`: what a tenant would not miss, and what looks as if somebody else had it, each with the one call that ends it.
//!
//! 1. A page looks at `limit` records: at clients, then at connections, then at consents. So it may have fewer findings than that, or more.

use super::{Page, items, page};
use crate::directory::findings::{self, Finding, KINDS, Remedy};
use crate::error::{Reason, Result};
use crate::store;
use crate::web::negotiation::etag;
use crate::web::schema::{Kind, members, object};
use crate::web::{AdminCall, Response};
use serde_json::{Map, Value, json};

/// What a query may say besides `limit` and `cursor`.
pub const PARAMETERS: &[&str] = &["kind", "unused_days"];
const USUAL_DAYS: i64 = 90;
const MAX_DAYS: i64 = 3_650;
/// Where a page begins: at which records, and behind which of them.
const STAGES: [&str; 3] = ["client", "connection", "consent"];

object!(
    /// A call of the admin API: its path is below `admin/`. `if_match` is the header `If-Match` that it needs.
    REMEDY = "Remedy" [members![
        must "method" Kind::Word,
        must "path" Kind::Word,
        may "body" Kind::Json,
        may "if_match" Kind::Word,
    ]]
);

object!(
    /// A finding.
    FINDING = "Finding" [members![
        must "kind" Kind::Words("FindingKind", || KINDS.map(|(kind, _)| kind).to_vec()),
        must "severity" Kind::Words("Severity", || vec!["low", "medium", "high"]),
        must "target" Kind::Word,
        may "target_name" Kind::Word,
        may "since" Kind::Time,
        must "detail" Kind::Word,
        must "remedy" Kind::Object(&REMEDY),
    ]]
);

/// Lists findings.
pub async fn list(call: AdminCall<'_>) -> Result<Response> {
    let page = page(call, PARAMETERS)?;
    let wanted = page.get("kind");
    if wanted.is_some_and(|wanted| KINDS.iter().all(|(kind, _)| *kind != wanted)) {
        return Err(Reason::InvalidQuery.because("`kind` is no kind of finding"));
    }
    let days = match page.get("unused_days") {
        None => USUAL_DAYS,
        Some(text) => text
            .parse()
            .ok()
            .filter(|days| (1..=MAX_DAYS).contains(days))
            .ok_or_else(|| Reason::InvalidQuery.because("`unused_days` must be 1 to 3650"))?,
    };
    let (found, next) = stage(call, &page, days).await?;
    let views = found.iter().filter(|finding| wanted.is_none_or(|wanted| finding.kind == wanted));
    let views: Vec<_> = views.map(view).collect();
    Ok(items(&views, next.map(|next| page.cursor(&next))))
}

/// The findings of one page, and where the next one begins.
async fn stage(call: AdminCall<'_>, page: &Page, days: i64) -> Result<(Vec<Finding>, Option<String>)> {
    let (cx, tenant, limit) = (call.cx, &call.cx.tenant.id, page.limit());
    let [clients, connections, consents] = STAGES;
    let (stage, after) = page.after().split_once(':').unwrap_or((clients, ""));
    let next = |stage: &str, last: Option<&str>, count: usize, following: Option<&str>| match i64::try_from(count)
        .is_ok_and(|count| count >= limit)
    {
        true => last.map(|last| [stage, ":", last].concat()),
        false => following.map(|following| [following, ":"].concat()),
    };
    if stage == clients {
        let all = cx.all(store::clients::list(tenant, after, limit)).await?;
        let mut found = if page.after().is_empty() { findings::bursts(cx).await? } else { Vec::new() };
        found.extend(findings::of_clients(cx, &all, days).await?);
        let last = all.last().map(|client| client.id.as_str());
        return Ok((found, next(clients, last, all.len(), Some(connections))));
    }
    if stage == connections {
        let all = cx.all(store::connections::list(tenant, after, limit)).await?;
        let found = findings::of_connections(cx, &all, days).await?;
        let last = all.last().map(|connection| connection.name.as_str());
        return Ok((found, next(connections, last, all.len(), Some(consents))));
    }
    let all = cx.all(store::consents::after(tenant, after, limit)).await?;
    let found = findings::of_consents(cx, &all, days);
    let last = all.last().map(|consent| consent.id.as_str());
    Ok((found, next(consents, last, all.len(), None)))
}

fn view(Finding { kind, target, target_name, since, detail, remedy }: &Finding) -> Map<String, Value> {
    let severity = KINDS.iter().find(|(known, _)| known == kind).map(|(_, severity)| *severity);
    let Remedy { method, path, body, version } = remedy;
    let mut call = super::aggregate::object(&json!({"method": method, "path": path}));
    call.extend(body.clone().map(|body| ("body".to_owned(), body)));
    call.extend(version.map(|version| ("if_match".to_owned(), etag(version).into())));
    let all = [
        ("kind", Some(json!(kind))),
        ("severity", severity.map(Value::from)),
        ("target", Some(json!(target))),
        ("target_name", target_name.as_ref().map(|name| json!(name))),
        ("since", since.map(Value::from)),
        ("detail", Some(json!(detail))),
        ("remedy", Some(call.into())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
