//! What a client says about itself, as RFC 7591 §2 has it: at the registration endpoint, or in a document at its `client_id`.
//!
//! 1. Members that are not known are left aside, and so are those that only people read: nothing is fetched for a page.
//! 2. `scope` is no ceiling: what a client may have, policies and people say.
//! 3. A scheme of its own makes it native, whatever it says; a redirect to this machine does where it says nothing.
//! 4. It may have codes, device codes and refresh tokens: what a person decides about. Other grants are left out.
//! 5. Its name has no character that hides or turns others.

use crate::model::client::MAX_REDIRECT_URIS;
use crate::model::{ApplicationType, AuthMethod, ClientKind, ClientMetadata, Registration};
use crate::oauth::{DEVICE_CODE, authorization_details, redirect};
use serde_json::{Map, Value};

/// The grants of a client that nobody registered.
pub const GRANTS: &[&str] = &["authorization_code", "refresh_token", DEVICE_CODE];
/// Those of a client that names none.
const GRANTS_UNNAMED: &[&str] = &["authorization_code", "refresh_token"];
/// Those that a person begins; it has at least one.
const GRANTS_OF_PEOPLE: &[&str] = &["authorization_code", DEVICE_CODE];

/// How a client with a document authenticates: there is no secret to share.
const OF_DOCUMENTS: &[AuthMethod] = &[AuthMethod::PrivateKeyJwt, AuthMethod::None];
/// How a client that registers itself does; the first is what RFC 7591 §2 takes where nothing is said.
const OF_REQUESTS: &[AuthMethod] =
    &[AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::PrivateKeyJwt, AuthMethod::None];

/// What is wrong with it (RFC 7591 §3.2.2).
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// With a redirect URI.
    RedirectUri(String),
    /// With anything else.
    Metadata(String),
}

fn problem<T>(text: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Metadata(text.into()))
}

/// Reads the members of a client that came so.
pub fn read(members: &Map<String, Value>, registration: Registration) -> Result<ClientMetadata, Problem> {
    let is_document = registration == Registration::MetadataDocument;
    if is_document && members.keys().any(|name| name.starts_with("client_secret")) {
        return problem("a document has no `client_secret`");
    }
    let redirect_uris = redirect_uris(members)?;
    let client_name = match (text(members, "client_name")?, redirect_uris.first()) {
        (Some(name), _) => name.trim().to_owned(),
        (None, Some(uri)) if !is_document => redirect::host(uri).to_owned(),
        (None, _) => return problem("`client_name` is missing"),
    };
    if client_name.chars().any(authorization_details::is_deceptive) {
        return problem("`client_name` has a character that is not shown");
    }
    let jwks = members.get("jwks").filter(|jwks| !jwks.is_null()).cloned();
    let jwks_uri = text(members, "jwks_uri")?.map(str::to_owned);
    let method =
        method(members, if is_document { OF_DOCUMENTS } else { OF_REQUESTS }, jwks.is_some() || jwks_uri.is_some())?;
    if list(members, "response_types")?.is_some_and(|types| !types.contains(&"code")) {
        return problem("`response_types` has to name `code`");
    }
    let alg = members.get("token_endpoint_auth_signing_alg").filter(|alg| !alg.is_null()).cloned();
    let Ok(alg) = alg.map(serde_json::from_value).transpose() else {
        return problem("`token_endpoint_auth_signing_alg` is none that is verified here");
    };
    let metadata = ClientMetadata {
        grant_types: grants(members, method)?,
        token_endpoint_auth_method: method,
        application_type: application_type(members, &redirect_uris)?,
        client_uri: text(members, "client_uri")?.filter(|uri| uri.starts_with("https://")).map(str::to_owned),
        client_name,
        redirect_uris,
        jwks,
        jwks_uri,
        token_endpoint_auth_signing_alg: alg,
        dpop_bound_access_tokens: says_true(members, "dpop_bound_access_tokens"),
        require_pushed_authorization_requests: says_true(members, "require_pushed_authorization_requests"),
        backchannel_token_delivery_mode: None,
        backchannel_client_notification_endpoint: None,
        scope: None,
        owner: None,
        tags: vec![],
        kind: ClientKind::Delegated,
        allowed_resources: None,
        serves: None,
        token_endpoint_as_audience: false,
        workload_identities: vec![],
        expires_at: None,
        suspend_unused_after_days: None,
    };
    match metadata.problems(GRANTS).into_iter().next() {
        Some(why) => problem(why),
        None => Ok(metadata),
    }
}

