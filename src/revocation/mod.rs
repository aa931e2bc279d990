//! Stopping: what was stopped, who stops it, what stops by itself, and who is told.

pub mod breach;
pub mod check;
pub mod consents;
pub mod expiry;
pub mod families;
pub mod kill;
pub mod signals;
pub mod standing;
pub mod status_list;
