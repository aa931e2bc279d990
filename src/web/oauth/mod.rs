//! The endpoints of the OAuth RFCs.

pub mod authorize;
pub mod discovery;
pub mod introspect;
pub mod revoke;
pub mod status_list;
pub mod token;
