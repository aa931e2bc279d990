//! The endpoints of the OAuth RFCs.

pub mod backchannel;
pub mod device_authorization;
pub mod discovery;
pub mod introspect;
pub mod par;
pub mod register;
pub mod revoke;
pub mod status_list;
pub mod token;
pub mod transaction;
pub mod userinfo;
