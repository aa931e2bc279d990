//! Our own tokens: decided about, signed and verified in one place each.

mod approval;
pub mod decide;
pub mod id_token;
pub mod mint;
pub mod quota;
pub mod refresh;
pub mod target;
pub mod tool_calls;
pub mod verify;

pub use decide::{Decision, Issuance, Origin, decide, decide_without_token};
pub use id_token::id_token;
pub use mint::{TokenResponse, finish, issue, prepare};
pub use target::{Requested, Target, serves, target};
pub use verify::{Accepted, Used, is_own_issuer, read_to_revoke, verify, verify_begun, verify_used};
