//! Authenticator data (§6.1): what the authenticator says about the ceremony.

use super::CeremonyError;
use super::cbor::{Item, first};
use crate::crypto::sha256;

/// The flags of §6.1. Bits 1 and 5 are reserved, and ignored.
const UP: u8 = 1;
const UV: u8 = 1 << 2;
const BE: u8 = 1 << 3;
const BS: u8 = 1 << 4;
const AT: u8 = 1 << 6;
const ED: u8 = 1 << 7;

/// Authenticator data that parses. Nothing in it may be believed.
pub(super) struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8; 32],
    flags: u8,
    pub sign_count: u32,
    pub attested: Option<AttestedCredential<'a>>,
}

/// The credential that was made (§6.5.1). Its AAGUID names a model, and is not looked at.
pub(super) struct AttestedCredential<'a> {
    pub id: &'a [u8],
    pub key: Item<'a>,
}

impl<'a> AuthenticatorData<'a> {
    /// Reads the data to its last byte. Outputs of extensions are well-formed, and ignored.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_first_chunk()?;
        let (flags, rest) = rest.split_first()?;
        let (count, mut rest) = rest.split_first_chunk()?;
        let (flags, sign_count) = (*flags, u32::from_be_bytes(*count));
        let mut attested = None;
        if flags & AT != 0 {
            let (credential, after) = credential(rest)?;
            attested = Some(credential);
            rest = after;
        }
        if flags & ED != 0 {
            let (Item::Map(outputs), after) = first(rest)? else { return None };
            if !outputs.iter().all(|(name, _)| matches!(name, Item::Text(_))) {
                return None;
            }
            rest = after;
        }
        rest.is_empty().then_some(Self { rp_id_hash, flags, sign_count, attested })
    }

    /// What holds in both ceremonies (§7.1, §7.2).
    pub fn check(&self, rp_id: &str) -> Result<(), CeremonyError> {
        if self.rp_id_hash != sha256(rp_id).bytes() {
            return Err(CeremonyError::OtherRelyingParty);
        }
        if self.flags & UP == 0 {
            return Err(CeremonyError::UserNotPresent);
        }
        if self.flags & UV == 0 {
            return Err(CeremonyError::UserNotVerified);
        }
        if self.backup_state() && !self.backup_eligible() {
            return Err(CeremonyError::BackupState);
        }
        Ok(())
    }

    pub const fn backup_eligible(&self) -> bool {
        self.flags & BE != 0
    }

    pub const fn backup_state(&self) -> bool {
        self.flags & BS != 0
    }
}

fn credential(bytes: &[u8]) -> Option<(AttestedCredential<'_>, &[u8])> {
    let (_aaguid, rest) = bytes.split_at_checked(16)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (id, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let (key, rest) = first(rest)?;
    Some((AttestedCredential { id, key }, rest))
}
