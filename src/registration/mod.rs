//! Clients that no administrator registered: those that are known by the document at their `client_id`
//! (draft-ietf-oauth-client-id-metadata-document), and those that register themselves (RFC 7591, RFC 7592).
//!
//! 1. A stored client wins over a document at its id. An id of ours is never a URL.
//! 2. A client with a document is stored once somebody lets it in, and not before: a stranger's request costs no storage.
//! 3. Of a stored client and its document the newer one holds. What an administrator has set stays. A change of the document is an event,
//!    which shows what changed of its redirect URIs and keys.
//! 4. While a document cannot be fetched, the stored client stands; one that is not valid any more lets nobody in.
//! 5. The tenant says of which domains clients come, and whether they register themselves (`model::registration`). Policies may forbid the
//!    action `register`; nothing has to permit it.

mod documents;
pub mod dynamic;
pub mod metadata;

use crate::audit;
use crate::authn::client::{Authenticated, address};
use crate::cedar::{Action, Target};
use crate::context::{Counts, Cx};
use crate::directory::clients;
use crate::error::{Error, Reason, Result};
use crate::model::event::{Because, Facts};
use crate::model::registration::Admission;
use crate::model::{AuthMethod, Client, ClientMetadata, EventType, Registration};
use crate::oauth::client_url::{self, is_client_url};
use crate::outbound;
use crate::policy::{self, Inquiry};
use std::cell::Cell;
use std::rc::Rc;

/// How long an administrator is not told again of a domain, in seconds.
const TOLD_SECONDS: i64 = 3_600;
/// How much of a change an event shows, in bytes.
const MAX_SHOWN: usize = 4 * 1024;

/// The client of that id, for an authorization request: one that is stored, or one that a document describes.
pub async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<Rc<Client>>> {
    let stored = clients::load(cx, id).await?;
    let is_by_document = stored
        .as_ref()
        .is_none_or(|client| client.registration == Registration::MetadataDocument && client.is_live(cx.now));
    let may_be_called = id.starts_with("https://") || outbound::is_development(cx.config, id);
    if !is_client_url(id) || !is_by_document || !may_be_called {
        return Ok(stored);
    }
    let admission = cx.tenant.settings.registration.admission(client_url::host(id));
    if admission == Admission::Refused {
        return Err(Reason::ClientDomainRefused.into());
    }
    let document = match (documents::get(cx, id, stored.is_some()).await, &stored) {
        (Ok(document), _) => document,
        (Err(Error::Refused(refusal)), Some(client)) if refusal.reason == Reason::ClientDocumentUnavailable => {
            return Ok(Some(client.clone()));
        }
        (Err(error), _) => return Err(error),
    };
    if admission == Admission::Wanted {
        ask_for(cx, id, &document.metadata).await?;
        return Err(Reason::ClientApprovalWanted.into());
    }
    match stored {
        Some(client) if client.updated_at >= document.at.seconds() => Ok(Some(client)),
        Some(client) => renew(cx, client, &document.metadata).await.map(Some),
        None => {
            let client = Client::of_document(id, document.metadata.clone(), cx.now);
            permitted(cx, &client).await?;
            cx.note_name(id, &client.metadata.client_name);
            Ok(Some(Rc::new(client)))
        }
    }
}

/// Passes if a client that has authenticated may still come as it did: its domain is let in, and the keys by which it has proved itself are in
/// its document. A public client proves nothing by a document, and a `jwks_uri` has a cache of its own.
pub async fn confirm(cx: &Cx<'_>, Authenticated { client, method, .. }: &Authenticated) -> Result<()> {
    if client.registration != Registration::MetadataDocument {
        return Ok(());
    }
    let is_refused = cx.tenant.settings.registration.admission(client_url::host(&client.id)) == Admission::Refused;
    if is_refused {
        return Err(Reason::ClientNotActive.because("its domain is not let in"));
    }
    if *method != AuthMethod::PrivateKeyJwt || client.metadata.jwks.is_none() {
        return Ok(());
    }
    let now = find(cx, &client.id).await?;
    match now.is_some_and(|now| now.metadata.jwks == client.metadata.jwks) {
        true => Ok(()),
        false => Err(Reason::ClientAuthenticationFailed.because("its document has other keys by now")),
    }
}

/// Gives a stored client what its document says now.
async fn renew(cx: &Cx<'_>, client: Rc<Client>, says: &ClientMetadata) -> Result<Rc<Client>> {
    let metadata = metadata::renewed(&client.metadata, says);
    if metadata == client.metadata {
        return Ok(client);
    }
    permitted(cx, &Client { metadata: metadata.clone(), ..(*client).clone() }).await?;
    let shown = difference(&client.metadata, &metadata);
    match clients::renew(cx, (*client).clone(), metadata, shown).await? {
        Some(client) => Ok(Rc::new(client)),
        // Another request was first.
        None => clients::find(cx, &client.id).await.map(Rc::new),
    }
}

/// What changed of the redirect URIs and the keys.
fn difference(before: &ClientMetadata, after: &ClientMetadata) -> String {
    let missing = |from: &[String], to: &[String], sign: &str| -> String {
        from.iter().filter(|uri| !to.contains(uri)).map(|uri| [" ", sign, uri].concat()).collect()
    };
    let (old, new) = (&before.redirect_uris, &after.redirect_uris);
    let mut shown = [missing(old, new, "-"), missing(new, old, "+")].concat();
    if !shown.is_empty() {
        shown.insert_str(0, "; redirect_uris:");
    }
    let keys = |one: &ClientMetadata| one.jwks_uri.clone().or_else(|| one.jwks.as_ref().map(ToString::to_string));
    if keys(before) != keys(after) {
        let word = |keys: Option<String>| keys.unwrap_or_else(|| "none".to_owned());
        shown.push_str(&format!("; keys: -{} +{}", word(keys(before)), word(keys(after))));
    }
    shown.truncate(shown.floor_char_boundary(MAX_SHOWN));
    shown
}

/// Tells administrators that a client of a domain wants in that they have not allowed: once an hour and isolate, and within the limit of
/// an address.
async fn ask_for(cx: &Cx<'_>, id: &str, says: &ClientMetadata) -> Result<()> {
    let host = client_url::host(id);
    let told: Rc<Cell<i64>> = cx.lasting(&["approval ", host].concat(), 64);
    let now = cx.now.seconds();
    if now < told.get().saturating_add(TOLD_SECONDS) {
        return Ok(());
    }
    let key = ["approval/", &address(cx.peer.ip)].concat();
    let Some(Counts { over: false, .. }) = cx.count_failure(&key, None).await? else { return Ok(()) };
    told.set(now);
    let facts = Facts {
        target: Some(id.to_owned()),
        target_name: Some(says.client_name.clone()),
        detail: Some(host.to_owned()),
        ..Facts::default()
    };
    audit::record(cx, &audit::event(cx, EventType::ClientApprovalWanted, None, facts)).await
}

/// Refuses a client whose registration a policy forbids.
async fn permitted(cx: &Cx<'_>, client: &Client) -> Result<()> {
    let resource = [&cx.issuer(), "/register"].concat();
    let targets = [Target::Scope { resource, name: "register".to_owned(), tool: None }];
    let circumstance = policy::circumstance(cx);
    let inquiry = Inquiry { action: Action::Register, targets: &targets, circumstance: &circumstance };
    let verdicts = policy::decide(cx, client, inquiry).await?;
    match verdicts.iter().find_map(policy::refusal) {
        Some(why @ (Because::Forbidden | Because::Error)) => Err(Reason::RegistrationForbidden.because(why.as_str())),
        _ => Ok(()),
    }
}
