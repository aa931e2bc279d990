//! What a policy that is otherwise fine, or a client's ceiling, probably does not mean.
//!
//! In scope: names that match nothing in the tenant, statements that other policies make pointless, and what the text alone tells
//! (`cedar::advice`). Nothing here keeps a policy from being written: what it names may be made later.

use super::shards;
use crate::cedar::{self, Complaint, Home, Mention, Source};
use crate::context::Cx;
use crate::error::{Fault, Result};
use crate::oauth::Scope;
use crate::store;
use std::collections::BTreeSet;

/// The most names that are looked up at a time, and the most warnings in one answer.
const MAX_LOOKED_UP: usize = 200;
/// How many policies of a shard are looked at.
const MAX_BESIDE: i64 = 100;
const MAX_WARNINGS: usize = 32;

/// What to think about again, each with line and column.
pub async fn warnings(cx: &Cx<'_>, source: &Source) -> Result<Vec<String>> {
    let mut found = cedar::advice(&source.cedar);
    found.extend(unmatched(cx, &source.cedar).await?);
    found.extend(cedar::overlaps(source, &beside(cx, source).await?));
    found.sort();
    Ok(found.iter().take(MAX_WARNINGS).map(Complaint::line).collect())
}

/// Policies that could make a statement of this one pointless: the first of those that lie in its shard and in the one that every question
/// reads.
async fn beside(cx: &Cx<'_>, source: &Source) -> Result<Vec<Source>> {
    let shards = shards::names(&BTreeSet::from([Home::Everywhere, Home::of(&source.cedar)]));
    let mut found = Vec::new();
    for shard in shards {
        found.extend(cx.all(store::policies::first_in_shard(&cx.tenant.id, &shard, MAX_BESIDE)).await?);
    }
    Ok(found.into_iter().map(|policy| policy.source).collect())
}

/// Scopes in a client's ceiling that no resource of the tenant has.
pub async fn unknown_scopes(cx: &Cx<'_>, ceiling: &Scope) -> Result<Vec<String>> {
    let names: Vec<Mention> =
        ceiling.iter().map(|name| Mention::Name(name.to_owned())).filter(is_foreign(cx)).collect();
    let unknown = missing(cx, &names).await?;
    let names = unknown.into_iter().filter_map(|at| names.get(at)).map(words).take(MAX_WARNINGS);
    Ok(names
        .map(|(_, name)| format!("`scope`: no resource has a scope `{name}` yet; is it spelt as registered?"))
        .collect())
}

/// Passes names of what is registered in the tenant: its own APIs are registered nowhere.
fn is_foreign(cx: &Cx<'_>) -> impl Fn(&Mention) -> bool {
    let own = cx.issuer() + "/";
    move |mention| match mention {
        Mention::Resource(name) | Mention::Scope(name) => !name.starts_with(&own),
        Mention::Name(name) => !["admin", "admin:read", "ssf.manage", "ssf.read"].contains(&name.as_str()),
        _ => true,
    }
}

async fn unmatched(cx: &Cx<'_>, cedar: &str) -> Result<Vec<Complaint>> {
    let is_foreign = is_foreign(cx);
    let (places, mentions): (Vec<usize>, Vec<Mention>) =
        cedar::mentions(cedar).into_iter().filter(|(_, mention)| is_foreign(mention)).unzip();
    let found = missing(cx, &mentions).await?.into_iter().filter_map(|at| Some((*places.get(at)?, mentions.get(at)?)));
    Ok(found.map(|(place, mention)| Complaint::at(cedar, place, message(mention))).collect())
}

/// Which of the first names, [`MAX_LOOKED_UP`] at the most, match nothing in the tenant.
async fn missing(cx: &Cx<'_>, mentions: &[Mention]) -> Result<Vec<usize>> {
    if mentions.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<(&str, &str)> = mentions.iter().map(words).take(MAX_LOOKED_UP).collect();
    let names = serde_json::to_string(&names).map_err(|_| Fault::Broken("names have no JSON"))?;
    let missing = cx.all(store::policies::unmatched(&cx.tenant.id, names)).await?;
    Ok(missing.into_iter().filter_map(|at| usize::try_from(at).ok()).collect())
}

/// The kind and the name, as the query takes them.
fn words(mention: &Mention) -> (&'static str, &str) {
    match mention {
        Mention::Client(name) => ("client", name),
        Mention::User(name) => ("user", name),
        Mention::Resource(name) => ("resource", name),
        Mention::Scope(name) => ("scope", name),
        Mention::Connection(name) => ("connection", name),
        Mention::Name(name) => ("name", name),
    }
}

fn message(mention: &Mention) -> String {
    match mention {
        Mention::Client(id) => format!("no client has the id `{id}`"),
        Mention::User(id) => format!("no user has the id `{id}`"),
        Mention::Resource(uri) => format!("no resource is registered as `{uri}`"),
        Mention::Scope(id) => {
            format!("no resource has the scope `{id}` (an id is the resource's URI, a space, and the scope)")
        }
        Mention::Connection(name) => format!("no connection is called `{name}`"),
        Mention::Name(name) => format!("no resource has a scope `{name}`, and no connection is called so"),
    }
}
