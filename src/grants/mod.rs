//! The grants of the token endpoint, one file each. `tokens` decides and signs.
//!
//! A grant says which callers it takes and which parameters it reads; of the form it sees no others. A new grant is one file and one line
//! in `GRANTS`; metadata and the document follow from the table.

pub mod approval;
mod authorization_code;
mod ciba;
mod client_credentials;
mod device_code;
pub mod id_jag;
mod jwt_bearer;
mod lease;
mod outside;
mod refresh_token;
mod request;
mod token_exchange;
pub mod transaction;

pub use client_credentials::GRANT_TYPE as CLIENT_CREDENTIALS;
pub use request::TokenRequest;

use crate::authn::client::Callers;
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::model::event::Facts;
use crate::oauth::Form;
use crate::ports::Pending;
use crate::tokens::TokenResponse;
use request::allows;
use std::collections::BTreeMap;

type Run = for<'a> fn(&'a Cx<'a>, &'a TokenRequest<'a>, &'a mut Facts) -> Pending<'a, Result<TokenResponse>>;

struct Grant {
    grant_type: &'static str,
    callers: Callers,
    reads: &'static [&'static str],
    run: Run,
}

const GRANTS: &[Grant] = &[
    Grant {
        grant_type: authorization_code::GRANT_TYPE,
        callers: Callers::Registered,
        reads: &["code", "redirect_uri", "code_verifier", "resource", "authorization_details"],
        run: |cx, request, facts| Box::pin(authorization_code::run(cx, request, facts)),
    },
    Grant {
        grant_type: refresh_token::GRANT_TYPE,
        callers: Callers::Registered,
        reads: &["refresh_token", "resource", "scope", "authorization_details"],
        run: |cx, request, facts| Box::pin(refresh_token::run(cx, request, facts)),
    },
    Grant {
        grant_type: device_code::GRANT_TYPE,
        callers: Callers::Registered,
        reads: &["device_code", "resource", "authorization_details"],
        run: |cx, request, facts| Box::pin(device_code::run(cx, request, facts)),
    },
    Grant {
        grant_type: ciba::GRANT_TYPE,
        callers: Callers::Confidential,
        reads: &["auth_req_id", "resource"],
        run: |cx, request, facts| Box::pin(ciba::run(cx, request, facts)),
    },
    Grant {
        grant_type: client_credentials::GRANT_TYPE,
        callers: Callers::Confidential,
        reads: &["resource", "scope"],
        run: |cx, request, facts| Box::pin(client_credentials::run(cx, request, facts)),
    },
    Grant {
        grant_type: jwt_bearer::GRANT_TYPE,
        callers: Callers::Anyone,
        reads: &["assertion", "resource", "scope"],
        run: |cx, request, facts| Box::pin(jwt_bearer::run(cx, request, facts)),
    },
    Grant {
        grant_type: token_exchange::GRANT_TYPE,
        callers: Callers::ConfidentialOrNone,
        reads: &[
            "subject_token",
            "subject_token_type",
            "actor_token",
            "actor_token_type",
            "requested_token_type",
            "resource",
            "audience",
            "scope",
            "tool",
            "account",
        ],
        run: |cx, request, facts| Box::pin(token_exchange::run(cx, request, facts)),
    },
];

/// Every grant type.
pub fn grant_types() -> Vec<&'static str> {
    GRANTS.iter().map(|grant| grant.grant_type).collect()
}

/// Every parameter that a grant reads, with the grants that do.
pub fn parameters() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for grant in GRANTS {
        grant.reads.iter().for_each(|name| all.entry(*name).or_default().push(grant.grant_type));
    }
    all
}

/// Runs the grant that the form names, if the client is registered for it. `facts` gather what the event of a refusal has.
pub async fn run(cx: &Cx<'_>, form: &Form, request: TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let wanted = form.get("grant_type").ok_or(Reason::MissingGrantType)?;
    let grant = GRANTS.iter().find(|grant| grant.grant_type == wanted).ok_or(Reason::UnsupportedGrantType)?;
    facts.grant_type = Some(grant.grant_type.to_owned());
    match request.caller {
        None if !grant.callers.may_be_none() => return Err(Reason::NoClientAuthentication.into()),
        Some(caller) if !allows(&caller.client, grant.grant_type) => return Err(Reason::GrantNotAllowed.into()),
        Some(_) if !request.is_proved() && !grant.callers.may_be_public() => {
            return Err(Reason::GrantNotAllowed.into());
        }
        _ => {}
    }
    if request.is_proved() {
        request.redeem_proof(cx).await?;
    }
    (grant.run)(cx, &TokenRequest { form: form.only(grant.reads), ..request }, facts).await
}
