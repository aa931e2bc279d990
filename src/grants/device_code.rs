//! The device code grant (RFC 8628 §3.4): a device polls until its user has decided on another one.
//!
//! 1. A poll that comes before the interval is over lets it grow by 5 seconds, in D1 and so for every location.
//! 2. What a person has allowed lies in an authorization code with the digest of the device code; it is redeemed as any other, once.
//! 3. A second redemption is refused and stops nothing: polls that overlap are no attack, and only the client itself has the code.
//! 4. A code of another client is refused before anything is noted.

use super::authorization_code::redeem;
use super::request::{TokenRequest, too_early};
use crate::context::Cx;
use crate::crypto::{Kind, is_well_formed, sha256};
use crate::error::{Reason, Result};
use crate::grants::authorization_code::is_of_resource;
use crate::model::event::Facts;
use crate::model::{DeviceCode, DeviceStatus};
use crate::store;
use crate::tokens::TokenResponse;

pub use crate::oauth::DEVICE_CODE as GRANT_TYPE;

pub async fn run(cx: &Cx<'_>, request: &TokenRequest<'_>, facts: &mut Facts) -> Result<TokenResponse> {
    let caller = request.caller()?;
    let text = request.form.get("device_code").ok_or(Reason::MissingDeviceCode)?;
    let refuse = |why: &str| Reason::InvalidDeviceCode.because(why);
    if !is_well_formed(Kind::DeviceCode, text) {
        return Err(refuse("it is none of ours"));
    }
    let (tenant, id, now) = (&cx.tenant.id, sha256(text).to_text(), cx.now.seconds());
    let found =
        (store::device_codes::get(tenant, &id), store::codes::get(tenant, &id), store::consents::of_code(tenant, &id));
    let (waiting, code, consent) = cx.batch(found).await?;
    let DeviceCode { client, status, expires_at, .. } =
        waiting.into_iter().next().ok_or_else(|| refuse("there is no such code"))?;
    if client != caller.client.id {
        return Err(refuse("it was issued to another client"));
    }
    if expires_at <= now {
        return Err(Reason::DeviceCodeExpired.into());
    }
    match (status, code.into_iter().next()) {
        (DeviceStatus::Denied, _) => Err(Reason::DeviceDenied.into()),
        // What was approved has been stopped since.
        (DeviceStatus::Approved, None) => Err(Reason::DeviceDenied.into()),
        (DeviceStatus::Pending, _) => {
            let poll = store::device_codes::poll(tenant, &id, now);
            let slow_down = store::device_codes::slow_down_if_unchanged(tenant, &id, now);
            Err(too_early(cx, poll, slow_down).await)
        }
        (DeviceStatus::Approved, Some(code)) => {
            facts.subject = Some(code.user.clone());
            if code.claim.is_some() {
                return Err(refuse("it was redeemed before"));
            }
            is_of_resource(request, &code.body.authorization.resource)?;
            request.redeem_proof_of_public(cx).await?;
            let redeemed = redeem(cx, request, (&code, consent.first()), GRANT_TYPE, facts).await?;
            redeemed.ok_or_else(|| refuse("another request has redeemed it first"))
        }
    }
}
