//! What an authorization request asks for: the steps that need no person.

use super::request::Request;
use crate::authn::people::Person;
use crate::context::Cx;
use crate::crypto::sha256;
use crate::directory::resources;
use crate::error::{Error, Reason, Result};
use crate::model::event::Facts;
use crate::model::{Client, ResourceBody, Status};
use crate::oauth::scope::IDENTITY;
use crate::oauth::{AuthorizationDetail, Scope, pkce, redirect};
use crate::registration;
use crate::store::consents::Parties;
use crate::tokens::{self, Requested, Target};
use serde_json::json;
use std::rc::Rc;

/// What a request asks for, once it is known to be sound.
pub struct Asked {
    /// The client; active.
    pub client: Rc<Client>,
    /// Where the response goes.
    pub redirect_uri: String,
    /// The resource, and the scope that can be asked for.
    pub target: Target,
    /// Whether the request names a scope of the resource; else all of it is shown.
    pub names_scope: bool,
    /// The scope about the person.
    pub identity: Scope,
    /// The authorization details (RFC 9396): each of a type that the resource has.
    pub authorization_details: Vec<AuthorizationDetail>,
    /// The challenge.
    pub challenge: String,
    /// The thumbprint of the key that the code shall be bound to (RFC 9449 §10).
    pub jkt: Option<String>,
    /// The device that asks; `redirect_uri` and `challenge` are then empty.
    pub device: Option<Device>,
}

/// A device that waits for a person (RFC 8628).
pub struct Device {
    /// The digest of its device code.
    pub id: String,
    /// The user code that it shows.
    pub user_code: String,
    /// When both end, in seconds.
    pub expires_at: i64,
}

/// What stands for the host of a device: no host has a blank in it.
const DEVICE_HOST: &str = "another device";

impl Asked {
    /// Where the client is answered, for people and for what is remembered.
    pub fn host(&self) -> &str {
        match self.device {
            Some(_) => DEVICE_HOST,
            None => redirect::host(&self.redirect_uri),
        }
    }
}

/// The parties of the consent to it.
pub fn parties<'a>(asked: &'a Asked, person: &'a Person) -> Parties<'a> {
    Parties {
        user: &person.user.id,
        client: &asked.client.id,
        redirect_host: asked.host(),
        resource: asked.target.resource.body.resource.as_str(),
    }
}

/// The client, if it is there and active.
pub async fn client(cx: &Cx<'_>, id: &str) -> Result<Rc<Client>> {
    let client = registration::find(cx, id).await?.filter(|client| client.status == Status::Active);
    client.filter(|client| client.is_live(cx.now)).ok_or_else(|| Reason::UnknownClient.into())
}

/// The redirect URI of the request, or the only one of the client (RFC 6749 §3.1.2.3).
pub fn redirect(client: &Client, request: &Request) -> Result<String> {
    let registered = &client.metadata.redirect_uris;
    match (request.get("redirect_uri"), registered.as_slice()) {
        (None, [only]) => Ok(only.clone()),
        (Some(asked), all) if all.iter().any(|one| redirect::is_same(one, asked)) => Ok(asked.to_owned()),
        _ => Err(Reason::UnknownRedirectUri.into()),
    }
}

/// What the request asks for.
pub async fn asked(
    cx: &Cx<'_>,
    request: &Request,
    problem: Option<Reason>,
    client: Rc<Client>,
    redirect_uri: &str,
) -> Result<Asked> {
    if let Some(problem) = problem {
        return Err(problem.into());
    }
    let challenge = parameters(&client, request)?;
    let jkt = request.get("dpop_jkt").map(str::to_owned);
    let redirect_uri = redirect_uri.to_owned();
    Ok(Asked { redirect_uri, challenge, jkt, ..wanted(cx, request, client).await? })
}

/// What a device asks for (RFC 8628 §3.1), by the parameters that it has sent.
pub async fn of_device(cx: &Cx<'_>, request: &Request, client: Rc<Client>, device: Device) -> Result<Asked> {
    Ok(Asked { device: Some(device), ..wanted(cx, request, client).await? })
}

/// What a client asks a user for by the backchannel (OpenID CIBA Core §7.1).
pub async fn of_backchannel(cx: &Cx<'_>, request: &Request, client: Rc<Client>) -> Result<Asked> {
    wanted(cx, request, client).await
}

