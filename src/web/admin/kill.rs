//! Stopping: `admin/kill`, and `suspend`, `resume` and `kill` below each record that can be stopped.
//!
//! Stopping needs no `If-Match`, and doing it twice does no harm: an emergency does not wait for a version.

use crate::error::{Reason, Result};
use crate::model::Stoppable;
use crate::revocation::kill::{self, Command};
use crate::vault;
use crate::web::schema::objects::ID;
use crate::web::schema::{members, object, sent};
use crate::web::{AdminCall, Response};
use serde::Deserialize;

object!(
    /// The record to kill: exactly one member, and `issuer` with `chain`.
    KILL = "Kill" [members![
        may "client" ID,
        may "identity" ID,
        may "user" ID,
        may "chain" ID,
        may "issuer" ID,
        may "connection" ID,
        may "tenant" ID,
    ]]
);

/// The body of `admin/kill`.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Body {
    client: Option<String>,
    identity: Option<String>,
    user: Option<String>,
    chain: Option<String>,
    /// With `chain`: the outside issuer whose `jti` it is.
    issuer: Option<String>,
    connection: Option<String>,
    tenant: Option<String>,
}

/// The command about the record in the path.
fn command(call: AdminCall<'_>, kind: Stoppable) -> Result<Command<'_>> {
    Command::parse(kind, call.call.id(0)?, None, call.admin)
}

/// Kills the record that the body names.
pub async fn any(call: AdminCall<'_>) -> Result<Response> {
    let Body { client, identity, user, chain, issuer, connection, tenant } =
        sent(call.request)?.read_plain(&KILL).await?;
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
            .because("name exactly one of `client`, `identity`, `user`, `chain`, `connection` and `tenant`"));
    };
    let command = Command::parse(kind, &id, issuer.as_deref(), call.admin)?;
    Ok(Response::json(200, &vault::kill(call.cx, &command).await?))
}

/// Suspends the record in the path.
pub async fn suspend(call: AdminCall<'_>, kind: Stoppable) -> Result<Response> {
    Ok(Response::json(200, &kill::suspend(call.cx, &command(call, kind)?).await?))
}

/// Resumes the record in the path; the caller shows it.
pub async fn resume(call: AdminCall<'_>, kind: Stoppable) -> Result<()> {
    kill::resume(call.cx, &command(call, kind)?).await
}

/// Kills the record in the path.
pub async fn kill(call: AdminCall<'_>, kind: Stoppable) -> Result<Response> {
    Ok(Response::json(200, &vault::kill(call.cx, &command(call, kind)?).await?))
}
