//! Every URL in one table: a row per endpoint with its method, path, role, guard and handler, what it takes and gives, the statuses of
//! its refusals, and what it does.
//!
//! 1. What touches signing keys or credentials belongs to the role that has the secret for it.

use super::admin::aggregate::{Aggregate, Posted, delete, get, list, post, put, put_named};
use super::admin::clients::{self, Clients};
use super::admin::connections::{self, Connections};
use super::admin::issuers::{self, Issuers};
use super::admin::policies::{self, Policies};
use super::admin::resources::{self, Resources};
use super::admin::sinks::{self, Sinks};
use super::admin::tenants::{self, Tenants};
use super::admin::users::{self, Users};
use super::admin::webhooks::{self, Webhooks};
use super::admin::{
    accounts, approvals, consents, events, explain, findings, identities, keys, kill, metrics, passkeys, proofs,
    registration_tokens, trail, vault as keeping,
};
use super::compat::{
    discovery as project, oauth as project_oauth, objects as compat, outbound, tokens as connection_tokens,
};
use super::oauth::{
    backchannel, device_authorization, discovery, introspect, par, register, revoke, status_list, token, transaction,
    userinfo,
};
use super::pages::{approvals as decisions, authorize, callback, connect, device, me, passkey, sign_in};
use super::router::Gives::{Document, Html, Jwt, Made, Many, One, OneOrJwt, OneOrList, Tagged, Text};
use super::router::Takes::{Form, Json, JsonOrNothing, Page, Query};
use super::router::{Endpoint, Gives, Row, Takes};
use super::schema::objects::{
    APPROVAL_FORM, AUTHORIZATION_REQUEST, CONNECT, DECISION, DEVICE_AUTHORIZATION, DEVICE_REQUEST, EMPTY, HEALTH,
    INTROSPECTION, KEY_SET, LEASE, LEASE_REQUEST, LOGOUT, NEW_PASSKEY, PROJECT_METADATA, PUSHED, RECEIPT,
    RESOURCE_METADATA, SERVER_METADATA, SIGN_IN, SIGN_OUT, TAKE_BACK, TOKEN, TOKEN_QUERY, USER_CODE, USER_INFO,
};
use super::ssf::{self, MANAGE, READ};
use super::vault::{lease, proxy};
use super::{Method, Response, approvals as asking, health, log, openapi, tool_calls};
use crate::authorize::PARAMETERS as AUTHORIZATION;
use crate::config::Role;
use crate::model::Stoppable;

/// `METHOD "PATH" ROLE GUARD(HANDLER), TAKES => STATUS GIVES, [REFUSALS], "SUMMARY";`
macro_rules! routes {
    ($($method:ident $path:literal $role:ident $guard:ident($($run:expr),+), $takes:expr => $status:literal $gives:expr,
       [$($refuses:literal),*], $summary:literal;)+) => {
        &[$(Row {
            method: Method::$method,
            path: $path,
            role: routes!(@role $role),
            endpoint: routes!(@endpoint $guard $($run),+),
            takes: $takes,
            gives: ($status, $gives),
            refuses: &[$($refuses),*],
            summary: $summary,
        },)+]
    };
    (@role Any) => { None };
    (@role $role:ident) => { Some(Role::$role) };
    (@endpoint Receiver $access:expr, $run:expr) => { Endpoint::Receiver(&$access, |call| Box::pin($run(call))) };
    (@endpoint $guard:ident $run:expr) => { Endpoint::$guard(|call| Box::pin(($run)(call))) };
}