/// What is wanted, whichever way the answer goes: nothing is said of a redirect, a challenge, a key or a device.
async fn wanted(cx: &Cx<'_>, request: &Request, client: Rc<Client>) -> Result<Asked> {
    let (target, names_scope, identity) = target(cx, &client, request).await?;
    let authorization_details = authorization_details(request, &target.resource.body)?;
    Ok(Asked {
        client,
        redirect_uri: String::new(),
        target,
        names_scope,
        identity,
        authorization_details,
        challenge: String::new(),
        jkt: None,
        device: None,
    })
}

/// The challenge, if everything that is not about the target is as it has to be.
fn parameters(client: &Client, request: &Request) -> Result<String> {
    if !client.metadata.grant_types.iter().any(|grant| grant == "authorization_code") {
        return Err(Reason::CodesNotAllowed.into());
    }
    match request.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(Reason::UnsupportedResponseType.into()),
        None => return Err(Reason::MissingResponseType.into()),
    }
    if request.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(Reason::UnsupportedResponseMode.into());
    }
    if request.get("request").is_some() {
        return Err(Reason::UnsupportedRequestObject.into());
    }
    if request.prompts("none") && request.get("prompt") != Some("none")
        || request.get("max_age").is_some_and(|age| age.parse::<u32>().is_err())
    {
        return Err(Reason::MalformedPrompt.into());
    }
    if request.get("dpop_jkt").is_some_and(|jkt| !pkce::is_challenge(jkt)) {
        return Err(Reason::MalformedThumbprint.into());
    }
    if request.get("code_challenge_method") != Some("S256") {
        return Err(Reason::MissingChallenge.into());
    }
    let challenge = request.get("code_challenge").filter(|challenge| pkce::is_challenge(challenge));
    challenge.map(str::to_owned).ok_or_else(|| Reason::MissingChallenge.into())
}

/// The resource with the scope that can be asked for, whether the request names any of it, and the scope about the person. Of several scopes those
/// that the resource does not have, or the client may not, are left out; if none is left, the request is refused (RFC 6749 §4.1.2.1).
async fn target(cx: &Cx<'_>, client: &Client, request: &Request) -> Result<(Target, bool, Scope)> {
    let sent = request
        .get("scope")
        .map(|text| Scope::parse(text).ok_or(Reason::MalformedScope))
        .transpose()?
        .unwrap_or_default();
    let identity = sent.narrowed(|scope| IDENTITY.contains(&scope));
    let named = sent.narrowed(|scope| !IDENTITY.contains(&scope)).to_string();
    let form = request.form().only(&["resource"]);
    let resource = match Requested::read(form, client, &["resource"]) {
        Ok(requested) => requested.resource,
        Err(Error::Refused(refusal)) if refusal.reason == Reason::MissingResource => {
            resources::implied(cx, &named).await?.ok_or(Reason::MissingResource)?
        }
        Err(error) => return Err(error),
    };
    let requested =
        |scope| Requested { resource: resource.clone(), scope, ceilings: vec![], authorization_server: None };
    let mut facts = Facts::default();
    let scope = Some(&*named).filter(|named| !named.is_empty());
    let target = tokens::target(cx, client, &requested(scope), &mut facts).await?;
    Ok((target, scope.is_some(), identity))
}

/// The authorization details of the request, for that resource (RFC 9396 §5).
fn authorization_details(request: &Request, resource: &ResourceBody) -> Result<Vec<AuthorizationDetail>> {
    let Some(text) = request.get("authorization_details") else { return Ok(vec![]) };
    let all = AuthorizationDetail::parse(text).ok_or(Reason::MalformedAuthorizationDetails)?;
    let is_known = |one: &AuthorizationDetail| {
        resource.authorization_details_type(one.kind()).is_some() && one.is_at(&resource.resource)
    };
    if all.iter().all(is_known) { Ok(all) } else { Err(Reason::UnsupportedAuthorizationDetails.into()) }
}

/// The digest of what a client says about itself: when it changes, the person is asked again.
pub fn document(client: &Client) -> String {
    let metadata = &client.metadata;
    let said =
        json!([metadata.client_name, metadata.redirect_uris, metadata.jwks, metadata.jwks_uri, metadata.client_uri]);
    sha256(said.to_string()).to_text()
}
