//! Our own tokens: decided about, signed and verified in one place each.

pub mod decide;
pub mod mint;
pub mod quota;
pub mod target;
pub mod verify;

pub use decide::{Issuance, Origin};
pub use mint::{TokenResponse, issue};
pub use target::{Requested, Target, serves, target};
pub use verify::{Accepted, read_to_revoke, verify};
