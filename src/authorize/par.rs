//! Pushed authorization requests (RFC 9126).
//!
//! 1. Nothing is stored: a `request_uri` is the request itself, sealed (docs/decisions.md 104). So a public client costs no row.
//! 2. It holds for 90 seconds, for the client that pushed it, and for one code.
//! 3. What is wrong with a request, its client is told when it pushes. Every step is taken again when the person comes with it.

use super::asked;
use super::request::{PUSHED_SECONDS, Request};
use crate::authn::people::browser;
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::Client;
use crate::oauth::Form;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
const KIND: &str = "par";

#[derive(Serialize, Deserialize)]
struct Pushed {
    id: String,
    form: Form,
}

/// Takes a request of that client; its `request_uri`. `jkt` is the thumbprint of the key that was proved with it (RFC 9449 §10.1).
pub async fn push(cx: &Cx<'_>, form: Form, client: &Rc<Client>, jkt: Option<&str>) -> Result<String> {
    if form.get("request_uri").is_some() {
        return Err(Reason::RequestUriPushed.into());
    }
    let form = form.with("client_id", &client.id);
    let form = jkt.into_iter().fold(form, |form, jkt| form.with("dpop_jkt", jkt));
    let (request, problem) = Request::new(cx, form, None);
    let redirect_uri = asked::redirect(client, &request)?;
    asked::asked(cx, &request, problem, client.clone(), &redirect_uri).await?;
    let pushed = Pushed { id: cx.new_id(), form: request.form().clone() };
    Ok([PREFIX, &browser::seal(cx, KIND, &pushed, PUSHED_SECONDS)?].concat())
}

/// Opens the request that `request_uri` names, for the client that the form names beside it (RFC 9126 §4, RFC 9101 §5). Other parameters
/// are not looked at.
pub fn open(cx: &Cx<'_>, form: &Form) -> Result<Request> {
    let sealed = form.get("request_uri").and_then(|uri| uri.strip_prefix(PREFIX));
    let pushed: Option<Pushed> = sealed.and_then(|sealed| browser::open(cx, KIND, sealed));
    let client = form.get("client_id");
    let pushed = pushed.filter(|pushed| client.is_some() && pushed.form.get("client_id") == client);
    let Pushed { id, form } = pushed.ok_or(Reason::InvalidRequestUri)?;
    let (mut request, _) = Request::new(cx, form, None);
    request.pushed = Some(id);
    Ok(request)
}
