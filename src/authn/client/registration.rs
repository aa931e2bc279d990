//! What the metadata of a client says about its keys and workloads, held against the rest of the tenant.

use crate::context::Cx;
use crate::directory::issuers;
use crate::error::{Reason, Result};
use crate::federation::{presets, shared};
use crate::model::issuer::Use;
use crate::model::{AuthMethod, ClientMetadata};
use crate::outbound;

/// Whether a client with this metadata could authenticate; the detail names the field and says what to do.
pub async fn check(cx: &Cx<'_>, metadata: &ClientMetadata) -> Result<()> {
    if metadata.jwks_uri.as_ref().is_some_and(|uri| outbound::admit(cx.config, uri).is_none()) {
        return Err(Reason::InvalidField.because("`jwks_uri` may not be called: it has to be https at a public name"));
    }
    let is_spiffe = metadata.token_endpoint_auth_method == AuthMethod::SpiffeJwt;
    for (n, identity) in metadata.workload_identities.iter().enumerate() {
        let refused = |why: &str| {
            Err(Reason::InvalidField.because(["`workload_identities[", &n.to_string(), "]`: ", why].concat()))
        };
        if let Err(why) = shared::check_identity(identity) {
            return refused(&why);
        }
        match issuers::load(cx, &identity.issuer).await? {
            None => return refused("register its `issuer` first"),
            Some(issuer) if !issuer.body.uses.contains(&Use::Workload) => {
                return refused("its `issuer` is not registered for the use `workload`");
            }
            Some(issuer) if (issuer.body.preset == presets::SPIFFE) != is_spiffe => {
                return refused("trust domains go with `spiffe_jwt`, other issuers with `federated_jwt`");
            }
            Some(_) => {}
        }
    }
    Ok(())
}
