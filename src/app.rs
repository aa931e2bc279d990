//! The three doors: [`App::handle`] a request, [`App::consume`] a batch of events, [`App::tick`] of the cron.

use crate::audit;
use crate::config::{Config, Role};
use crate::context::{Arrival, Cx, Memory};
use crate::error::{Fault, Reason, Result};
use crate::jobs::Jobs;
use crate::ports::{Now, Socket, World};
use crate::vault::proxy::interval_millis;
use crate::web::negotiation::conditional;
use crate::web::render::{self, Style};
use crate::web::router::{self, Endpoint, Route};
use crate::web::{self, Call, Method, SiteCall};

pub use crate::context::Peer;
pub use crate::vault::proxy::{Proxied, Pulled};
pub use crate::web::admin::feed::Feed;
pub use crate::web::http::{HEADERS, MAX_BODY, Passage, Request, Response};

/// Which queue a batch came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The audit queue.
    Audit,
    /// The queue of what could not be delivered.
    DeadLetters,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the Worker that mounts this role: a front door can pass it on.
    Elsewhere(Role),
    /// To an endpoint of this Worker. One that passes requests on gets all headers, and a large body as it comes.
    Here {
        /// Whether it passes requests on.
        is_passed_on: bool,
    },
}

/// The parts of an isolate.
pub struct App {
    world: World,
    config: Config,
    memory: Memory,
}

impl App {
    /// An application that remembers nothing yet.
    pub fn new(world: World, config: Config) -> Self {
        Self { world, config, memory: Memory::default() }
    }

    /// Prepares what the first request would have to wait for; a host calls it while it starts.
    pub fn warm() {
        crate::cedar::warm();
    }

    /// The settings.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Where a request goes.
    pub fn direction(&self, path: &str) -> Direction {
        let route = router::resolve(path);
        match route.as_ref().and_then(|route| route.role).filter(|role| !self.config.mounts(*role)) {
            Some(role) => Direction::Elsewhere(role),
            None => Direction::Here { is_passed_on: route.is_some_and(|route| route.passes_on()) },
        }
    }

    /// The next piece of an answer that is on its way. A host asks again and again, and says what time it is.
    pub async fn pull(&self, answer: &mut Proxied, now: Now) -> Pulled {
        match self.goes_on(answer, now).await {
            true => answer.next(&self.world, &self.config, now).await,
            false => Pulled::Cut,
        }
    }

    /// Decides again about an answer that is on its way, where that is due. False if it was cut. A host asks once an interval while a caller does not
    /// take a piece.
    pub async fn goes_on(&self, answer: &mut Proxied, now: Now) -> bool {
        let decided = match answer.is_due(now, &self.config) {
            true => self.check(answer, now).await.map(|()| answer.checked(now)),
            false => Ok(()),
        };
        match decided.and_then(|()| answer.expect_time(now)) {
            Ok(()) => true,
            Err(error) => {
                answer.cut(&self.world, &error, now).await;
                false
            }
        }
    }

    /// How often an answer that is on its way is decided about again, in milliseconds.
    pub fn interval_millis(&self) -> u64 {
        interval_millis(&self.config)
    }

    /// Passes the next message of a WebSocket on, from whichever end. A host asks again and again until it is over (false), and says what time it is.
    pub async fn relay_message(&self, answer: &mut Proxied, caller: &dyn Socket, now: Now) -> bool {
        if answer.is_due(now, &self.config) {
            if let Err(error) = self.check(answer, now).await {
                return answer.hang_up(caller, &self.world, &error, now).await;
            }
            answer.checked(now);
        }
        answer.relay(caller, (&self.world, &self.config), now).await
    }

    async fn check(&self, answer: &Proxied, now: Now) -> Result<()> {
        if self.memory.fresh(answer.tenant(), now, interval_millis(&self.config)).is_none() {
            self.memory.read(&self.world, answer.tenant(), now).await?;
        }
        let arrival = Arrival { now, peer: answer.peer().clone() };
        let cx = Cx::open(&self.world, &self.config, &self.memory, answer.tenant(), arrival).await?;
        answer.check(&cx).await
    }

