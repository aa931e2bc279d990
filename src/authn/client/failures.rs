//! Failed authentications are limited, per client and per address.
//!
//! 1. Every failure is counted in D1, under the client that the request named, known or not, and under the address that it
//!    came from (of IPv6 the network, /64): so the count holds across locations, and neither many addresses against one
//!    client nor one address against many clients get further than [`crate::store::failures::LIMIT`].
//!    Where an assertion stands in for a client, its failure counts under the address alone.
//! 2. What is locked is refused before its credentials are looked at, right ones too, until the period is over.
//! 3. Who authenticates pays nothing for it: what is locked comes along when the tenant is read anyway. So another isolate
//!    learns of a lock within the freshness bound, and an isolate of its own at once.

use crate::context::Cx;
use crate::error::{Reason, Result};
use std::net::IpAddr;

/// What a request counts under.
pub struct Counted(Vec<String>);

impl Counted {
    /// Of a request that names that client.
    pub fn of(cx: &Cx<'_>, client: Option<&str>) -> Self {
        let client = client.map(|id| ["client/", id].concat());
        let address = cx.peer.ip.map(|ip| ["address/", &network(ip).to_string()].concat());
        Self(client.into_iter().chain(address).collect())
    }

    /// Passes if nothing of it is locked.
    pub fn pass(&self, cx: &Cx<'_>) -> Result<()> {
        match self.0.iter().any(|key| cx.is_locked(key)) {
            true => Err(Reason::TooManyFailures.into()),
            false => Ok(()),
        }
    }

    /// Counts a failure; refuses if there were too many before it.
    pub async fn count(&self, cx: &Cx<'_>) -> Result<()> {
        match cx.count_failure(&self.0).await?.over {
            true => Err(Reason::TooManyFailures.into()),
            false => Ok(()),
        }
    }
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
