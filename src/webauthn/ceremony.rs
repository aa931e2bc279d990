//! What both ceremonies know before the client answers.

/// Who asks for the ceremony.
#[derive(Clone, Copy, Debug)]
pub struct RelyingParty<'a> {
    /// The relying party identifier: the host of the origin, or a registrable suffix of it (§4).
    pub id: &'a str,
    /// The name that people see.
    pub name: &'a str,
    /// The one origin whose page runs the ceremony, as RFC 6454 §6.2 writes it.
    pub origin: &'a str,
}

/// One ceremony of registration or authentication.
#[derive(Clone, Copy, Debug)]
pub struct Ceremony<'a> {
    /// Who asks.
    pub rp: RelyingParty<'a>,
    /// Random bytes that count for this ceremony alone (§13.4.3).
    pub challenge: &'a [u8; 32],
}
