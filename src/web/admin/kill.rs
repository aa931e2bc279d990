//! Stopping: `admin/kill`, and `suspend`, `resume` and `kill` below each thing that can be stopped.
//!
//! Stopping needs no `If-Match`, and doing it twice does no harm: an emergency does not wait for a version.

use super::{FIRST_TENANT, body};
use crate::directory::connections;
use crate::error::{Reason, Result};
use crate::model::Stoppable;
use crate::revocation::kill::{self, Order};
use crate::vault;
use crate::web::{Call, Response};
use serde::Deserialize;

/// Exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    client: Option<String>,
    #[serde(default)]
    identity: Option<String>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    chain: Option<String>,
    #[serde(default)]
    connection: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
}

fn order<'a>(call: Call<'a>, kind: Stoppable) -> Result<Order<'a>> {
    Ok(Order { kind, id: call.id(0)?, admin: call.admin()? })
}

/// Stops what the body names for good.
pub async fn any(call: Call<'_>) -> Result<Response> {
    let Body { client, identity, user, chain, connection, tenant } = body(call)?;
    let named = [
        (Stoppable::Client, client),
        (Stoppable::Identity, identity),
        (Stoppable::User, user),
        (Stoppable::Chain, chain),
        (Stoppable::Connection, connection),
        (Stoppable::Tenant, tenant),
    ];
    let mut named = named.into_iter().filter_map(|(kind, id)| Some((kind, id?)));
    let (Some((kind, id)), None) = (named.next(), named.next()) else {
        return Err(Reason::InvalidField
            .because("name exactly one `client`, `identity`, `user`, `chain`, `connection` or `tenant`"));
    };
    kill_it(call, Order { kind, id: &id, admin: call.admin()? }).await
}

/// Stops what the path names until it is resumed.
pub async fn suspend(call: Call<'_>, kind: Stoppable) -> Result<Response> {
    Ok(Response::json(200, &kill::suspend(call.cx, order(call, kind)?).await?))
}

/// Lets what the path names go on; the caller shows it.
pub async fn resume(call: Call<'_>, kind: Stoppable) -> Result<()> {
    kill::resume(call.cx, order(call, kind)?).await
}

/// Stops what the path names for good.
pub async fn kill(call: Call<'_>, kind: Stoppable) -> Result<Response> {
    kill_it(call, order(call, kind)?).await
}

async fn kill_it(call: Call<'_>, order: Order<'_>) -> Result<Response> {
    match order.kind {
        Stoppable::Tenant if call.cx.tenant.id != FIRST_TENANT => return Err(Reason::FirstTenantOnly.into()),
        Stoppable::Tenant if order.id == FIRST_TENANT => {
            return Err(Reason::InvalidField.because("the first tenant cannot be stopped, for nobody could resume it"));
        }
        _ => {}
    }
    // Once the data key is gone nothing tells where its ciphertext lies.
    let connection = match order.kind {
        Stoppable::Connection => connections::load(call.cx, order.id).await?,
        _ => None,
    };
    let receipt = kill::kill(call.cx, order).await?;
    if let Some(connection) = connection {
        vault::tidy(call.cx, &connection).await;
    }
    Ok(Response::json(200, &receipt))
}
