//! `client_secret_basic` and `client_secret_post` (RFC 6749 §2.3.1).

use crate::context::Cx;
use crate::crypto::{Digest, Kind, Secret, is_well_formed, sha256};
use crate::directory::clients;
use crate::error::Result;
use crate::model::{AuthMethod, Client};
use crate::oauth::basic::Basic;
use std::rc::Rc;

/// An id and a secret as they were sent, in every reading that the wire form allows.
pub struct Presented {
    method: AuthMethod,
    readings: Vec<(String, Secret<String>)>,
}

impl Presented {
    pub fn basic(basic: Basic) -> Self {
        Self { method: AuthMethod::ClientSecretBasic, readings: basic.readings }
    }

    pub fn post(id: &str, secret: &str) -> Self {
        let reading = (id.to_owned(), Secret::new(secret.to_owned()));
        Self { method: AuthMethod::ClientSecretPost, readings: vec![reading] }
    }

    pub const fn method(&self) -> AuthMethod {
        self.method
    }

    pub fn client_id(&self) -> Option<&str> {
        self.readings.first().map(|(id, _)| id.as_str())
    }

    /// The client whose secret this is. A secret that could not be one of ours is not looked up; of one that could, the digest
    /// is made before anybody knows whether there is such a client.
    pub async fn verify(&self, cx: &Cx<'_>) -> Result<Option<Rc<Client>>> {
        for (id, secret) in &self.readings {
            if !is_well_formed(Kind::ClientSecret, secret.expose()) {
                continue;
            }
            let digest = sha256(secret.expose());
            if let Some(client) = clients::load(cx, id).await?
                && matches(&client, &digest, cx.now.seconds())
            {
                return Ok(Some(client));
            }
        }
        Ok(None)
    }
}

/// Whether one of the client's live secrets is this one; all of them are compared, each in constant time.
fn matches(client: &Client, digest: &Digest, now: i64) -> bool {
    client.secrets.iter().fold(false, |found, known| {
        let live = known.expires_at.is_none_or(|expiry| now < expiry);
        ((known.digest == *digest) & live) | found
    })
}
