//! A person is asked: one approval, whichever door it was asked for at.
//!
//! In scope: asking, deciding, redeeming and taking back. Out of scope: who may ask (the endpoints), what comes of it (`tokens`, `vault`).
//!
//! 1. Requests that ask the same are one while it waits, and until its end once it was approved or denied: who is asked again and again is not.
//! 2. How much waits is bounded: for each who decides, for each client, and of a client for each who decides. So is what a client asks for in a day.
//!    In the quiet hours of the tenant nobody is asked anew.
//! 3. An approval is decided once, by a guarded statement; a second answer is 409. One no is enough, and silence is no.
//! 4. The client that asks, every client that acts, and the client that it is done for decide nothing. Administrators decide where no passkey is wanted.
//! 5. It is redeemed once, before a token is signed or a credential leaves, for the same request with the same key. When a reply of D1 is lost, it is
//!    redeemed and has to be asked for again: the safe side.
//! 6. Its digest is in the lineage of every token that comes of it, so that to take it back stops them all.

mod ask;
mod decide;
mod notify;
mod policy;

pub use ask::{Asked, INTERVAL, SECONDS, With, ask, uri};
pub use decide::{By, Choice, decide, decided_by, find, revoke, waiting};
pub use notify::{Ping, seal as seal_ping};
pub use policy::{Held, met, permit, redeem, redeem_held, refuse, required, waiting as refusal};
