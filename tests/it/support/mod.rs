//! The world as tests have it: every port as a native double that can fail, lag, race, duplicate and reorder on demand.
//!
//! ```text
//! let hub = Setup::new();                                   // tenant `main`, its first administrator, an empty database
//! let agent = hub.agent("reader", "mcp:read");              // a resource with two scopes, a client, a policy that permits it
//! let reply = hub.call("POST", "/t/main/token").basic(&agent).form(&[("grant_type", "client_credentials")]).send();
//! assert_eq!(reply.status, 200, "{reply:?}");
//! ```
//!
//! | what | how |
//! | --- | --- |
//! | a request | `hub.call(method, path?query)`, then `.form(&[..])` `.json(&value)` `.body(bytes)` `.header(name, value)` `.basic(&client)` `.bearer(&token)` `.ip("1.2.3.4")` `.on(&isolate)`, then `.send()` |
//! | the admin API | `hub.admin(method, "clients")` is such a request with an administrator's token |
//! | things | `create_client(json)` `create_resource(json)` `put_policy(id, cedar)` `create_tenant(id)`; `agent(name, scope)` does all three |
//! | tokens | `token(&client, &[("scope", "a b")])` is the reply; `access_token(..)` the token; `admin_token()` |
//! | other people's tokens | `Signer::new(Alg::EdDsa, n)` is a key pair; `.jwk` `.jwks(kid)` `.thumbprint()`; `.jwt(header, &claims)` and `.proof(&claims)` sign any header and claims, `.jws(header, payload)` any text |
//! | time | `hub.clock.set_seconds(n)`, `hub.clock.advance(seconds)`; sleeping advances the same clock |
//! | a client that hangs up | `.abandon(rounds)` instead of `.send()`; what the request holds runs on with whatever is sent next |
//! | isolates | `hub.isolate()` is another one over the same database, KV and queue; `.on(&isolate)` sends there; `restart()` forgets everything remembered |
//! | faults | `hub.faults.fail(Port::Db)`, `.lose_reply(..)`, `.fail_when(port, \|call\| .., Effect)`, `.heal()`; `.calls(Port::Db)` counts |
//! | other services | `hub.fetch.answer(\|request\| Scripted::json(200, json!({..})).after(300))`; `hub.fetch.requests()` |
//! | bodies in pieces | `hub.fetch.flow(\|passed\| Flowing::new(200, b"").of([(1_000, b"piece".to_vec())]))`; `hub.fetch.passed()`; `.streamed(pieces, length)` sends one; `reply.cut` |
//! | at the same time | `hub.together(seed, vec![future, ..])` interleaves by the seed; `.future()` instead of `.send()` makes them |
//! | the queue | `hub.queue.waiting()`, `hub.deliver()`; `hub.events()` relays, delivers and reads the trail |
//! | tenant walls | every batch also runs beside a twin tenant with the same ids, and for the twin (`shadow.rs`) |
//! | plans | every statement's plan is looked at once; one that walks a table needs a reason (`plans.rs`) |
//! | canaries | `hub.dump_at_rest()` rows, KV, queue and log; `hub.dump_everything()` also every reply |

pub mod authenticator;
pub mod browser;
pub mod call;
pub mod documents;
pub mod doubles;
pub mod faults;
pub mod flowing;
pub mod hub;
pub mod idp;
pub mod keys;
pub mod plans;
pub mod run;
pub mod service;
pub mod services;
pub mod shadow;
pub mod signer;
pub mod sockets;
pub mod sqlite;
pub mod witness;

#[allow(unused_imports, reason = "each test target uses a part of the support")]
pub use {
    doubles::Scripted,
    faults::{Effect, Port, Seen},
    hub::{Credentials, Reply, Setup},
    signer::Signer,
};
