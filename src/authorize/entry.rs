//! The ways into the steps: a request with its parameters, a pushed one, and that of a device.

use super::request::Request;
use super::steps::Outcome;
use super::{code, device, par, steps};
use crate::authn::people::Person;
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::oauth::Form;

/// Takes the parameters of a request, or opens the pushed one that it names. A problem that its client can be told of is answered with
/// what could be read.
pub fn arrived(cx: &Cx<'_>, form: Form, problem: Option<Reason>) -> Result<(Request, Option<Reason>)> {
    let (request, problem) = match form.get("request_uri") {
        Some(_) => (par::open(cx, &form)?, problem),
        None => Request::new(cx, form, problem),
    };
    Ok((request.by_route_of(cx), problem))
}

/// Takes the steps up to the person's decision, whichever way the request came. `problem` is what was wrong with the parameters as such.
pub async fn run(cx: &Cx<'_>, request: &Request, problem: Option<Reason>, person: Option<&Person>) -> Result<Outcome> {
    match &request.user_code {
        Some(user_code) => device::run(cx, request, user_code, person).await,
        None => steps::run(cx, request, problem, person).await,
    }
}

/// The same; where the person has allowed all of it before, a code is issued.
pub async fn answer(
    cx: &Cx<'_>,
    request: &Request,
    problem: Option<Reason>,
    person: Option<&Person>,
) -> Result<Outcome> {
    match (run(cx, request, problem, person).await?, person) {
        (Outcome::Covered(ask), Some(person)) => {
            let grant = code::Grant { consent: ask.consent.as_ref(), ..code::Grant::default() };
            code::issue(cx, request, &ask.asked, person, grant).await.map(Outcome::Response)
        }
        (outcome, _) => Ok(outcome),
    }
}
