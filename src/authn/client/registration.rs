//! What the metadata of a client says about its keys and workloads, held against the rest of the tenant.

use crate::context::Cx;
use crate::directory::issuers;
use crate::error::Result;
use crate::federation::{presets, shared};
use crate::model::issuer::Use;
use crate::model::{AuthMethod, ClientMetadata};
use crate::outbound;

/// Everything that keeps a client with this metadata from authenticating; each problem names the member and says what to do.
pub async fn problems(cx: &Cx<'_>, metadata: &ClientMetadata) -> Result<Vec<String>> {
    let mut all = Vec::new();
    if metadata.jwks_uri.as_ref().is_some_and(|uri| outbound::admit(cx.config, uri).is_none()) {
        all.push("`jwks_uri` may not be called: it has to be https at a public name".to_owned());
    }
    let is_spiffe = metadata.token_endpoint_auth_method == AuthMethod::SpiffeJwt;
    for (n, identity) in metadata.workload_identities.iter().enumerate() {
        let mut refuse = |why: &str| all.push(["`workload_identities[", &n.to_string(), "]`: ", why].concat());
        if let Err(why) = shared::check_identity(identity) {
            refuse(&why);
        }
        match issuers::load(cx, &identity.issuer).await? {
            None => refuse("register its `issuer` first"),
            Some(issuer) if !issuer.body.uses.contains(&Use::Workload) => {
                refuse("its `issuer` is not registered for the use `workload`");
            }
            Some(issuer) if (issuer.body.preset == presets::SPIFFE) != is_spiffe => {
                refuse("trust domains go with `spiffe_jwt`, other issuers with `federated_jwt`");
            }
            Some(_) => {}
        }
    }
    Ok(all)
}
