//! `client_assertion` and `client_assertion_type` (RFC 7521 §4.2), and whose mechanism that is.

use super::{private_key, workload};
use crate::context::Cx;
use crate::directory::clients;
use crate::error::{Checked, Rejection};
use crate::federation;
use crate::model::{AuthMethod, Client};
use std::rc::Rc;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// An assertion as it was sent.
pub struct Presented {
    is_svid: bool,
    text: String,
    client_id: Option<String>,
}

impl Presented {
    /// Reads the three parameters; nothing if the type is unknown. A client that signs for itself need not name itself
    /// beside the assertion (RFC 7521 §4.2), and one that is found by its SPIFFE ID may be named by it.
    pub fn read(kind: &str, text: &str, client_id: Option<&str>) -> Option<Self> {
        let is_svid = match kind {
            JWT_BEARER => false,
            JWT_SPIFFE => true,
            _ => return None,
        };
        let sub = federation::claimed(text, "sub");
        let client_id = match client_id.map(str::to_owned) {
            None => sub.filter(|sub| !is_svid && federation::claimed_issuer(text).as_ref() == Some(sub)),
            Some(id) if is_svid && sub.as_ref() == Some(&id) => None,
            named => named,
        };
        Some(Self { is_svid, text: text.to_owned(), client_id })
    }

    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The client that it proves, how, and what it says of the workload.
    pub async fn verify(&self, cx: &Cx<'_>) -> Checked<(Rc<Client>, AuthMethod, Vec<String>)> {
        let named = match &self.client_id {
            None => None,
            Some(id) => match clients::load(cx, id).await? {
                Some(client) => Some(client),
                None => {
                    federation::decoy(cx, &self.text).await?;
                    return Err(Rejection::Because("no such client"));
                }
            },
        };
        match named {
            Some(client)
                if !self.is_svid && client.metadata.token_endpoint_auth_method == AuthMethod::PrivateKeyJwt =>
            {
                private_key::verify(cx, &client, &self.text).await?;
                Ok((client, AuthMethod::PrivateKeyJwt, vec![]))
            }
            named => {
                let method = if self.is_svid { AuthMethod::SpiffeJwt } else { AuthMethod::FederatedJwt };
                let (client, claims) = workload::verify(cx, method, &self.text, named).await?;
                Ok((client, method, claims))
            }
        }
    }
}
