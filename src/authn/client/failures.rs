//! Refusals of requests whose sender has proved nothing are limited, per client and per address.
//!
//! 1. A right secret, assertion or token always passes: a limit is looked at only once a request is refused. It turns the refusal
//!    into 429 (RFC 6585 §4), with neither a write nor an event.
//! 2. Until then a refusal is counted in D1, so that the count holds across locations: under the address that it came from (of IPv6
//!    the network, /64; requests without an address count as one), and under the client that it names, if there is such a client.
//! 3. The refusal with which a count reaches [`crate::store::failures::LIMIT`] is one event `authentication.limited`. Before it, a
//!    refusal that names a client of the tenant is an event of its own. A refusal that belongs to no client is none. Either has `auth_method: unproved`: it says nothing of the client that it names.
//! 4. A request for a nonce (RFC 9449 §8) is no failure, nor is a poll of a device (RFC 8628 §3.5), whose interval grows instead: neither is
//!    counted or limited. Nor is a malformed form with the right secret, or a 503 because of the service that has the keys.

use crate::audit;
use crate::context::{Counts, Cx};
use crate::error::{Error, Reason, Refusal, Result};
use crate::model::event::{Facts, UNPROVED};
use crate::model::{EventType, id};
use crate::store::failures::Failures;
use std::net::IpAddr;

/// A refusal of a request whose sender has proved nothing.
pub struct Unproved<'a> {
    /// The event of such a refusal.
    pub kind: EventType,
    /// The client that the request names.
    pub client: Option<&'a str>,
    /// The other facts of the event.
    pub facts: Facts,
}

impl Unproved<'_> {
    /// Counts and records the refusal; answers the error for its sender.
    pub async fn refuse(self, cx: &Cx<'_>, refusal: Refusal) -> Result<Error> {
        if matches!(
            refusal.reason,
            Reason::NonceRequired | Reason::AuthorizationPending | Reason::SlowDown | Reason::ApprovalPending
        ) {
            return Ok(Error::Refused(refusal));
        }
        let Self { kind, client, mut facts } = self;
        let client = client.filter(|client| id::is_client(client));
        let address = address(cx.peer.ip);
        let Some(Counts { over: false, reached, is_client }) = cx.count_failure(&address, client).await? else {
            return Ok(Reason::TooManyFailures.into());
        };
        let client = client.filter(|_| is_client);
        if let Some(why) = refusal.detail.as_deref().filter(|_| !is_client) {
            cx.world.log.line(&format!("{}: {}: {why}", cx.request_id, refusal.reason.as_str()));
        }
        if reached || is_client {
            // Whom policy was asked about had shown something.
            if facts.question.is_none() {
                facts.auth_method = Some(UNPROVED.to_owned());
            }
            facts.reason = Some(refusal.reason.as_str().to_owned());
            facts.detail.clone_from(&refusal.detail);
            let kind = if reached { EventType::AuthenticationLimited } else { kind };
            audit::record(cx, &audit::event(cx, kind, client, facts)).await?;
        }
        Ok(Error::Refused(refusal))
    }
}

/// Counts an attempt under a key before it is made. Beyond `most` in a minute it is refused; the one that reaches it is an event.
pub async fn limit_attempts(cx: &Cx<'_>, key: &str, most: i64, reason: Reason) -> Result<()> {
    let Failures { count, until, .. } = cx.count_attempt(key).await?;
    if count > most {
        return Err(reason.after(until.saturating_sub(cx.now.seconds()).max(1)));
    }
    if count == most {
        let facts = Facts { reason: Some(reason.as_str().to_owned()), ..Facts::default() };
        audit::record(cx, &audit::event(cx, EventType::AuthenticationLimited, None, facts)).await?;
    }
    Ok(())
}

/// The key under which refusals from an address are counted.
pub fn address(ip: Option<IpAddr>) -> String {
    let network = ip.map(|ip| network(ip).to_string());
    ["address/", network.as_deref().unwrap_or("none")].concat()
}

/// The address, or of IPv6 the network that one customer has.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => four.into(),
            None => {
                let [a, b, c, d, ..] = six.segments();
                [a, b, c, d, 0, 0, 0, 0].into()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_as_the_network_that_one_customer_has() {
        for (ip, counted) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
        ] {
            assert_eq!(network(ip.parse().unwrap()).to_string(), counted);
        }
    }
}
