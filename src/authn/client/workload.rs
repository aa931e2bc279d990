//! `federated_jwt` and `spiffe_jwt`: a registered issuer says which workload is calling, and the rules of a client say that the client is
//! this workload. The client has no secret and no key of its own.
//!
//! 1. The issuer is registered for workloads; a JWT-SVID's is its trust domain (draft-ietf-oauth-spiffe-client-auth).
//! 2. `aud` is our issuer, or the registered `audience` of the issuer.
//! 3. A client is named by the request, or is the one whose rules hold. Where those of two do, it is neither.
//! 4. A platform's token is used as often as the workload likes while it lives: platforms hand out one and the same.

use crate::context::Cx;
use crate::directory::{clients, issuers, told};
use crate::error::{Checked, Rejection, Result};
use crate::federation::{self, Assertion, KeySource, Wanted, presets, rules_hold};
use crate::model::issuer::{Use, WorkloadIdentity};
use crate::model::{AuthMethod, Client};
use crate::revocation::check;
use std::rc::Rc;

const SVID_TYPES: &[&str] = &["", "jwt", "jose"];
const TYPES: &[&str] = &["", "jwt"];

/// The client that is the workload of the assertion, and what the issuer says of the workload.
pub async fn verify(
    cx: &Cx<'_>,
    method: AuthMethod,
    text: &str,
    named: Option<Rc<Client>>,
) -> Checked<(Rc<Client>, Vec<String>)> {
    let is_svid = method == AuthMethod::SpiffeJwt;
    let iss = if is_svid { federation::claimed_trust_domain(text) } else { federation::claimed_issuer(text) };
    let iss = iss.ok_or(Rejection::Because("it names no issuer"))?;
    let issuer = issuers::load(cx, &iss).await?.ok_or(Rejection::Because("its issuer is not registered"))?;
    if !issuer.body.uses.contains(&Use::Workload) || (issuer.body.preset == presets::SPIFFE) != is_svid {
        return Err(Rejection::Because("its issuer is registered for something else"));
    }
    let types = if is_svid { SVID_TYPES } else { TYPES };
    let audience = [cx.issuer()];
    let wanted = Wanted {
        keys: KeySource::Issuer(&issuer),
        types,
        audience: &audience,
        single_use: false,
        needs_iat: false,
        needs_sub: true,
    };
    let assertion = federation::verify(cx, text, &wanted).await?;
    if check::is_stopped(cx, assertion.digest().as_deref()).await? {
        return Err(Rejection::Because("it was stopped"));
    }
    let found = match named {
        Some(client) => Some(client)
            .filter(|client| client.metadata.workload_identities.iter().any(|identity| is_of(identity, &assertion))),
        None => client_by_workload(cx, &assertion).await?,
    };
    let client = found.ok_or(Rejection::Because("it is about no workload of this client, or of no one client"))?;
    let claims = told::claims(&issuer.body, &assertion.claims).map_err(Rejection::Because)?;
    Ok((client, claims))
}

/// The one client whose rules hold for a verified assertion about a workload; nothing if there is none, or two.
pub async fn client_by_workload(cx: &Cx<'_>, assertion: &Assertion) -> Result<Option<Rc<Client>>> {
    let known = issuers::workloads(cx, &assertion.iss).await?;
    let mut found: Vec<&str> = Vec::new();
    for (client, identity) in known.iter() {
        if is_of(identity, assertion) && !found.contains(&client.as_str()) {
            found.push(client);
        }
    }
    let client = match found.as_slice() {
        [one] => clients::load(cx, one).await?,
        _ => None,
    };
    let is_workload = |method| matches!(method, AuthMethod::FederatedJwt | AuthMethod::SpiffeJwt);
    Ok(client.filter(|client| is_workload(client.metadata.token_endpoint_auth_method)))
}

fn is_of(identity: &WorkloadIdentity, assertion: &Assertion) -> bool {
    identity.issuer == assertion.iss && rules_hold(&identity.rules, &assertion.claims)
}