/// The client as an administrator has left it, with what it says about itself now.
pub fn renewed(client: &ClientMetadata, says: &ClientMetadata) -> ClientMetadata {
    let says = says.clone();
    ClientMetadata {
        scope: client.scope.clone(),
        owner: client.owner.clone(),
        tags: client.tags.clone(),
        kind: client.kind,
        allowed_resources: client.allowed_resources.clone(),
        serves: client.serves.clone(),
        token_endpoint_as_audience: client.token_endpoint_as_audience,
        dpop_bound_access_tokens: client.dpop_bound_access_tokens || says.dpop_bound_access_tokens,
        workload_identities: client.workload_identities.clone(),
        expires_at: client.expires_at,
        suspend_unused_after_days: client.suspend_unused_after_days,
        ..says
    }
}

fn says_true(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name) == Some(&Value::Bool(true))
}

/// A text; empty and `null` count as absent.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Problem> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.trim().is_empty())),
        Some(_) => problem(format!("`{name}` has to be a text")),
    }
}

fn list<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<Vec<&'a str>>, Problem> {
    let items = match members.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items.iter().map(Value::as_str).collect::<Option<Vec<_>>>(),
        Some(_) => None,
    };
    items.map(Some).map_or_else(|| problem(format!("`{name}` has to be a list of texts")), Ok)
}

fn redirect_uris(members: &Map<String, Value>) -> Result<Vec<String>, Problem> {
    let wrong = |why: String| Err(Problem::RedirectUri(why));
    let Ok(Some(uris)) = list(members, "redirect_uris") else {
        return wrong("`redirect_uris` has to be a list of URIs".to_owned());
    };
    if uris.is_empty() || uris.len() > MAX_REDIRECT_URIS {
        return wrong(format!("`redirect_uris` may have 1 to {MAX_REDIRECT_URIS} items"));
    }
    for (n, uri) in uris.iter().enumerate() {
        if let Err(why) = redirect::check(uri, true) {
            return wrong(format!("`redirect_uris[{n}]` {why}"));
        }
    }
    Ok(uris.into_iter().map(str::to_owned).collect())
}

fn application_type(members: &Map<String, Value>, redirect_uris: &[String]) -> Result<ApplicationType, Problem> {
    let says = members.get("application_type").and_then(Value::as_str);
    let has_own_scheme = redirect_uris.iter().any(|uri| !uri.starts_with("https://") && !redirect::is_loopback(uri));
    Ok(match says {
        _ if has_own_scheme => ApplicationType::Native,
        Some("web") => ApplicationType::Web,
        Some("native") => ApplicationType::Native,
        _ if redirect_uris.iter().any(|uri| redirect::is_loopback(uri)) => ApplicationType::Native,
        _ => ApplicationType::Web,
    })
}

/// The method that it names, or the first of ours that suits what it says that it can do.
fn method(members: &Map<String, Value>, methods: &[AuthMethod], has_keys: bool) -> Result<AuthMethod, Problem> {
    let found = match text(members, "token_endpoint_auth_method")? {
        Some(name) => methods.iter().find(|method| method.as_str() == name),
        None => {
            let can = list(members, "token_endpoint_auth_methods_supported").ok().flatten();
            let suits = |method: &&AuthMethod| {
                can.as_ref().is_none_or(|can| can.contains(&method.as_str()))
                    && (**method != AuthMethod::PrivateKeyJwt || has_keys)
            };
            methods.iter().find(suits)
        }
    };
    let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    found
        .copied()
        .map_or_else(|| problem(format!("`token_endpoint_auth_method` has to be one of {}", names.join(", "))), Ok)
}

fn grants(members: &Map<String, Value>, method: AuthMethod) -> Result<Vec<String>, Problem> {
    let Some(named) = list(members, "grant_types")? else {
        return Ok(GRANTS_UNNAMED.iter().map(|&grant| grant.to_owned()).collect());
    };
    if method == AuthMethod::None && named.contains(&"client_credentials") {
        return problem("`client_credentials` needs a `token_endpoint_auth_method` other than `none`");
    }
    let kept: Vec<String> =
        GRANTS.iter().filter(|grant| named.contains(grant)).map(|&grant| grant.to_owned()).collect();
    match kept.iter().any(|grant| GRANTS_OF_PEOPLE.contains(&grant.as_str())) {
        true => Ok(kept),
        false => problem(
            "`grant_types` has to name `authorization_code` or the one of devices: other grants are for clients that an administrator registers",
        ),
    }
}
