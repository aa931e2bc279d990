//! Metadata and key sets: public, cacheable, readable from any page.
//!
//! 1. The four metadata paths answer the same JSON; `issuer` is byte-identical to the one that the path was built from
//!    (RFC 8414 §3.3). Links never follow the `Host` header.
//! 2. Nothing is advertised that is not there: the lists come from the tables of grants and methods.

use super::introspect;
use crate::audit::log;
use crate::authn::client::METHODS;
use crate::context::Cx;
use crate::directory::resources;
use crate::error::{Reason, Result};
use crate::grants;
use crate::keys::{self, JWKS_MAX_AGE};
use crate::model::AuthMethod;
use crate::model::client::DELIVERY_MODES;
use crate::model::registration::{Documents, Dynamic};
use crate::oauth::metadata::{ResourceMetadata, ServerMetadata};
use crate::ports::Alg;
use crate::tokens::id_token::ALG as ID_TOKEN_ALG;
use crate::web::{Call, Response};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A public document: readable and cacheable by anybody.
pub fn public(body: &impl serde::Serialize) -> Response {
    Response::json(200, body).with("cache-control", format!("public, max-age={JWKS_MAX_AGE}"))
}

/// Authorization server metadata (RFC 8414, OpenID Connect Discovery).
pub async fn metadata(Call { cx, .. }: Call<'_>) -> Result<Response> {
    Ok(public(&document(cx).await?))
}

/// The metadata of the tenant's issuer.
pub async fn document(cx: &Cx<'_>) -> Result<ServerMetadata> {
    let issuer = cx.issuer();
    let resources = resources::first(cx).await?;
    let ours = resources.iter().filter(|resource| resource.body.authorization_server.is_none());
    let rules = &cx.tenant.settings.registration;
    let types: BTreeSet<&str> =
        ours.clone().flat_map(|resource| &resource.body.authorization_details_types).map(|one| &*one.name).collect();
    let protected_resources = ours.map(|resource| resource.body.resource.to_string()).collect();
    Ok(ServerMetadata {
        authorization_endpoint: format!("{issuer}/authorize"),
        token_endpoint: format!("{issuer}/token"),
        pushed_authorization_request_endpoint: format!("{issuer}/par"),
        device_authorization_endpoint: format!("{issuer}/device_authorization"),
        backchannel_authentication_endpoint: format!("{issuer}/bc-authorize"),
        backchannel_token_delivery_modes_supported: DELIVERY_MODES,
        backchannel_user_code_parameter_supported: false,
        transaction_authorization_endpoint: format!("{issuer}/transaction-authorization"),
        jwks_uri: format!("{issuer}/jwks.json"),
        grant_types_supported: grants::grant_types(),
        authorization_grant_profiles_supported: [grants::id_jag::PROFILE],
        identity_chaining_requested_token_types_supported: [grants::id_jag::TOKEN_TYPE],
        token_endpoint_auth_methods_supported: METHODS.iter().map(|method| method.as_str()).collect(),
        introspection_endpoint: format!("{issuer}/introspect"),
        introspection_endpoint_auth_methods_supported: METHODS
            .iter()
            .filter(|method| **method != AuthMethod::None)
            .map(|method| method.as_str())
            .collect(),
        introspection_endpoint_auth_signing_alg_values_supported: Alg::NAMES,
        introspection_signing_alg_values_supported: [introspect::SIGNING_ALG.as_str()],
        revocation_endpoint: format!("{issuer}/revoke"),
        revocation_endpoint_auth_methods_supported: METHODS.iter().map(|method| method.as_str()).collect(),
        revocation_endpoint_auth_signing_alg_values_supported: Alg::NAMES,
        dpop_signing_alg_values_supported: Alg::NAMES,
        token_endpoint_auth_signing_alg_values_supported: Alg::NAMES,
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        code_challenge_methods_supported: ["S256"],
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: rules.cimd != Documents::Off,
        registration_endpoint: (rules.dynamic != Dynamic::Off).then(|| format!("{issuer}/register")),
        scopes_supported: ["openid", "profile", "email"],
        authorization_details_types_supported: types.into_iter().map(str::to_owned).collect(),
        userinfo_endpoint: format!("{issuer}/userinfo"),
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: [ID_TOKEN_ALG.as_str()],
        protected_resources,
        writ_event_log: log::keys::url(cx),
        writ_event_log_key: log::keys::vkey(cx).await?,
        issuer,
    })
}

/// The key set (RFC 7517 §5): next, current and retired keys.
pub async fn jwks(Call { cx, .. }: Call<'_>) -> Result<Response> {
    key_set(cx, &Alg::SIGNING).await
}

/// The keys of these algorithms.
pub async fn key_set(cx: &Cx<'_>, algs: &[Alg]) -> Result<Response> {
    let keys = keys::all(cx).await?;
    let keys: Vec<Value> = keys
        .iter()
        .filter(|key| algs.contains(&key.public.alg()))
        .map(|key| {
            let mut jwk: Value = serde_json::from_slice(key.public.json().as_bytes()).unwrap_or_default();
            if let Some(members) = jwk.as_object_mut() {
                members.insert("kid".to_owned(), key.public.kid().into());
                members.insert("alg".to_owned(), key.public.alg().as_str().into());
                members.insert("use".to_owned(), "sig".into());
            }
            jwk
        })
        .collect();
    Ok(public(&json!({"keys": keys})))
}

/// Protected resource metadata (RFC 9728 §2), ready for the resource to serve as it is.
pub async fn protected_resource(call: Call<'_>) -> Result<Response> {
    let (cx, id) = (call.cx, call.id(0)?);
    let resource = resources::get(cx, id).await?.ok_or(Reason::NotFound)?;
    Ok(public(&ResourceMetadata {
        resource: resource.body.resource.to_string(),
        authorization_servers: [resource.body.authorization_server.clone().unwrap_or_else(|| cx.issuer())],
        scopes_supported: resource.body.scopes.iter().map(|scope| scope.name.clone()).collect(),
        authorization_details_types_supported: {
            resource.body.authorization_details_types.iter().map(|one| one.name.clone()).collect()
        },
        bearer_methods_supported: ["header"],
        resource_name: resource.body.name.clone(),
        txn_challenge_signing_alg_values_supported: match &resource.body.txn_challenge_jwks_uri {
            Some(_) => Alg::NAMES.to_vec(),
            None => vec![],
        },
        txn_challenge_jwks_uri: resource.body.txn_challenge_jwks_uri.clone(),
    }))
}
