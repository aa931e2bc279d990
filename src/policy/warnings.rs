//! What a policy that is otherwise fine probably does not mean.
//!
//! In scope: names that match nothing in the tenant, permits for everything, hours that never come. Nothing here keeps a policy from
//! being written: what it names may be made later.

use crate::cedar::{self, Complaint, Mention};
use crate::context::Cx;
use crate::error::{Fault, Result};
use crate::store;

/// The most names that are looked up for one policy, and the most warnings in one answer.
const MAX_LOOKED_UP: usize = 200;
const MAX_WARNINGS: usize = 32;

/// What to think about again, each with line and column.
pub async fn warnings(cx: &Cx<'_>, cedar: &str) -> Result<Vec<String>> {
    let mut found = cedar::advice(cedar);
    found.extend(unmatched(cx, cedar).await?);
    found.sort();
    Ok(found.iter().take(MAX_WARNINGS).map(Complaint::line).collect())
}

async fn unmatched(cx: &Cx<'_>, cedar: &str) -> Result<Vec<Complaint>> {
    let own = cx.issuer() + "/";
    // The tenant's own APIs are registered nowhere.
    let is_own = |mention: &Mention| match mention {
        Mention::Resource(name) | Mention::Scope(name) => name.starts_with(&own),
        Mention::Name(name) => ["admin", "admin:read", "ssf.manage", "ssf.read"].contains(&name.as_str()),
        _ => false,
    };
    let mentions: Vec<(usize, Mention)> =
        cedar::mentions(cedar).into_iter().filter(|(_, mention)| !is_own(mention)).take(MAX_LOOKED_UP).collect();
    if mentions.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<(&str, &str)> = mentions.iter().map(|(_, mention)| words(mention)).collect();
    let names = serde_json::to_string(&names).map_err(|_| Fault::Broken("names have no JSON"))?;
    let places = cx.all(store::policies::unmatched(&cx.tenant.id, names)).await?;
    let unmatched = places.into_iter().filter_map(|place| mentions.get(usize::try_from(place).ok()?));
    Ok(unmatched.map(|(at, mention)| Complaint::at(cedar, *at, message(mention))).collect())
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
