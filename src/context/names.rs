//! The names that a request has learnt of clients, users and resources, from the records that it has read anyway: its events have them
//! beside the ids.
//!
//! 1. Ids of clients and of users and the URIs of resources never meet, so one list has all three. Ids that administrators choose may be
//!    anything, and are not in it.

use std::cell::RefCell;

/// How many names are noted: more than the parties of any token.
const NOTED: usize = 64;

/// Ids with their names.
#[derive(Default)]
pub struct Names(RefCell<Vec<(String, String)>>);

impl Names {
    /// Notes a name; the first that a request learns stays.
    pub fn note(&self, id: &str, name: &str) {
        let mut names = self.0.borrow_mut();
        if names.len() < NOTED && !names.iter().any(|(known, _)| known == id) {
            names.push((id.to_owned(), name.to_owned()));
        }
    }

    /// The name of that id, if the request has learnt it.
    pub fn of(&self, id: &str) -> Option<String> {
        self.0.borrow().iter().find(|(known, _)| known == id).map(|(_, name)| name.clone())
    }
}
