//! The agents of a person: what each may do by their consents, whether they have stopped it, and what it did.

use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::identity::{Held, Known};
use crate::model::{Consent, Identity, Status, id};
use crate::store;
use std::collections::BTreeMap;

/// How many consents and agents of a person are shown.
const CONSENTS: i64 = 500;
const AGENTS: i64 = 100;
/// How many tokens of an agent are counted, and of how many milliseconds.
pub const COUNTED: i64 = 2_000;
const MILLIS: i64 = 30 * 86_400_000;

/// An agent that is, or was, connected to a person.
pub struct Agent {
    /// The client.
    pub client: Known,
    /// What the person has allowed it.
    pub consents: Vec<Consent>,
    /// The agentic identity, if it ever had a token.
    pub identity: Option<Identity>,
    /// Its tokens about the person in the last 30 days; nothing if the trail cannot be read.
    pub tokens: Option<Tokens>,
}

impl Agent {
    /// Whether the person has stopped it.
    pub fn held(&self) -> Held {
        self.identity.as_ref().map_or(Held::No, |identity| identity.held)
    }

    /// Whether an administrator has stopped it.
    pub fn is_stopped_by_administrator(&self) -> bool {
        let lives = |status: Status| status == Status::Active;
        !lives(self.client.status) || self.identity.as_ref().is_some_and(|identity| !lives(identity.status))
    }

    /// When it was last used, in seconds, as far as it is known.
    pub fn used_at(&self) -> Option<i64> {
        let noted = self.consents.iter().flat_map(|consent| consent.used.values().copied());
        noted.chain(self.tokens.as_ref().map(|tokens| tokens.last)).max().filter(|at| *at > 0)
    }
}

/// Tokens that an agent got.
#[derive(Default)]
pub struct Tokens {
    /// How many, up to [`COUNTED`].
    pub count: i64,
    /// How many had each scope.
    pub by_scope: BTreeMap<String, i64>,
    /// When the last one was issued, in seconds.
    pub last: i64,
}

/// The agents of a person, by name.
pub async fn of(cx: &Cx<'_>, user: &str) -> Result<Vec<Agent>> {
    let tenant = &cx.tenant.id;
    let (consents, clients) = cx
        .batch((store::consents::of_user(tenant, user, CONSENTS), store::clients::of_person(tenant, user, AGENTS)))
        .await?;
    let ids = serde_json::Value::from_iter(clients.iter().map(|client| client.id.as_str())).to_string();
    let identities = cx.all(store::identities::of_user(tenant, user, ids)).await?;
    let mut agents: Vec<Agent> =
        clients.into_iter().map(|client| Agent { client, consents: vec![], identity: None, tokens: None }).collect();
    for identity in identities {
        if let Some(agent) = agents.iter_mut().find(|agent| agent.client.id == identity.client) {
            agent.identity = Some(identity);
        }
    }
    for consent in consents {
        if let Some(agent) = agents.iter_mut().find(|agent| agent.client.id == consent.client)
            && !consent.scope(cx.now.seconds()).is_empty()
        {
            agent.consents.push(consent);
        }
    }
    agents.retain(|agent| {
        !agent.consents.is_empty() || agent.identity.as_ref().is_some_and(|one| one.status != Status::Retired)
    });
    agents.sort_by(|one, other| one.client.name.cmp(&other.client.name));
    count(cx, user, &mut agents).await;
    Ok(agents)
}

/// The consent of that name, if this person has given it.
pub async fn consent(cx: &Cx<'_>, id: &str, user: &str) -> Result<Consent> {
    let consent = cx.one(store::consents::get(&cx.tenant.id, id)).await?;
    consent.filter(|consent| consent.user == user).ok_or_else(|| Reason::NotFound.into())
}

/// Adds what the trail tells. The page is of use without it, and a Worker may not have it.
async fn count(cx: &Cx<'_>, user: &str, agents: &mut [Agent]) {
    let clients: Vec<&str> = agents.iter().map(|agent| agent.client.id.as_str()).collect();
    if clients.is_empty() {
        return;
    }
    let since = id::first_at(cx.now.seconds().saturating_mul(1_000).saturating_sub(MILLIS));
    let clients = serde_json::Value::from(clients).to_string();
    let query = store::events::tokens_of(&cx.tenant.id, user, clients, &since, COUNTED);
    let rows = match cx.trail().all(query).await {
        Ok(rows) => rows,
        Err(error) => return cx.world.log.line(&format!("{}: the trail cannot be read: {error}", cx.request_id)),
    };
    for agent in agents {
        let own = rows.iter().filter(|row| row.client == agent.client.id).flat_map(|row| &row.counts);
        let mut tokens = Tokens::default();
        for (scopes, count, last) in own {
            tokens.count = tokens.count.saturating_add(*count);
            tokens.last = tokens.last.max(last.div_euclid(1_000));
            for scope in scopes.as_deref().unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()) {
                let by_scope = tokens.by_scope.entry(scope.to_owned()).or_default();
                *by_scope = by_scope.saturating_add(*count);
            }
        }
        agent.tokens = Some(tokens);
    }
}