    /// The caller of an answer that is on its way has gone.
    pub async fn abandon(&self, answer: &mut Proxied, now: Now) {
        answer.abandon(&self.world, now).await;
    }

    /// The next piece of an answer that goes on. A host asks again and again, and says what time it is.
    pub async fn pull_feed(&self, feed: &mut Feed, now: Now) -> Pulled {
        match self.feed(feed, now).await {
            Ok(pulled) => pulled,
            Err(error) => feed.broken(&self.world, &error),
        }
    }

    async fn feed(&self, feed: &mut Feed, now: Now) -> Result<Pulled> {
        let is_due = feed.is_due(now, &self.config);
        if is_due && self.memory.fresh(&feed.tenant, now, interval_millis(&self.config)).is_none() {
            self.memory.read(&self.world, &feed.tenant, now).await?;
        }
        let cx = Cx::open(&self.world, &self.config, &self.memory, &feed.tenant, feed.arrival(now)).await?;
        if is_due {
            feed.check(&cx).await?;
        }
        Ok(feed.next(&self.world, &cx).await)
    }

    /// Answers a request.
    pub async fn handle(&self, request: &Request, now: Now) -> Response {
        let mounted = |route: &Route| route.role.is_none_or(|role| self.config.mounts(role));
        let response = match router::resolve(&request.path).filter(mounted) {
            Some(route) => self.route(&route, request, now).await,
            None => render::error(&Reason::NoSuchPath.into(), Style::OAuth, None),
        };
        let response = response.with("x-content-type-options", "nosniff");
        match self.config.origin().starts_with("https:") {
            true => response.with("strict-transport-security", "max-age=63072000"),
            false => response,
        }
    }

    /// Answers a request of code whose outbound Worker this is (see [`web::vault::outbound`]). `url` is where the code has sent it, `props` what
    /// the binding says, as JSON.
    pub async fn handle_outbound(&self, request: Request, url: &str, props: &str, now: Now) -> Response {
        match web::vault::outbound::addressed(request, url, props) {
            Ok(request) => self.handle(&request, now).await,
            Err(error) => render::error(&error, Style::OAuth, None),
        }
    }

    async fn route(&self, route: &Route, request: &Request, now: Now) -> Response {
        let method = Method::parse(&request.method);
        let is_readable = matches!(
            route.guard(),
            Endpoint::Public(_) | Endpoint::Client(_) | Endpoint::Compat(_) | Endpoint::Receiver(..)
        );
        if method == Method::Options && is_readable {
            return cors(Response::empty(204))
                .with("access-control-allow-methods", route.allow())
                .with(
                    "access-control-allow-headers",
                    "Authorization, Content-Type, DPoP, MCP-Protocol-Version, Mcp-Method, Mcp-Name",
                )
                .with("access-control-max-age", "86400");
        }
        let (issuer, answer) = self.answer(route, request, method, now).await;
        let answer = answer.and_then(|response| conditional(request, response));
        let response = answer.unwrap_or_else(|error| {
            let response = render::error(&error, route.style(request), issuer.as_deref());
            let response = match route.scope(method) {
                Some(scope) => render::with_scope(response, scope),
                None => response,
            };
            match response.status {
                405 => response.with("allow", route.allow()),
                _ => response,
            }
        });
        match route.guard() {
            Endpoint::Admin(_) => response.with("cache-control", "no-store, no-transform"),
            Endpoint::Site(_) | Endpoint::Page(_) => response,
            Endpoint::Public(_) | Endpoint::Client(_) | Endpoint::Compat(_) | Endpoint::Receiver(..) => cors(response),
        }
    }

