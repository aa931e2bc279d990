//! Device authorization (RFC 8628): a device asks, and a person decides on another one.
//!
//! 1. A user code is looked up for a person who is signed in, and each attempt is counted first: under the person and under the address. So
//!    34 bits are enough for 10 minutes (§5.1).
//! 2. The person always sees the page and the code that the device has to show (§5.4): what was allowed before is never enough.
//! 3. A code is decided once. To allow it makes an authorization code with the digest of the device code.
//! 4. What strangers can make is bounded: by their address, by the client, and by the end of each code.

use super::asked::{self, Device};
use super::request::Request;
use super::steps::{self, Outcome, StepUp};
use crate::authn::client::{address, limit_attempts};
use crate::authn::people::Person;
use crate::context::{Change, Cx};
use crate::crypto::{self, Kind, Secret, sha256};
use crate::error::{Error, Fault, Reason, Result};
use crate::model::{AuthMethod, Client, DeviceCode, DeviceStatus};
use crate::oauth::{DEVICE_CODE as GRANT_TYPE, Form};
use crate::ports::Entropy;
use crate::store;
use std::rc::Rc;

/// How long a device code lives, in seconds.
pub const SECONDS: i64 = 600;
/// How many seconds a device waits between two polls at first.
pub const INTERVAL: i64 = 5;

/// The letters of user codes: consonants, so that they form no words (RFC 8628 §6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many letters a user code has.
const LENGTH: usize = 8;
/// How many user codes a person may enter in a minute, and how many device codes public clients get for one address.
const A_MINUTE: i64 = 30;
/// How many user codes may be entered from one address in a minute: people share addresses.
const A_MINUTE_FROM_ADDRESS: i64 = 100;
/// How often another user code is taken when one is in use.
const ATTEMPTS: usize = 3;

/// What a device is told.
pub struct Started {
    /// The device code.
    pub device_code: Secret<String>,
    /// The user code, with its hyphen.
    pub user_code: String,
}

/// Takes the request of a device.
pub async fn start(cx: &Cx<'_>, form: &Form, client: &Rc<Client>, method: AuthMethod) -> Result<Started> {
    if !client.metadata.grant_types.iter().any(|grant| grant == GRANT_TYPE) {
        return Err(Reason::DeviceNotAllowed.into());
    }
    let form = form.clone().keeping(&["scope", "resource", "authorization_details"]);
    let (request, problem) = Request::new(cx, form, None);
    if let Some(problem) = problem {
        return Err(problem.into());
    }
    let (device_code, now) = (crypto::mint(Kind::DeviceCode, &*cx.world.entropy), cx.now.seconds());
    let (id, expires_at) = (sha256(device_code.expose()).to_text(), now.saturating_add(SECONDS));
    let device = Device { id: id.clone(), user_code: String::new(), expires_at };
    asked::of_device(cx, &request, client.clone(), device).await?;
    if method == AuthMethod::None {
        let key = ["device/", &address(cx.peer.ip)].concat();
        limit_attempts(cx, &key, A_MINUTE, Reason::TooManyDeviceCodes).await?;
    }
    let json = serde_json::to_string(request.form()).map_err(|_| Fault::Broken("a device request has no JSON"))?;
    for _ in 0..ATTEMPTS {
        let user_code = user_code(&*cx.world.entropy);
        let code = DeviceCode {
            id: id.clone(),
            user_code: digest(&user_code),
            client: client.id.clone(),
            request: request.form().clone(),
            status: DeviceStatus::Pending,
            expires_at,
        };
        let guard = store::device_codes::insert(&cx.tenant.id, &code, json.clone(), INTERVAL, now);
        if cx.commit(Change::guard(guard)).await? {
            return Ok(Started { device_code, user_code });
        }
    }
    Err(Reason::TooManyDeviceCodes.into())
}

/// Takes the steps of the device that shows a user code.
pub async fn run(cx: &Cx<'_>, request: &Request, user_code: &str, person: Option<&Person>) -> Result<Outcome> {
    let Some(person) = person else { return Ok(Outcome::SignIn { asked: None, acr_values: None }) };
    for (who, most) in [(&person.user.id, A_MINUTE), (&address(cx.peer.ip), A_MINUTE_FROM_ADDRESS)] {
        limit_attempts(cx, &["user_code/", who].concat(), most, Reason::TooManyUserCodes).await?;
    }
    match ask(cx, request, user_code, person).await {
        Err(Error::Refused(refusal)) => Ok(Outcome::Refused(refusal)),
        outcome => outcome,
    }
}

async fn ask(cx: &Cx<'_>, of_person: &Request, user_code: &str, person: &Person) -> Result<Outcome> {
    let now = cx.now.seconds();
    let found = cx.one(store::device_codes::waiting(&cx.tenant.id, &digest(user_code), now)).await?;
    let DeviceCode { id, client, request, expires_at, .. } = found.ok_or(Reason::UnknownUserCode)?;
    let client = asked::client(cx, &client).await?;
    let (request, _) = Request::new(cx, request, None);
    let device = Device { id, user_code: user_code.to_owned(), expires_at };
    let asked = asked::of_device(cx, &request, client, device).await?;
    let ask = steps::ask(cx, asked, person).await?;
    Ok(match steps::step_up(cx, of_person, &ask, person) {
        Some(StepUp { acr_values }) => Outcome::SignIn { asked: None, acr_values },
        None => Outcome::Ask(Box::new(ask)),
    })
}

/// A new user code: each letter as likely as any other.
fn user_code(entropy: &dyn Entropy) -> String {
    let mut code = String::new();
    while code.len() <= LENGTH {
        let mut byte = [0];
        entropy.fill(&mut byte);
        let letter = byte.iter().filter(|byte| **byte < 240).find_map(|byte| LETTERS.get(usize::from(byte % 20)));
        if code.len() == LENGTH / 2 {
            code.push('-');
        }
        code.extend(letter.map(|letter| char::from(*letter)));
    }
    code
}

/// A user code as it is shown, whatever a person has made of case, hyphen and blanks (RFC 8628 §6.1); nothing if it is none.
pub fn normal(text: &str) -> Option<String> {
    let letters: String =
        text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect();
    let is_one = letters.len() == LENGTH && letters.bytes().all(|letter| LETTERS.contains(&letter));
    let (start, end) = letters.split_at_checked(LENGTH / 2).filter(|_| is_one)?;
    Some([start, "-", end].concat())
}

fn digest(user_code: &str) -> String {
    sha256(["user_code\0", user_code].concat()).to_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Counting(Cell<u8>);
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0.get();
                self.0.set(byte.wrapping_add(1));
            }
        }
    }

    #[test]
    fn a_user_code_has_eight_consonants_each_as_likely_as_any_other() {
        let entropy = Counting(Cell::new(0));
        let codes: String = (0..30).map(|_| user_code(&entropy)).collect();
        for letter in LETTERS {
            assert_eq!(codes.bytes().filter(|other| other == letter).count(), 12);
        }
        assert_eq!(codes.bytes().filter(|letter| *letter == b'-').count(), 30);
    }

    #[test]
    fn a_user_code_counts_however_a_person_writes_it() {
        for text in ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "b-c-d-f-g-h-j-k"] {
            assert_eq!(normal(text).as_deref(), Some("BCDF-GHJK"), "{text}");
        }
        for text in ["", "BCDF-GHJ", "BCDF-GHJKL", "BCDF-GHJA", "BCDF-GHJ1", "БCDF-GHJK"] {
            assert_eq!(normal(text), None, "{text}");
        }
    }
}
