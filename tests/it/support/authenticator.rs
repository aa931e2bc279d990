//! A client and its authenticator (Web Authentication Level 3): [`Passkey`] answers both ceremonies. Its fields are what a test changes;
//! what comes out of it can be changed once more.

use super::signer::Signer;
use serde_json::{Value, json};
use writ::crypto::{b64, sha256, unb64};
use writ::ports::Alg;

pub const UP: u8 = 1;
pub const UV: u8 = 4;
pub const BE: u8 = 8;
pub const BS: u8 = 16;
pub const AT: u8 = 64;
pub const ED: u8 = 128;

/// The first bytes of a data item of CBOR (RFC 8949 §3), in their shortest form.
pub fn head(major: u8, argument: usize) -> Vec<u8> {
    let bytes = (argument as u64).to_be_bytes();
    let major = major << 5;
    match argument {
        0..24 => vec![major | bytes[7]],
        24..0x100 => vec![major | 24, bytes[7]],
        0x100..0x1_0000 => [&[major | 25], &bytes[6..]].concat(),
        _ => [&[major | 26], &bytes[4..]].concat(),
    }
}

pub fn int(number: i64) -> Vec<u8> {
    match usize::try_from(number) {
        Ok(number) => head(0, number),
        Err(_) => head(1, usize::try_from(!number).unwrap()),
    }
}

pub fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [head(3, text.len()), text.into()].concat()
}

/// A key and its value in a map.
pub type Member = (Vec<u8>, Vec<u8>);

pub fn map(members: &[Member]) -> Vec<u8> {
    let members = members.iter().flat_map(|(key, value)| [key.clone(), value.clone()]);
    [vec![head(5, members.clone().count() / 2)], members.collect()].concat().concat()
}

/// A passkey, and the client that answers with it.
#[derive(Clone)]
pub struct Passkey {
    pub signer: Signer,
    pub id: Vec<u8>,
    pub user_handle: Vec<u8>,
    pub rp_id: String,
    pub flags: u8,
    pub sign_count: u32,
    /// The public key as a COSE_Key.
    pub key: Vec<u8>,
    /// What follows the credential: outputs of extensions.
    pub extensions: Vec<u8>,
    /// The client data, without its type and its challenge.
    pub client_data: Value,
}

impl Passkey {
    pub fn new(alg: Alg, n: usize) -> Self {
        let signer = Signer::new(alg, n);
        Self {
            id: sha256(&signer.jwk).bytes().to_vec(),
            user_handle: b"user".to_vec(),
            rp_id: "hub.example".to_owned(),
            flags: UP | UV,
            sign_count: 0,
            key: map(&cose(&signer)),
            extensions: Vec::new(),
            client_data: json!({"origin": "https://hub.example", "crossOrigin": false}),
            signer,
        }
    }

    /// The client data of a ceremony.
    pub fn client_data(&self, typ: &str, challenge: &[u8]) -> Vec<u8> {
        let mut members = self.client_data.clone();
        for (name, value) in [("type", typ.to_owned()), ("challenge", b64(challenge))] {
            members.as_object_mut().unwrap().entry(name).or_insert(value.into());
        }
        members.to_string().into()
    }

    /// The authenticator data of a registration.
    pub fn made(&self) -> Vec<u8> {
        let length = u16::try_from(self.id.len()).unwrap().to_be_bytes();
        let credential = [&[7; 16][..], &length, &self.id, &self.key].concat();
        self.data(self.flags | AT, &credential)
    }

    /// The authenticator data of an authentication.
    pub fn used(&self) -> Vec<u8> {
        self.data(self.flags, &[])
    }

    fn data(&self, flags: u8, credential: &[u8]) -> Vec<u8> {
        let count = self.sign_count.to_be_bytes();
        [&sha256(&self.rp_id).bytes()[..], &[flags], &count, credential, &self.extensions].concat()
    }

    /// An attestation object without attestation.
    pub fn none(&self) -> Vec<u8> {
        attestation("none", &map(&[]), &self.made())
    }

    /// An attestation object with self attestation (§8.2).
    pub fn packed(&self, client_data: &[u8]) -> Vec<u8> {
        let signature = self.sign(&self.made(), client_data);
        let alg = if self.signer.alg == Alg::Es256 { -7 } else { -8 };
        let statement = map(&[(text("alg"), int(alg)), (text("sig"), bytes(&signature))]);
        attestation("packed", &statement, &self.made())
    }

    /// The signature of a ceremony.
    pub fn sign(&self, authenticator_data: &[u8], client_data: &[u8]) -> Vec<u8> {
        let raw = self.signer.sign(&[authenticator_data, sha256(client_data).bytes()].concat());
        match self.signer.alg {
            Alg::Es256 => p256::ecdsa::Signature::from_slice(&raw).unwrap().to_der().as_bytes().to_vec(),
            _ => raw,
        }
    }

    /// `RegistrationResponseJSON`, with the copies that a client adds.
    pub fn registration(&self, client_data: &[u8], attestation: &[u8]) -> Value {
        json!({
            "id": b64(&self.id),
            "rawId": b64(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {"credProps": {"rk": true}},
            "response": {
                "clientDataJSON": b64(client_data),
                "attestationObject": b64(attestation),
                "authenticatorData": b64(self.made()),
                "publicKeyAlgorithm": -7,
                "transports": ["internal", "hybrid"],
            },
        })
    }

    /// `AuthenticationResponseJSON`.
    pub fn assertion(&self, authenticator_data: &[u8], client_data: &[u8], signature: &[u8]) -> Value {
        json!({
            "id": b64(&self.id),
            "rawId": b64(&self.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64(client_data),
                "authenticatorData": b64(authenticator_data),
                "signature": b64(signature),
                "userHandle": b64(&self.user_handle),
            },
        })
    }
}

/// An attestation object (§6.5.4).
pub fn attestation(format: &str, statement: &[u8], authenticator_data: &[u8]) -> Vec<u8> {
    map(&[
        (text("fmt"), text(format)),
        (text("attStmt"), statement.to_vec()),
        (text("authData"), bytes(authenticator_data)),
    ])
}

/// The members of the COSE_Key of a signer.
pub fn cose(signer: &Signer) -> Vec<Member> {
    let jwk: Value = serde_json::from_str(&signer.jwk).unwrap();
    let coordinate = |name: &str| bytes(&unb64(jwk[name].as_str().unwrap()).unwrap());
    let (kty, alg, crv) = if signer.alg == Alg::Es256 { (2, -7, 1) } else { (1, -8, 6) };
    let mut members = vec![(int(1), int(kty)), (int(3), int(alg)), (int(-1), int(crv)), (int(-2), coordinate("x"))];
    if signer.alg == Alg::Es256 {
        members.push((int(-3), coordinate("y")));
    }
    members
}
