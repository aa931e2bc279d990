//! `admin/users/{id}/consents` and `admin/consents/{id}`: what people have allowed, and taking it back for them.

use super::page;
use crate::directory::users;
use crate::error::{Reason, Result};
use crate::model::Consent;
use crate::revocation::consents::{self, By};
use crate::store;
use crate::web::schema::{ANY, Kind, members, object};
use crate::web::{AdminCall, Response};
use serde_json::{Value, json};

object!(
    /// A scope that a person has allowed: until when, and when it was last given to a token, to the day.
    LINE = "ConsentLine" [members![
        must "scope" Kind::Word,
        may "until" Kind::Time,
        may "used_at" Kind::Time,
    ]]
);

object!(
    /// What a person lets a client do at one resource.
    CONSENT = "Consent" [members![
        must "id" Kind::Word,
        must "user" Kind::Word,
        must "client" Kind::Word,
        must "redirect_host" Kind::Word,
        must "resource" Kind::Word,
        must "lines" Kind::List(&Kind::Object(&LINE), ANY),
        must "created_at" Kind::Time,
        must "updated_at" Kind::Time,
    ]]
);

fn view(consent: &Consent, now: i64) -> Value {
    let live = consent.lines.iter().filter(|line| line.is_live(now));
    let line = |scope: &str, until: Option<i64>| {
        let mut members = json!({"scope": scope});
        for (name, at) in [("until", until), ("used_at", consent.used.get(scope).copied())] {
            if let (Some(members), Some(at)) = (members.as_object_mut(), at) {
                members.insert(name.to_owned(), at.into());
            }
        }
        members
    };
    json!({
        "id": consent.id, "user": consent.user, "client": consent.client, "redirect_host": consent.redirect_host,
        "resource": consent.resource, "lines": live.map(|one| line(&one.scope, one.until)).collect::<Vec<_>>(),
        "created_at": consent.created_at, "updated_at": consent.updated_at,
    })
}

/// Lists the consents of a user, by id.
pub async fn list(call: AdminCall<'_>) -> Result<Response> {
    let (cx, page) = (call.cx, page(call, &[])?);
    let user = users::find(cx, call.id(0)?).await?;
    let found = cx.all(store::consents::list(&cx.tenant.id, &user.id, page.after(), page.rows())).await?;
    Ok(page.of(found, |consent| (consent.id.clone(), view(&consent, cx.now.seconds()))))
}

/// Withdraws a consent: no token that was issued under it is honoured any more.
pub async fn delete(call: AdminCall<'_>) -> Result<Response> {
    let taken = consents::withdraw(call.cx, call.id(0)?, By::Administrator(call.admin)).await?;
    taken.map(|_| Response::empty(204)).ok_or_else(|| Reason::NotFound.into())
}
