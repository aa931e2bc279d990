//! The injecting proxy: a call to a service in which the credential of a connection takes the place of the caller's.
//!
//! 1. The decision is that of a lease (`permit`), with method, host and path; then the allow-list of the connection (`rules`). Nothing has been
//!    sent before (docs/requirements.md R225, R226).
//! 2. The caller's token never leaves: not in a header, the path, the query or the body. The credential never comes back (`scrub`, R228, R229).
//! 3. No redirect is followed (R230). Bodies stream both ways, within [`MAX_BYTES`] each and [`MAX_MILLIS`] (R231).
//! 4. `proxy.started` is durable before the call leaves, `proxy.called` tells how it went (R232; docs/decisions.md).
//! 5. Code that calls services by their own URLs is led to the connection that has the URL (`destination`).
//! 6. While the service is waited for and while its answer streams, all of the decision is made again ([`Proxied::check`], R233).

mod call;
mod destination;
pub mod headers;
pub mod inject;
mod link;
pub mod rules;
pub mod scrub;
mod socket;
mod stream;

pub use call::{Request, call};
pub use destination::Destination;
pub use socket::MAX_MESSAGE;
pub use stream::{MAX_BYTES, MAX_MILLIS, Proxied, Pulled, interval_millis};
