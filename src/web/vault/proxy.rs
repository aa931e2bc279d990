//! `/t/{tenant}/connections/{name}/proxy/{path}`: a call to a service with the credential of a connection.
//!
//! 1. The caller is an agent with a token for `{issuer}/connections` (RFC 6750, RFC 9449), whose scope is `SCOPE`; or a resource server that
//!    authenticates by `Basic` and sends the agent's token in `Writ-Subject-Token`.
//!    `Writ-Tool` counts from a resource server alone, as at a lease.
//! 2. What follows `proxy` is passed on as it was sent, or not at all.
//! 3. Of a request that code has sent to the service's own URL ([`super::outbound`]) the URL says which connection is meant. Whether there is none or
//!    policy forbids it looks alike.

use crate::approvals::Held;
use crate::authn::client::Unproved;
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::EventType;
use crate::model::event::Facts;
use crate::oauth::basic::Basic;
use crate::vault::is_tool;
use crate::vault::permit::{API, CallLine, Caller, Trail, Use};
use crate::vault::proxy::{self, Destination, Request};
use crate::web::guard::{Bearer, ClientCall, refused};
use crate::web::{Call, Response};

/// The scope of an agent that calls itself.
const SCOPE: &str = "connections:use";

/// Passes a call on.
pub async fn any(call: Call<'_>) -> Result<Response> {
    let (cx, request) = (call.cx, call.request);
    let mut trail = Trail::default();
    let server = request.header("authorization").is_some_and(Basic::is);
    let (caller, token) = if server { of_server(call, &mut trail).await? } else { of_agent(call, &mut trail).await? };
    let headers = request.passage.as_ref().map(|passage| passage.headers.as_slice()).unwrap_or_default();
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    // What the tool is, a resource server says: of itself an agent could say anything.
    let tool = header("writ-tool").filter(|tool| server && is_tool(tool)).map(str::to_owned);
    trail.facts.tool.clone_from(&tool);
    let destination = request.passage.as_ref().and_then(|passage| passage.destination.as_ref());
    let meant = match destination {
        Some(destination) => meant(call, destination, &mut trail).await?,
        None => None,
    };
    // `/t/{tenant}/connections/{name}/proxy/` and the rest.
    let path = || ["/", request.path.splitn(7, '/').nth(6).unwrap_or_default()].concat();
    let (connection, path) = meant.map_or_else(|| Ok((call.id(0)?.to_owned(), path())), Ok::<_, Error>)?;
    let line = CallLine { method: request.method.clone(), path };
    let account = header("writ-account").unwrap_or_default();
    let wanted = Use {
        connection,
        token,
        caller,
        tool,
        call: Some(line),
        scope: None,
        account: account.to_owned(),
        began: cx.now,
        held: Held::default(),
    };
    let by_own_url = destination.is_some();
    let passed = Request { wanted, query: &request.query, headers, account, payload: request.payload(), by_own_url };
    match proxy::call(cx, passed, trail).await {
        Err(Error::Refused(refusal)) if by_own_url && refusal.reason == Reason::LeaseDenied => {
            Err(Error::Refused(Refusal { reason: Reason::NoConnection, ..refusal }))
        }
        answer => answer.map(Response::proxied),
    }
}

/// The connection that leads to a URL, with the path of the call; nothing where there is none.
async fn meant(call: Call<'_>, to: &Destination, trail: &mut Trail) -> Result<Option<(String, String)>> {
    trail.facts.host = to.host();
    match to.find(call.cx).await {
        Err(Error::Refused(refusal)) => {
            let (agent, facts) = (trail.agent.as_deref(), trail.facts.clone());
            Err(refused(call.cx, refusal, EventType::ProxyRefused, agent, facts).await?)
        }
        found => found,
    }
}

/// A resource server, and the token of the agent for which it calls.
async fn of_server(call: Call<'_>, trail: &mut Trail) -> Result<(Caller, String)> {
    let ClientCall { caller, .. } = ClientCall::of_header(call.cx, call.request, EventType::ProxyRefused).await?;
    trail.facts.resource_server = Some(caller.client.id.clone());
    trail.facts.auth_method = Some(caller.method.as_str().to_owned());
    match call.request.header("writ-subject-token").filter(|token| !token.is_empty()) {
        Some(token) => Ok((Caller::Server { id: caller.client.id.clone(), method: caller.method }, token.to_owned())),
        None => {
            let Error::Refused(refusal) = Reason::MissingAgentToken.into() else {
                return Err(Reason::MissingAgentToken.into());
            };
            Err(refused(call.cx, refusal, EventType::ProxyRefused, None, trail.facts.clone()).await?)
        }
    }
}

/// An agent with a token for connections.
async fn of_agent(call: Call<'_>, trail: &mut Trail) -> Result<(Caller, String)> {
    let kind = EventType::ProxyRefused;
    let unproved = Unproved { kind, client: None, facts: Facts::default() };
    let bearer = Bearer::of(call.cx, call.request, API, unproved).await?;
    match bearer.may(call.cx, &[SCOPE]).await {
        Ok(()) => {
            trail.agent = Some(bearer.client().id.clone());
            let header = call.request.header("authorization").unwrap_or_default();
            let token = header.split_once(' ').map(|(_, token)| token.trim()).unwrap_or_default();
            Ok((Caller::Agent, token.to_owned()))
        }
        Err(Error::Refused(refusal)) => {
            Err(refused(call.cx, refusal, kind, Some(&bearer.client().id), Facts::default()).await?)
        }
        Err(fault) => Err(fault),
    }
}
