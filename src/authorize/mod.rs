//! The authorization endpoint (RFC 6749 §3.1, OAuth 2.1 §3.1): from a request to an authorization code, with a person in between.
//!
//! | step | what it settles | a refusal goes to |
//! | --- | --- | --- |
//! | client | the client is there and active | the person |
//! | redirect | the response may be sent there (RFC 9700 §2.1) | the person |
//! | parameters | `response_type`, PKCE, and what is not supported | the client |
//! | target | the resource (RFC 8707 §2), and the scope that can be asked for | the client |
//! | session | a person is signed in | sign-in, or the client where `prompt` is `none` |
//! | freshness | … recently and strongly enough (OpenID Connect Core §3.1.2.1, RFC 9470 §5) | sign-in, or the client |
//! | policy | each line: allowed, on a condition, or not and why | nobody: it is shown |
//! | consent | the person has allowed it, now or before | the page, or the client |
//! | code | bound to all of the above (OAuth 2.1 §4.1.2) | |
//!
//! 1. Nothing is stored before a person who is signed in has decided: the request stays in the browser, sealed.
//! 2. Every step is taken again when the person comes back from signing in or deciding.
//! 3. A pushed request (`par`) and that of a device (`device`) take the same steps; of a device, `redirect`, PKCE and freshness have no meaning.
//! 4. `iss` is in every response to the client (RFC 9207 §2), the issuer of the route by which the request came, and `state` as it was sent.

mod asked;
pub mod ciba;
mod code;
mod consent;
pub mod device;
mod entry;
pub mod lines;
pub mod par;
mod request;
mod steps;

pub use asked::Asked;
pub use consent::{Choice, Decision, Duration, approve, refuse};
pub use entry::{answer, arrived, run};
pub use lines::{Line, Possible};
pub use request::{DECIDED_SECONDS, PARAMETERS, PUSHED_SECONDS, Request, is_among};
pub use steps::{Ask, Outcome};