    /// The answer of the endpoint, with the issuer once the tenant is known.
    async fn answer(
        &self,
        route: &Route,
        request: &Request,
        method: Method,
        now: Now,
    ) -> (Option<String>, Result<Response>) {
        let endpoint = route.endpoint(method);
        if let (Endpoint::Site(_), Err(error)) = (route.guard(), &endpoint) {
            return (None, Err(error.clone()));
        }
        if let Ok(Endpoint::Site(run)) = endpoint {
            return (None, run(SiteCall { world: &self.world, config: &self.config }).await);
        }
        let arrival = Arrival { now, peer: request.peer.clone() };
        match Cx::open(&self.world, &self.config, &self.memory, route.tenant(request), arrival).await {
            Ok(cx) => {
                let answer = match endpoint {
                    Ok(endpoint) => run(Call { cx: &cx, request, ids: &route.ids }, endpoint).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = &answer {
                    render::log(&cx, error);
                }
                (Some(cx.issuer()), answer)
            }
            Err(error) => (None, Err(error)),
        }
    }

    /// Keeps a batch of messages; an error means that all of them shall come again.
    pub async fn consume(&self, source: Source, messages: &[String], now: Now) -> Result<()> {
        match source {
            Source::Audit => {
                let consumed = audit::consume(&self.world, messages, now).await;
                self.jobs().tell_altered(consumed.altered, now).await;
                self.jobs().publish(consumed.tenants, now).await;
                consumed.outcome
            }
            Source::DeadLetters => audit::bury(&self.world, messages, now).await,
        }
    }

    /// Sends sinks what a batch has brought, and whatever else waits. A host calls it once the batch is acknowledged, so that no sink keeps the queue
    /// waiting.
    pub async fn deliver(&self, messages: &[String], now: Now) -> Result<()> {
        match audit::sinks::waking(&self.world, &audit::tenants(messages)).await {
            Ok(waking) => self.jobs().deliver(waking, now).await,
            Err(error) => self.jobs().deliver(Vec::new(), now).await.and(Err(error)),
        }
    }

    /// One run of the cron; see [`crate::jobs`]. `clock` says what time it is: the end of a run is long after its beginning.
    pub async fn tick(&self, clock: &dyn Fn() -> Now) -> Result<()> {
        self.jobs().tick(clock).await
    }

    const fn jobs(&self) -> Jobs<'_> {
        Jobs { world: &self.world, config: &self.config, memory: &self.memory }
    }

    /// Whether a change has left its event in the outbox since the last call.
    pub fn take_staged(&self) -> bool {
        self.memory.take_staged()
    }

    /// Tenants that requests have found nearly as old as the freshness bound, since the last call.
    pub fn take_ageing(&self) -> Vec<String> {
        self.memory.take_ageing()
    }

    /// Reads tenants anew while they are still fresh. A host calls it after the answer, so that no request waits for it.
    pub async fn renew(&self, tenants: &[String], now: Now) {
        for tenant in tenants {
            // A tenant that cannot be read now is read by the first request beyond the freshness bound.
            drop(self.memory.read(&self.world, tenant, now).await);
        }
    }

    /// Sends the events in the outbox, and the signals where this Worker can sign them. A host calls it after the answer, so that they
    /// need not wait for the cron.
    pub async fn relay(&self, now: Now) -> Result<()> {
        self.jobs().relay(now).await
    }
}

/// Lets the guard of an endpoint pass the request on to it.
async fn run(call: Call<'_>, endpoint: Endpoint) -> Result<Response> {
    match endpoint {
        Endpoint::Public(run) | Endpoint::Client(run) | Endpoint::Page(run) => run(call).await,
        Endpoint::Compat(run) => web::compat::answer(call, run).await,
        Endpoint::Receiver(access, run) => web::guard::serve(call, access, run).await,
        Endpoint::Admin(run) => web::admin::answer(call, run).await,
        Endpoint::Site(_) => Err(Fault::Broken("an endpoint of no tenant was asked for one").into()),
    }
}

fn cors(response: Response) -> Response {
    response
        .with("access-control-allow-origin", "*")
        .with("access-control-expose-headers", "DPoP-Nonce, WWW-Authenticate")
}
