//! The entrypoint `Outbound`: requests of code whose outbound Worker this is, sent to services by their own URLs.
//!
//! 1. Each becomes a request to the proxy, whose guard, decision, allow-list, events and masks it has (`proxy`). What leads nowhere is refused,
//!    so such code reaches nothing but what its agent may call.
//! 2. The props of the binding name the tenant, and may name connections. The agent's token stands in them, or where they have none in the header
//!    `Writ-Subject-Token`, which the Worker that runs the code sets. `Authorization` is what the code itself says: it counts for nothing.
//! 3. Code chooses its headers, also those in which the platform tells of a sender: of these requests no address and no country is known.
//! 4. A token that is bound to a key calls nothing here, for there is no proof for this very call (RFC 9449 §7.1).

use crate::context::Peer;
use crate::error::{Reason, Result};
use crate::model::id::is_slug;
use crate::vault::proxy::Destination;
use crate::web::Request;
use crate::web::http::Passage;
use serde::Deserialize;

/// How long the props of a binding may be, as JSON, in bytes.
const MAX_PROPS: usize = 16 * 1024;

/// What no connection is called: the name in the path until the one that is meant is known.
const UNKNOWN: &str = "*";

/// What a binding says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Props {
    /// The tenant.
    tenant: String,
    /// The agent's token.
    #[serde(default)]
    token: Option<String>,
    /// The connections that may be meant; all of the tenant where nothing is said.
    #[serde(default)]
    connections: Option<Vec<String>>,
}

impl Props {
    fn parse(json: &str) -> Option<Self> {
        let props: Self =
            Some(json).filter(|json| json.len() <= MAX_PROPS).and_then(|json| serde_json::from_str(json).ok())?;
        let may_name = props.connections.as_deref().is_none_or(Destination::may_name);
        (is_slug(&props.tenant) && may_name).then_some(props)
    }
}

/// The request to the proxy that a request to `url` becomes. `props` are those of the binding, as JSON.
pub fn addressed(request: Request, url: &str, props: &str) -> Result<Request> {
    let Props { tenant, token, connections } = Props::parse(props).ok_or(Reason::MalformedProps)?;
    let destination = Destination::new(url, connections).ok_or(Reason::NoConnection)?;
    let token = token.or_else(|| request.header("writ-subject-token").map(str::to_owned)).unwrap_or_default();
    let passage = request.passage.unwrap_or_default();
    Ok(Request {
        path: ["/t/", &tenant, "/connections/", UNKNOWN, "/proxy", destination.path()].concat(),
        headers: vec![("authorization", ["Bearer ", &token].concat())],
        peer: Peer::default(),
        passage: Some(Passage { destination: Some(destination), ..passage }),
        ..request
    })
}
