//! Whether `VAULT_KEK` is what has sealed the vault. It is asked before anything is sealed, for what is sealed under a wrong key is lost.
//!
//! 1. The canaries are data keys that lie in D1: the first few of the tenant under the oldest and under the newest version, or some of
//!    others where it has none. None has to be made or kept, and a restored database brings its own.
//! 2. Under each version of theirs one has to open. A version that the setting lacks, or whose key opens none, stops what would be sealed
//!    (docs/requirements.md R292); what is sealed stays as it is. A rotation goes on under a wrong older key: it seals nothing under that one, and
//!    counts what does not open.
//! 3. A key that is lost for good is written `VERSION:lost`: then what lies under it stops nothing.

use super::envelope::{self, CredentialPath};
use crate::context::Cx;
use crate::crypto::Keyring;
use crate::error::{Reason, Result};
use crate::store::data_keys::{self, DataKey};
use std::collections::BTreeMap;

/// How many data keys are looked at, from each end.
const LOOKED_AT: i64 = 8;

/// The vault's key-encryption keys, to seal with.
pub async fn ring<'a>(cx: &Cx<'a>) -> Result<&'a Keyring> {
    tried(cx, |_, _| true).await
}

/// The same, to seal anew what is there: a wrong older key keeps nobody from seeing what it does not open.
pub async fn ring_of_rotation<'a>(cx: &Cx<'a>) -> Result<&'a Keyring> {
    tried(cx, |ring, version| !ring.has(version) || ring.version() == Some(version)).await
}

async fn tried<'a>(cx: &Cx<'a>, counts: fn(&Keyring, u32) -> bool) -> Result<&'a Keyring> {
    let ring = envelope::ring(cx)?;
    let mut canaries = cx.all(data_keys::oldest_and_newest(&cx.tenant.id, LOOKED_AT)).await?;
    if canaries.is_empty() {
        canaries = cx.all(data_keys::some(LOOKED_AT)).await?;
    }
    match problem(ring, &canaries, |version| counts(ring, version)) {
        None => Ok(ring),
        Some(problem) => Err(Reason::VaultKeyWrong.because(problem)),
    }
}

/// Passes if the vault's key may seal.
pub async fn try_key(cx: &Cx<'_>) -> Result<()> {
    ring(cx).await.map(drop)
}

/// What is wrong with the keys, if they do not open the canaries.
fn problem(ring: &Keyring, canaries: &[DataKey], counts: impl Fn(u32) -> bool) -> Option<String> {
    let mut opened: BTreeMap<u32, bool> = BTreeMap::new();
    for canary in canaries {
        let Some(version) = Keyring::version_of(&canary.wrapped_key).filter(|version| !ring.has_lost(*version)) else {
            continue;
        };
        let path = CredentialPath { tenant: &canary.tenant, connection: &canary.connection, credential: &canary.id };
        *opened.entry(version).or_default() |= path.unwrap(ring, &canary.wrapped_key).is_some();
    }
    let (version, _) = opened.into_iter().find(|(version, opens)| !opens && counts(*version))?;
    Some(match ring.has(version) {
        true => format!(
            "the key of version {version} in `VAULT_KEK` is not the one that has sealed credentials: put that one back; if it is, they are damaged, and `POST vault/rewrap` counts them"
        ),
        false => format!(
            "credentials lie under version {version}, which `VAULT_KEK` lacks: add that key, or `{version}:lost` if nobody has it"
        ),
    })
}