/// Every endpoint. Rows of one path stand together.
pub static ROUTES: &[Row] = routes! {
    Post "/t/{tenant}/token" Token Client(token::post), Takes::TokenRequest => 200 One(&TOKEN), [400, 401, 413, 429], "Issue a token (RFC 6749)";
    Post "/t/{tenant}/transaction-authorization" Token Client(transaction::post), Form(&transaction::TRANSACTION_REQUEST) => 200 One(&transaction::TRANSACTION), [400, 401, 413, 429], "Have a person approve the operation of a challenge, and poll for its token (draft-rosomakho-oauth-txn-challenge)";
    Post "/t/{tenant}/introspect" Token Client(introspect::post), Form(&TOKEN_QUERY) => 200 OneOrJwt(&INTROSPECTION, introspect::SIGNED), [400, 401, 413, 429], "Introspect a token (RFC 7662), signed where `Accept` asks so (RFC 9701)";
    Post "/t/{tenant}/connections/{name}/token" Broker Client(lease::lease), Form(&LEASE_REQUEST) => 200 One(&LEASE), [400, 401, 413, 429, 502, 504], "Lease a downstream token for one use";
    Get "/t/{tenant}/connections/{name}/proxy/{path}" Broker Client(proxy::any), Takes::Nothing => 200 Gives::Nothing, [400, 401, 403, 413, 429, 502, 504], "Call a service with the credential of a connection; what it answers is the answer";
    Post "/t/{tenant}/connections/{name}/proxy/{path}" Broker Client(proxy::any), Takes::Nothing => 200 Gives::Nothing, [400, 401, 403, 413, 429, 502, 504], "The same by POST, its body passed on";
    Put "/t/{tenant}/connections/{name}/proxy/{path}" Broker Client(proxy::any), Takes::Nothing => 200 Gives::Nothing, [400, 401, 403, 413, 429, 502, 504], "The same by PUT";
    Patch "/t/{tenant}/connections/{name}/proxy/{path}" Broker Client(proxy::any), Takes::Nothing => 200 Gives::Nothing, [400, 401, 403, 413, 429, 502, 504], "The same by PATCH";
    Delete "/t/{tenant}/connections/{name}/proxy/{path}" Broker Client(proxy::any), Takes::Nothing => 200 Gives::Nothing, [400, 401, 403, 413, 429, 502, 504], "The same by DELETE";
    Post "/t/{tenant}/events" Audit Receiver(tool_calls::REPORT, tool_calls::post), Json(&tool_calls::CALLS) => 204 Gives::Nothing, [], "Report which tools were called, up to 50 calls at once";
    Post "/t/{tenant}/revoke" Token Client(revoke::post), Form(&TOKEN_QUERY) => 200 One(&EMPTY), [400, 401, 413, 429], "Revoke one's own token and what was made from it (RFC 7009)";
    Get "/t/{tenant}/userinfo" Token Client(userinfo::get), Takes::Nothing => 200 One(&USER_INFO), [401, 403], "Read about the user of a token (OpenID Connect Core §5.3)";
    Post "/t/{tenant}/userinfo" Token Client(userinfo::get), Takes::Nothing => 200 One(&USER_INFO), [401, 403], "The same by POST";
    Get "/t/{tenant}/status-list" Token Public(status_list::get), Takes::Nothing => 200 Jwt("application/statuslist+jwt"), [], "Where every agentic identity stands (Token Status List)";
    Get "/health" Any Site(health::get), Takes::Nothing => 200 One(&HEALTH), [503], "Whether the database answers";
    Get "/openapi.json" Any Site(openapi::get), Takes::Nothing => 200 Document, [], "This document";

    Get "/t/{tenant}/.well-known/oauth-authorization-server" Discovery Public(discovery::metadata), Takes::Nothing => 200 One(&SERVER_METADATA), [], "Authorization server metadata (RFC 8414)";
    Get "/t/{tenant}/.well-known/openid-configuration" Discovery Public(discovery::metadata), Takes::Nothing => 200 One(&SERVER_METADATA), [], "The same metadata where OpenID Connect Discovery looks";
    Get "/.well-known/oauth-authorization-server/t/{tenant}" Discovery Public(discovery::metadata), Takes::Nothing => 200 One(&SERVER_METADATA), [], "The same metadata where RFC 8414 §3 looks";
    Get "/.well-known/openid-configuration/t/{tenant}" Discovery Public(discovery::metadata), Takes::Nothing => 200 One(&SERVER_METADATA), [], "The same metadata at the other place of that kind";
    Get "/t/{tenant}/jwks.json" Discovery Public(discovery::jwks), Takes::Nothing => 200 One(&KEY_SET), [], "Key set (RFC 7517)";
    Get "/t/{tenant}/log/checkpoint" Audit Public(log::checkpoint), Takes::Nothing => 200 Text(log::TEXT), [404], "The newest checkpoint of the log of events (C2SP tlog-checkpoint)";
    Get "/t/{tenant}/log/cosigned" Audit Public(log::cosigned), Takes::Nothing => 200 Text(log::TEXT), [404], "The checkpoint that most witnesses have cosigned, the newest of these (C2SP tlog-cosignature)";
    Get "/t/{tenant}/log/key" Audit Public(log::key), Takes::Nothing => 200 Text(log::TEXT), [404], "The key that verifies checkpoints (C2SP signed-note)";
    Get "/t/{tenant}/log/consistency" Audit Public(log::consistency), Query(log::SIZES, false) => 200 Text(log::TEXT), [400, 404], "The proof that the tree of one size is the beginning of that of another (RFC 6962)";
    Get "/t/{tenant}/log/tile/{tile}" Audit Public(log::tile), Takes::Nothing => 200 Text(log::BYTES), [404], "A tile of hashes, or of entries (C2SP tlog-tiles)";
    Get "/t/{tenant}/resources/{id}/oauth-protected-resource" Discovery Public(discovery::protected_resource), Takes::Nothing => 200 One(&RESOURCE_METADATA), [], "Protected resource metadata (RFC 9728), ready to serve";
    Get "/" Authorize Site(async |_| Ok(Response::redirect("/t/main"))), Takes::Nothing => 303 Gives::Nothing, [], "Leads to the first tenant";
    Get "/t/{tenant}" Authorize Public(me::root), Takes::Nothing => 303 Gives::Nothing, [], "Leads to the page of the person who is signed in";
    Get "/t/{tenant}/authorize" Authorize Page(authorize::get), Query(AUTHORIZATION, true) => 200 Html, [303, 400], "Ask a person for an authorization code (RFC 6749 §4.1.1)";
    Post "/t/{tenant}/authorize" Authorize Page(authorize::post), Form(&AUTHORIZATION_REQUEST) => 200 Html, [303, 400], "The same by POST (RFC 6749 §3.1)";
    Get "/t/{tenant}/authorize/{id}" Authorize Page(authorize::resume), Takes::Nothing => 200 Html, [303, 400], "The page on which the person decides";
    Post "/t/{tenant}/authorize/{id}" Authorize Page(authorize::decide), Form(&DECISION) => 303 Gives::Nothing, [400, 403, 409], "The person decides";
    Post "/t/{tenant}/sign-in" Authorize Page(sign_in::post), Form(&SIGN_IN) => 200 Html, [303, 400, 403, 502], "A person chooses how to sign in";
    Get "/t/{tenant}/connect/{name}" Broker Page(connect::get), Query(&["request"], false) => 200 Html, [403, 404], "The page on which a person connects an account";
    Post "/t/{tenant}/connect/{name}" Broker Page(connect::post), Form(&CONNECT) => 200 Html, [400, 403, 404], "The person goes on to the service";
    Get "/t/{tenant}/connect/{name}/callback" Broker Page(connect::callback), Query(connect::PARAMETERS, false) => 200 Html, [403, 409, 502], "The service sends the person back (RFC 6749 §4.1.2)";
    Get "/t/{tenant}/sign-in/callback" Authorize Page(callback::get), Query(callback::PARAMETERS, false) => 303 Gives::Nothing, [400, 403, 429, 502], "An identity provider sends a person back (OpenID Connect Core §3.1.2.5)";
    Post "/t/{tenant}/sign-in/backchannel-logout" Authorize Client(callback::logout), Form(&LOGOUT) => 200 Gives::Nothing, [400, 413], "An identity provider ends sessions (OpenID Connect Back-Channel Logout 1.0)";
    Post "/t/{tenant}/sign-out" Authorize Page(sign_in::sign_out), Form(&SIGN_OUT) => 303 Gives::Nothing, [400, 403], "A person signs out";
    Get "/t/{tenant}/invitation/{token}" Authorize Page(passkey::invited), Takes::Nothing => 200 Html, [], "The page on which an invited person sets up a passkey";
    Post "/t/{tenant}/invitation/{token}" Authorize Page(passkey::accept), Form(&NEW_PASSKEY) => 303 Gives::Nothing, [400, 403, 413], "The person has set up a passkey";

    Get "/t/{tenant}/me/approvals" Authorize Page(decisions::list), Takes::Nothing => 200 Html, [], "What waits for the person who is signed in";
    Get "/t/{tenant}/me/approvals/{id}" Authorize Page(decisions::get), Takes::Nothing => 200 Html, [404], "The page on which a person decides about an approval";
    Post "/t/{tenant}/me/approvals/{id}" Authorize Page(decisions::post), Form(&APPROVAL_FORM) => 303 Gives::Nothing, [400, 403, 404, 409], "The person decides";
    Post "/t/{tenant}/approvals" Token Client(asking::create), Form(&asking::APPROVAL_REQUEST) => 201 One(&asking::APPROVAL_STATE), [400, 401, 403, 413, 429], "Ask a person for an approval";
    Get "/t/{tenant}/approvals/{id}" Token Client(asking::get), Takes::Nothing => 200 One(&asking::APPROVAL_STATE), [401, 404, 429], "Look what became of it; the client authenticates by its header";
    Post "/t/{tenant}/approvals/{id}" Token Client(asking::post), Form(&asking::APPROVAL_QUERY) => 200 One(&asking::APPROVAL_STATE), [400, 401, 404, 413, 429], "The same for a client that authenticates in the form";
    Post "/t/{tenant}/approvals/{id}/redeem" Token Client(asking::redeem), Form(&asking::APPROVAL_QUERY) => 200 One(&asking::APPROVAL_STATE), [400, 401, 403, 404, 413, 429], "Redeem it, once";

    Get "/t/{tenant}/me" Authorize Page(me::get), Takes::Nothing => 200 Html, [], "What is connected to the person who is signed in";
    Post "/t/{tenant}/me" Authorize Page(me::post), Form(&TAKE_BACK) => 200 Html, [400, 403, 404, 409], "The person takes something back";

    Post "/t/{tenant}/register" Authorize Public(register::post), Json(&register::REGISTRATION_REQUEST) => 201 One(&register::REGISTRATION_RESPONSE), [400, 401, 403, 409, 413, 429], "Register a client (RFC 7591), where the tenant lets clients do so";
    Get "/t/{tenant}/register/{id}" Authorize Public(register::get), Takes::Nothing => 200 One(&register::REGISTRATION_RESPONSE), [401, 429], "Show a client its own registration (RFC 7592)";
    Put "/t/{tenant}/register/{id}" Authorize Public(register::put), Json(&register::REGISTRATION_UPDATE) => 200 One(&register::REGISTRATION_RESPONSE), [400, 401, 412, 413, 429], "Replace what a client says about itself (RFC 7592)";
    Delete "/t/{tenant}/register/{id}" Authorize Public(register::delete), Takes::Nothing => 204 Gives::Nothing, [401, 412, 429], "Remove a client with all that people have let it do (RFC 7592)";
    Post "/t/{tenant}/par" Authorize Client(par::post), Form(&AUTHORIZATION_REQUEST) => 201 One(&PUSHED), [400, 401, 413, 429], "Push an authorization request (RFC 9126)";
    Post "/t/{tenant}/device_authorization" Authorize Client(device_authorization::post), Form(&DEVICE_REQUEST) => 200 One(&DEVICE_AUTHORIZATION), [400, 401, 413, 429], "Begin on a device without a browser (RFC 8628)";
    Post "/t/{tenant}/bc-authorize" Authorize Client(backchannel::post), Form(&backchannel::BACKCHANNEL_REQUEST) => 200 One(&backchannel::BACKCHANNEL), [400, 401, 413, 429], "Ask a user who is somewhere else (OpenID CIBA Core)";
    Get "/t/{tenant}/device" Authorize Page(device::get), Query(&["user_code", "outcome"], false) => 200 Html, [], "The page on which a person enters the code that a device shows";
    Post "/t/{tenant}/device" Authorize Page(device::post), Form(&USER_CODE) => 200 Html, [400, 403, 429], "The person has entered it";

    Get "/t/{tenant}/.well-known/ssf-configuration" Discovery Public(ssf::configuration), Takes::Nothing => 200 One(&ssf::TRANSMITTER_METADATA), [], "Where event streams are (Shared Signals Framework 1.0)";
    Get "/.well-known/ssf-configuration/t/{tenant}" Discovery Public(ssf::configuration), Takes::Nothing => 200 One(&ssf::TRANSMITTER_METADATA), [], "The same where that specification looks";
    Get "/t/{tenant}/ssf/streams" Token Receiver(READ, ssf::read), Query(&["stream_id"], false) => 200 OneOrList(&ssf::EVENT_STREAM), [], "Show one's event stream, or a list of it";
    Post "/t/{tenant}/ssf/streams" Token Receiver(MANAGE, ssf::create), Json(&ssf::NEW_STREAM) => 201 One(&ssf::EVENT_STREAM), [409], "Make one's event stream";
    Patch "/t/{tenant}/ssf/streams" Token Receiver(MANAGE, ssf::update), Json(&ssf::STREAM_UPDATE) => 200 One(&ssf::EVENT_STREAM), [409], "Change it in part";
    Put "/t/{tenant}/ssf/streams" Token Receiver(MANAGE, ssf::replace), Json(&ssf::STREAM_UPDATE) => 200 One(&ssf::EVENT_STREAM), [409], "Replace all that its receiver says";
    Delete "/t/{tenant}/ssf/streams" Token Receiver(MANAGE, ssf::delete), Query(&["stream_id"], true) => 204 Gives::Nothing, [], "Remove it with what waits in it";
    Post "/t/{tenant}/ssf/streams/{id}/poll" Token Receiver(READ, ssf::poll), JsonOrNothing(&ssf::POLL_REQUEST) => 200 One(&ssf::POLLED_EVENTS), [], "Take and acknowledge events (RFC 8936)";
    Get "/t/{tenant}/ssf/status" Token Receiver(READ, ssf::status), Query(&["stream_id"], true) => 200 One(&ssf::STREAM_STATE), [], "Whether it flows";
    Post "/t/{tenant}/ssf/status" Token Receiver(MANAGE, ssf::set_status), Json(&ssf::NEW_STREAM_STATE) => 200 One(&ssf::STREAM_STATE), [409], "Pause, disable or enable it";
    Post "/t/{tenant}/ssf/verify" Token Receiver(MANAGE, ssf::verify), Json(&ssf::VERIFICATION_REQUEST) => 204 Gives::Nothing, [429], "Ask for a verification event";

    Get "/v2/keys/{project}" Discovery Public(project::keys), Takes::Nothing => 200 One(&KEY_SET), [], "The keys of a project (Descope-compatible)";
    Get "/{project}/.well-known/jwks.json" Discovery Public(project::keys), Takes::Nothing => 200 One(&KEY_SET), [], "The same where its metadata say";
    Get "/v1/apps/{project}/.well-known/openid-configuration" Discovery Public(project::metadata), Takes::Nothing => 200 One(&PROJECT_METADATA), [], "Metadata of a project's issuer (Descope-compatible)";
    Get "/v1/apps/{project}/.well-known/oauth-authorization-server" Discovery Public(project::metadata), Takes::Nothing => 200 One(&PROJECT_METADATA), [], "The same metadata";
    Get "/v1/apps/agentic/{project}/{resource}/.well-known/openid-configuration" Discovery Public(project::metadata), Takes::Nothing => 200 One(&PROJECT_METADATA), [], "Metadata of the issuer of a resource (Descope-compatible)";
    Get "/v1/apps/agentic/{project}/{resource}/.well-known/oauth-authorization-server" Discovery Public(project::metadata), Takes::Nothing => 200 One(&PROJECT_METADATA), [], "The same metadata";
    Get "/.well-known/oauth-authorization-server/v1/apps/agentic/{project}/{resource}" Discovery Public(project::metadata), Takes::Nothing => 200 One(&PROJECT_METADATA), [], "The same metadata where RFC 8414 §3 looks";
    Get "/.well-known/openid-configuration/v1/apps/agentic/{project}/{resource}" Discovery Public(project::metadata), Takes::Nothing => 200 One(&PROJECT_METADATA), [], "The same metadata at the other place of that kind";
    Get "/oauth2/v1/apps/agentic/{project}/{resource}/authorize" Authorize Page(project_oauth::authorize), Query(AUTHORIZATION, true) => 200 Html, [303, 400], "Ask a person for an authorization code for a resource (Descope-compatible)";
    Post "/oauth2/v1/apps/agentic/{project}/{resource}/token" Token Compat(project_oauth::token), Takes::TokenRequest => 200 One(&TOKEN), [], "Issue a token for a resource, with the issuer of this route (Descope-compatible)";
    Post "/oauth2/v1/apps/{project}/token" Token Compat(project_oauth::token), Takes::TokenRequest => 200 One(&TOKEN), [], "Issue a token with the issuer of the project (Descope-compatible)";
    Post "/v1/auth/accesskey/exchange" Token Compat(project_oauth::exchange), JsonOrNothing(&compat::LOGIN_OPTIONS) => 200 One(&compat::SESSION), [], "Exchange an access key for a session (Descope-compatible)";
    Get "/v1/mgmt/license" Broker Compat(project::license), Takes::Nothing => 200 One(&compat::LICENSE), [], "Tell an SDK its limits (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/user/token" Broker Compat(connection_tokens::of_user), Json(&compat::FETCH) => 200 One(&compat::FETCHED), [502, 504], "Lease a connection token of a user, by scopes (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/user/token/latest" Broker Compat(connection_tokens::of_user), Json(&compat::FETCH) => 200 One(&compat::FETCHED), [502, 504], "Lease the latest connection token of a user (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/tenant/token" Broker Compat(connection_tokens::of_tenant), Json(&compat::FETCH) => 200 One(&compat::FETCHED), [502, 504], "Lease a connection token of the tenant, by scopes (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/tenant/token/latest" Broker Compat(connection_tokens::of_tenant), Json(&compat::FETCH) => 200 One(&compat::FETCHED), [502, 504], "Lease the latest connection token of the tenant (Descope-compatible)";
    Get "/v1/mgmt/outbound/app/{name}" Broker Compat(outbound::load), Takes::Nothing => 200 One(&compat::ONE_APP), [], "Show a connection (Descope-compatible)";
    Get "/v1/mgmt/outbound/apps" Broker Compat(outbound::load_all), Takes::Nothing => 200 One(&compat::ALL_APPS), [], "List connections (Descope-compatible)";
    Get "/v1/mgmt/outbound/apps-with-user-token" Broker Compat(outbound::apps_of_user), Query(&["userId"], true) => 200 One(&compat::APP_IDS), [], "List the connections for which a user has an account (Descope-compatible)";
    Delete "/v1/mgmt/outbound/user/tokens" Broker Compat(outbound::delete_of_user), Query(&["userId", "appId"], false) => 200 One(&EMPTY), [], "Disconnect the accounts of a user (Descope-compatible)";
    Delete "/v1/mgmt/outbound/token" Broker Compat(outbound::delete), Query(&["id"], true) => 200 One(&EMPTY), [], "Disconnect an account (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/user/apikey/upload" Broker Compat(outbound::upload_key_of_user), Json(&compat::API_KEY) => 200 One(&EMPTY), [], "Refused: an API key belongs to the tenant (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/tenant/apikey/upload" Broker Compat(outbound::upload_key), Json(&compat::API_KEY) => 200 One(&EMPTY), [409], "Give a connection another API key (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/user/oauthtoken/upload" Broker Compat(outbound::upload_of_user), Json(&compat::OAUTH_TOKEN) => 200 One(&EMPTY), [409], "Store the tokens of a user's account that was connected elsewhere (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/user/oauthtoken/batch/upload" Broker Compat(outbound::upload_all_of_users), Json(&compat::OAUTH_TOKENS) => 200 One(&compat::FAILURES), [409], "Store those of several, or of none (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/tenant/oauthtoken/batch/upload" Broker Compat(outbound::upload_all_of_tenant), Json(&compat::OAUTH_TOKENS) => 200 One(&compat::FAILURES), [409], "The same for several of the tenant's accounts (Descope-compatible)";
    Post "/v1/mgmt/outbound/app/tenant/oauthtoken/upload" Broker Compat(outbound::upload_of_tenant), Json(&compat::OAUTH_TOKEN) => 200 One(&EMPTY), [409], "The same for the tenant's account (Descope-compatible)";

    Get "/t/{tenant}/admin/tenants" Admin Admin(list::<Tenants>), Page(Tenants::FILTERS) => 200 Many(&tenants::TENANT), [], "List tenants: all of them in `main`, elsewhere one's own";
    Post "/t/{tenant}/admin/tenants" Admin Admin(post::<Tenants>), Json(&Tenants::NEW) => 201 Tagged(&tenants::MADE), [409], "Make a tenant and its first administrator; in `main` only";
    Get "/t/{tenant}/admin/tenants/{id}" Admin Admin(get::<Tenants>), Takes::Nothing => 200 Tagged(&tenants::TENANT), [], "Show a tenant";
    Put "/t/{tenant}/admin/tenants/{id}" Admin Admin(put::<Tenants>), Json(&Tenants::BODY) => 200 Tagged(&tenants::TENANT), [409, 412, 428], "Change a tenant";
    Delete "/t/{tenant}/admin/tenants/{id}" Admin Admin(delete::<Tenants>), Takes::Nothing => 204 Gives::Nothing, [409, 412], "Delete a suspended tenant with everything in it, for good; in `main` only";

    Get "/t/{tenant}/admin/clients" Admin Admin(list::<Clients>), Page(Clients::FILTERS) => 200 Many(&clients::CLIENT), [], "List clients, the oldest first";
    Post "/t/{tenant}/admin/clients" Admin Admin(post::<Clients>), Json(&Clients::NEW) => 201 Tagged(&clients::REGISTERED), [409], "Register a client (names of RFC 7591); the only answer with its secret, if it has one";
    Get "/t/{tenant}/admin/clients/{id}" Admin Admin(get::<Clients>), Takes::Nothing => 200 Tagged(&clients::CLIENT), [], "Show a client";
    Put "/t/{tenant}/admin/clients/{id}" Admin Admin(put::<Clients>), Json(&Clients::BODY) => 200 Tagged(&clients::CLIENT), [409, 412, 428], "Replace the metadata of a client";
    Delete "/t/{tenant}/admin/clients/{id}" Admin Admin(delete::<Clients>), Takes::Nothing => 204 Gives::Nothing, [412], "Remove a client with its secrets";
    Post "/t/{tenant}/admin/clients/{id}/secrets" Admin Admin(clients::add_secret), JsonOrNothing(&clients::NEW_SECRET) => 201 One(&clients::MADE_SECRET), [409], "Add a secret, one of five at most; the only answer with it";
    Delete "/t/{tenant}/admin/clients/{id}/secrets/{secret}" Admin Admin(clients::delete_secret), Takes::Nothing => 204 Gives::Nothing, [], "Remove a secret";
    Post "/t/{tenant}/admin/clients/{id}/suspend" Admin Admin(|call| kill::suspend(call, Stoppable::Client)), Takes::Nothing => 200 One(&RECEIPT), [409], "Stop a client until it is resumed";
    Post "/t/{tenant}/admin/clients/{id}/resume" Admin Admin(clients::resume), Takes::Nothing => 200 Tagged(&clients::CLIENT), [409], "Let a suspended client go on";
    Post "/t/{tenant}/admin/clients/{id}/kill" Admin Admin(|call| kill::kill(call, Stoppable::Client)), Takes::Nothing => 200 One(&RECEIPT), [409], "Stop a client for good, with all its tokens";

    Get "/t/{tenant}/admin/registration-tokens" Admin Admin(registration_tokens::list), Page(&[]) => 200 Many(&registration_tokens::TOKEN), [], "List initial access tokens (RFC 7591 §3)";
    Post "/t/{tenant}/admin/registration-tokens" Admin Admin(registration_tokens::create), Json(&registration_tokens::NEW_TOKEN) => 201 One(&registration_tokens::MADE_TOKEN), [409], "Make an initial access token; the only answer with it";
    Delete "/t/{tenant}/admin/registration-tokens/{id}" Admin Admin(registration_tokens::delete), Takes::Nothing => 204 Gives::Nothing, [], "Remove an initial access token: nobody registers with it any more";

    Get "/t/{tenant}/admin/identities" Admin Admin(identities::list), Page(identities::PARAMETERS) => 200 Many(&identities::IDENTITY), [], "List agentic identities";
    Get "/t/{tenant}/admin/identities/{id}" Admin Admin(identities::get), Query(identities::VANTAGE, false) => 200 One(&identities::DETAIL), [], "Show an agentic identity, what it can reach, and what it did last";
    Post "/t/{tenant}/admin/identities/{id}/suspend" Admin Admin(|call| kill::suspend(call, Stoppable::Identity)), Takes::Nothing => 200 One(&RECEIPT), [409], "Stop an agentic identity until it is resumed";
    Post "/t/{tenant}/admin/identities/{id}/resume" Admin Admin(identities::resume), Takes::Nothing => 200 One(&identities::IDENTITY), [409], "Let a suspended agentic identity go on";
    Post "/t/{tenant}/admin/identities/{id}/kill" Admin Admin(|call| kill::kill(call, Stoppable::Identity)), Takes::Nothing => 200 One(&RECEIPT), [409], "Stop an agentic identity for good";
    Post "/t/{tenant}/admin/kill" Admin Admin(kill::any), Json(&kill::KILL) => 200 One(&RECEIPT), [409], "Stop for good what the body names: exactly one";

    Get "/t/{tenant}/admin/resources" Admin Admin(list::<Resources>), Page(Resources::FILTERS) => 200 Many(&resources::RESOURCE), [], "List resources by id";
    Post "/t/{tenant}/admin/resources" Admin Admin(post::<Resources>), Json(&Resources::NEW) => 201 Tagged(&resources::RESOURCE), [409], "Register a resource";
    Get "/t/{tenant}/admin/resources/{id}" Admin Admin(get::<Resources>), Takes::Nothing => 200 Tagged(&resources::RESOURCE), [], "Show a resource";
    Put "/t/{tenant}/admin/resources/{id}" Admin Admin(put::<Resources>), Json(&Resources::BODY) => 200 Tagged(&resources::RESOURCE), [409, 412, 428], "Replace a resource";
    Delete "/t/{tenant}/admin/resources/{id}" Admin Admin(delete::<Resources>), Takes::Nothing => 204 Gives::Nothing, [409, 412], "Remove a resource";

    Get "/t/{tenant}/admin/users" Admin Admin(list::<Users>), Page(Users::FILTERS) => 200 Many(&users::USER), [], "List users, the oldest first";
    Post "/t/{tenant}/admin/users" Admin Admin(post::<Users>), Json(&Users::NEW) => 201 Tagged(&users::USER), [409], "Make a user";
    Get "/t/{tenant}/admin/users/{id}" Admin Admin(get::<Users>), Takes::Nothing => 200 Tagged(&users::USER), [], "Show a user";
    Put "/t/{tenant}/admin/users/{id}" Admin Admin(put::<Users>), Json(&Users::BODY) => 200 Tagged(&users::USER), [409, 412, 428], "Replace what is known of a user";
    Delete "/t/{tenant}/admin/users/{id}" Admin Admin(delete::<Users>), Takes::Nothing => 204 Gives::Nothing, [412], "Remove a user; no token about them is honoured any more";
    Post "/t/{tenant}/admin/users/{id}/suspend" Admin Admin(|call| kill::suspend(call, Stoppable::User)), Takes::Nothing => 200 One(&RECEIPT), [409], "Stop a user until they are resumed";
    Post "/t/{tenant}/admin/users/{id}/resume" Admin Admin(users::resume), Takes::Nothing => 200 Tagged(&users::USER), [409], "Let a suspended user go on";
    Post "/t/{tenant}/admin/users/{id}/kill" Admin Admin(|call| kill::kill(call, Stoppable::User)), Takes::Nothing => 200 One(&RECEIPT), [409], "Stop a user for good, with every agentic identity that acts for them";
    Post "/t/{tenant}/admin/users/{id}/invitations" Admin Admin(passkeys::invite), Takes::Nothing => 201 One(&passkeys::INVITATION), [409], "Invite a user to set up a passkey; the only answer with the link, which replaces earlier ones";
    Get "/t/{tenant}/admin/users/{id}/passkeys" Admin Admin(passkeys::list), Takes::Nothing => 200 Many(&passkeys::PASSKEY), [], "List the passkeys of a user, the oldest first";
    Delete "/t/{tenant}/admin/users/{id}/passkeys/{passkey}" Admin Admin(passkeys::delete), Takes::Nothing => 204 Gives::Nothing, [], "Remove a passkey of a user; its sessions end";

    Get "/t/{tenant}/admin/users/{id}/consents" Admin Admin(consents::list), Page(&[]) => 200 Many(&consents::CONSENT), [], "List what a user has allowed";
    Delete "/t/{tenant}/admin/consents/{id}" Admin Admin(consents::delete), Takes::Nothing => 204 Gives::Nothing, [409], "Withdraw a consent, with all that was issued under it";

    Get "/t/{tenant}/admin/approvals" Admin Admin(approvals::list), Page(&["status"]) => 200 Many(&approvals::APPROVAL), [], "List approvals, the newest first";
    Get "/t/{tenant}/admin/approvals/{id}" Admin Admin(approvals::get), Takes::Nothing => 200 One(&approvals::APPROVAL), [], "Show an approval, with what proves it";
    Post "/t/{tenant}/admin/approvals/{id}/decide" Admin Admin(approvals::decide), Json(&approvals::APPROVAL_DECISION) => 200 One(&approvals::APPROVAL), [409], "Decide about an approval";
    Post "/t/{tenant}/admin/approvals/{id}/revoke" Admin Admin(approvals::revoke), Takes::Nothing => 200 One(&approvals::APPROVAL), [], "Take an approval back, with every token that came of it";

    Get "/t/{tenant}/admin/issuers" Admin Admin(list::<Issuers>), Page(Issuers::FILTERS) => 200 Many(&issuers::ISSUER), [], "List outside issuers by id";
    Post "/t/{tenant}/admin/issuers" Admin Admin(post::<Issuers>), Json(&Issuers::NEW) => 201 Tagged(&issuers::ISSUER), [409], "Register an outside issuer";
    Get "/t/{tenant}/admin/issuers/{id}" Admin Admin(get::<Issuers>), Takes::Nothing => 200 Tagged(&issuers::ISSUER), [], "Show an outside issuer";
    Put "/t/{tenant}/admin/issuers/{id}" Admin Admin(put::<Issuers>), Json(&Issuers::BODY) => 200 Tagged(&issuers::ISSUER), [409, 412, 428], "Replace an outside issuer";
    Delete "/t/{tenant}/admin/issuers/{id}" Admin Admin(delete::<Issuers>), Takes::Nothing => 204 Gives::Nothing, [409, 412], "Remove an outside issuer; nothing that it says counts any more";

    Get "/t/{tenant}/admin/policies" Admin Admin(list::<Policies>), Page(Policies::FILTERS) => 200 Many(&policies::POLICY), [], "List policies by id";
    Get "/t/{tenant}/admin/policies/templates" Admin Admin(policies::templates), Takes::Nothing => 200 One(&policies::TEMPLATES), [], "List policies that people ask for, with their tests";
    Delete "/t/{tenant}/admin/policies/templates" Admin Admin(|call| policies::remove(call, "templates")), Query(&["force"], false) => 204 Gives::Nothing, [409, 412], "Remove a policy that was called so before it was a word of this API";
    Post "/t/{tenant}/admin/policies/explain" Admin Admin(explain::explain), Json(&explain::EXPLAIN) => 200 One(&explain::EXPLANATION), [], "Explain what policy says of a question, a decision or a token";
    Delete "/t/{tenant}/admin/policies/explain" Admin Admin(|call| policies::remove(call, "explain")), Query(&["force"], false) => 204 Gives::Nothing, [409, 412], "Remove a policy that was called so before it was a word of this API";
    Post "/t/{tenant}/admin/policies/replay" Admin Admin(explain::replay), Json(&explain::REPLAY) => 200 One(&explain::REPLAYED), [], "Try changes of policies out on the decisions of a period; nothing is written";
    Delete "/t/{tenant}/admin/policies/replay" Admin Admin(|call| policies::remove(call, "replay")), Query(&["force"], false) => 204 Gives::Nothing, [409, 412], "Remove a policy that was called so before it was a word of this API";
    Get "/t/{tenant}/admin/policies/{id}" Admin Admin(get::<Policies>), Takes::Nothing => 200 Tagged(&policies::POLICY), [], "Show a policy";
    Put "/t/{tenant}/admin/policies/{id}" Admin Admin(put_named::<Policies>), Json(&Policies::BODY) => 200 Made(&policies::POLICY), [409, 412, 428], "Make or replace a policy";
    Delete "/t/{tenant}/admin/policies/{id}" Admin Admin(delete::<Policies>), Query(&["force"], false) => 204 Gives::Nothing, [409, 412], "Remove a policy";
    Get "/t/{tenant}/admin/policies/{id}/shadow" Admin Admin(explain::shadow), Query(explain::PARAMETERS, false) => 200 One(&explain::SHADOW), [], "Report what a policy would have changed while it was in shadow";
    Post "/t/{tenant}/admin/policies/{id}/enforce" Admin Admin(explain::enforce), Takes::Nothing => 200 Tagged(&policies::POLICY), [409, 412], "Turn a policy on for good";

    Get "/t/{tenant}/admin/connections" Broker Admin(list::<Connections>), Page(Connections::FILTERS) => 200 Many(&connections::CONNECTION), [], "List connections by name";
    Get "/t/{tenant}/admin/connections/{name}" Broker Admin(get::<Connections>), Takes::Nothing => 200 Tagged(&connections::CONNECTION), [], "Show a connection; never its secret";
    Put "/t/{tenant}/admin/connections/{name}" Broker Admin(put_named::<Connections>), Json(&Connections::BODY) => 200 Made(&connections::CONNECTION), [409, 412, 428], "Make or change a connection";
    Delete "/t/{tenant}/admin/connections/{name}" Broker Admin(delete::<Connections>), Takes::Nothing => 204 Gives::Nothing, [412], "Remove a connection and make its secret unreadable";
    Post "/t/{tenant}/admin/connections/{name}/suspend" Admin Admin(|call| kill::suspend(call, Stoppable::Connection)), Takes::Nothing => 200 One(&RECEIPT), [409], "Stop a connection until it is resumed";
    Post "/t/{tenant}/admin/connections/{name}/resume" Admin Admin(connections::resume), Takes::Nothing => 200 Tagged(&connections::CONNECTION), [409], "Let a suspended connection go on";
    Post "/t/{tenant}/admin/connections/{name}/kill" Admin Admin(|call| kill::kill(call, Stoppable::Connection)), Takes::Nothing => 200 One(&RECEIPT), [409], "Stop a connection for good and make its secret unreadable";

    Get "/t/{tenant}/admin/connections/{name}/accounts" Broker Admin(accounts::list), Page(&[]) => 200 Many(&accounts::ACCOUNT), [], "List the accounts that people have connected; never their tokens";
    Delete "/t/{tenant}/admin/connections/{name}/accounts/{id}" Broker Admin(accounts::delete), Takes::Nothing => 204 Gives::Nothing, [], "Disconnect an account; its tokens are revoked at the service";
    Post "/t/{tenant}/admin/connections/{name}/accounts/{id}/suspend" Broker Admin(accounts::suspend), Takes::Nothing => 200 One(&accounts::ACCOUNT), [409], "Stop an account until it is resumed; its tokens stay";
    Post "/t/{tenant}/admin/connections/{name}/accounts/{id}/resume" Broker Admin(accounts::resume), Takes::Nothing => 200 One(&accounts::ACCOUNT), [409], "Let an account that was stopped go on";
    Post "/t/{tenant}/admin/connections/{name}/connect" Broker Admin(accounts::link), Json(&accounts::CONNECT) => 200 One(&accounts::LINK), [], "Make a link on which a person connects an account";

    Post "/t/{tenant}/admin/suspend" Admin Admin(keeping::suspend), Json(&keeping::SUSPEND) => 200 One(&keeping::SUSPENDED), [], "Suspend every connection to a service";
    Post "/t/{tenant}/admin/vault/rewrap" Broker Admin(keeping::rewrap), Takes::Nothing => 200 One(&keeping::REWRAPPED), [500], "Wrap data keys anew that lie under an older key-encryption key";
    Get "/t/{tenant}/admin/webhooks" Broker Admin(list::<Webhooks>), Page(Webhooks::FILTERS) => 200 Many(&webhooks::WEBHOOK), [], "List webhooks by id";
    Post "/t/{tenant}/admin/webhooks" Broker Admin(post::<Webhooks>), Json(&Webhooks::NEW) => 201 Tagged(&webhooks::MADE), [409], "Make a webhook (Standard Webhooks), one of ten at most; the only answer with its secret";
    Get "/t/{tenant}/admin/webhooks/{id}" Broker Admin(get::<Webhooks>), Takes::Nothing => 200 Tagged(&webhooks::WEBHOOK), [], "Show a webhook; never its secret";
    Put "/t/{tenant}/admin/webhooks/{id}" Broker Admin(put::<Webhooks>), Json(&Webhooks::BODY) => 200 Tagged(&webhooks::WEBHOOK), [409, 412, 428], "Change a webhook; its secret stays";
    Delete "/t/{tenant}/admin/webhooks/{id}" Broker Admin(delete::<Webhooks>), Takes::Nothing => 204 Gives::Nothing, [412], "Remove a webhook with what it has not taken";
    Post "/t/{tenant}/admin/webhooks/{id}/secrets" Broker Admin(webhooks::rotate), Takes::Nothing => 201 One(&webhooks::SECRET), [409], "Give a webhook another secret; the only answer with it. For a day the one before signs too";
    Post "/t/{tenant}/admin/webhooks/{id}/test" Broker Admin(webhooks::test), Takes::Nothing => 200 One(&webhooks::SENT), [409], "Send a message of the type `webhook.test`";
    Get "/t/{tenant}/admin/webhooks/{id}/messages" Broker Admin(webhooks::messages), Page(&["state"]) => 200 Many(&webhooks::MESSAGE), [], "List the messages that a webhook has not taken";
    Post "/t/{tenant}/admin/webhooks/{id}/messages/{message}/resend" Broker Admin(webhooks::resend_one), Takes::Nothing => 204 Gives::Nothing, [409], "Send again a message that has failed";
    Post "/t/{tenant}/admin/webhooks/{id}/resend" Broker Admin(webhooks::resend), Takes::Nothing => 204 Gives::Nothing, [409], "Send again all messages that have failed";

    Get "/t/{tenant}/admin/keys" Token Admin(keys::list), Takes::Nothing => 200 Many(&keys::KEY), [], "List the signing keys that are published";
    Post "/t/{tenant}/admin/keys/rotate" Token Admin(keys::rotate), Takes::Nothing => 200 Many(&keys::KEY), [409], "Let the next keys sign";
    Post "/t/{tenant}/admin/keys/{kid}/revoke" Token Admin(keys::revoke), Takes::Nothing => 200 Many(&keys::KEY), [409], "Withdraw a key at once; where it signed, the next one signs";
    Get "/t/{tenant}/admin/events" Audit Admin(events::list), Page(events::PARAMETERS) => 200 Many(&events::EVENT), [], "Query the audit trail, newest first";
    Get "/t/{tenant}/admin/events/verify" Audit Admin(proofs::verify), Query(&["from"], false) => 200 One(&proofs::CHECKED), [], "Check that the events in the database are those of the log, some at a time";
    Get "/t/{tenant}/admin/events/proof" Audit Admin(proofs::of_token), Query(proofs::OF_TOKEN, false) => 200 Text(log::TEXT), [404, 409], "Prove what was recorded when a token was issued (C2SP tlog-proof)";
    Get "/t/{tenant}/admin/events/{id}/proof" Audit Admin(proofs::get), Query(proofs::OF_EVENT, false) => 200 Text(log::TEXT), [404, 409], "Prove what was recorded in an event (C2SP tlog-proof)";
    Post "/t/{tenant}/admin/events/erase" Audit Admin(proofs::erase), Json(&proofs::ERASE) => 200 One(&proofs::ERASED), [404, 409], "Take members that tell of a person out of events, some events at a time; the log stays as it is";
    Get "/t/{tenant}/admin/log/witnesses" Audit Admin(proofs::witnesses), Takes::Nothing => 200 One(&proofs::WITNESSES), [], "Show what each witness of the log has cosigned, and what keeps it";
    Get "/t/{tenant}/admin/dead-letters" Audit Admin(events::dead_letters), Takes::Nothing => 200 One(&events::DEAD_LETTERS), [], "Count what could not be recorded; in `main` only";
    Get "/t/{tenant}/admin/metrics" Admin Admin(metrics::get), Takes::Nothing => 200 Text(metrics::MEDIA), [], "Counts in the text format of Prometheus";

    Get "/t/{tenant}/admin/events/export" Audit Admin(trail::export), Query(events::EXPORT, false) => 200 Gives::Texts(trail::EXPORTS), [], "Export the events that fit the query, newest first, as JSON lines or CSV";
    Get "/t/{tenant}/admin/events/live" Audit Admin(trail::live), Query(trail::FOLLOW, false) => 200 Text(trail::LIVE), [], "Follow the trail as Server-Sent Events; `Last-Event-ID` goes on";
    Get "/t/{tenant}/admin/events/summary" Audit Admin(trail::summary), Query(trail::SUMMARY, false) => 200 One(&trail::SUMMARY_OF), [], "Count events by hour or day, and by type, client or outcome";
    Get "/t/{tenant}/admin/findings" Audit Admin(findings::list), Page(findings::PARAMETERS) => 200 Many(&findings::FINDING), [], "List what looks unused, unowned or strange, each with the one call that ends it";
    Get "/t/{tenant}/admin/sinks" Audit Admin(list::<Sinks>), Page(Sinks::FILTERS) => 200 Many(&sinks::SINK), [], "List sinks by id: where the trail is sent";
    Post "/t/{tenant}/admin/sinks" Audit Admin(post::<Sinks>), Json(&Sinks::NEW) => 201 Tagged(&sinks::MADE), [409], "Make a sink, one of ten at most; the only answer with the secret that signs, if it was made here";
    Get "/t/{tenant}/admin/sinks/{id}" Audit Admin(get::<Sinks>), Takes::Nothing => 200 Tagged(&sinks::SINK), [], "Show a sink; never its secret";
    Put "/t/{tenant}/admin/sinks/{id}" Audit Admin(put::<Sinks>), Json(&Sinks::BODY) => 200 Tagged(&sinks::SINK), [409, 412, 428], "Change a sink; its secret stays unless another is sent";
    Delete "/t/{tenant}/admin/sinks/{id}" Audit Admin(delete::<Sinks>), Takes::Nothing => 204 Gives::Nothing, [412], "Remove a sink; what it has not taken stays in the trail";
    Get "/t/{tenant}/admin/sinks/{id}/state" Audit Admin(sinks::state), Takes::Nothing => 200 One(&sinks::STATE), [], "Show how far a sink has come, and what keeps it";
    Post "/t/{tenant}/admin/sinks/{id}/test" Audit Admin(sinks::test), Takes::Nothing => 200 One(&sinks::TESTED), [409], "Send a sink one event of the type `sink.tested` at once, and say what became of it";
    Post "/t/{tenant}/admin/sinks/{id}/replay" Audit Admin(sinks::replay), Json(&sinks::REPLAY) => 204 Gives::Nothing, [], "Send a sink everything again from a sequence number on";
};
