//! Every reason of a refusal with its wire form: one table, the one map from a reason to the wire.
//!
//! Variants carry no data. A description is constant: it names the parameter and the next step.

use super::table::{Wire, reasons};

reasons! {
    /// No route has this path.
    NoSuchPath => 404 "not_found" "there is nothing at this path" ["RFC 9110 §15.5.5"];
    /// The path exists, but not with this method.
    MethodNotAllowed => 405 "invalid_request" "this method is not allowed here; see the `Allow` header" ["RFC 9110 §15.5.6"];
    /// The tenant does not exist, or its name is none.
    UnknownTenant => 404 "not_found" "there is no such tenant" ["RFC 9110 §15.5.5"];
    /// The tenant has been suspended.
    TenantSuspended => 403 "access_denied" "this tenant is suspended" ["docs/requirements.md R96"];
    /// More bytes than this endpoint reads.
    BodyTooLarge => 413 "invalid_request" "the body is too large" ["RFC 9110 §15.5.14"];
    /// Not `application/x-www-form-urlencoded`.
    WrongMediaType => 400 "invalid_request" "the body must be `application/x-www-form-urlencoded`" ["RFC 6749 §3.2"];
    /// The form does not parse, or has too many parameters or too long ones.
    MalformedForm => 400 "invalid_request" "the form is malformed" ["RFC 6749 §5.2"];
    /// A parameter is repeated that may appear once.
    DuplicateParameter => 400 "invalid_request" "a parameter is repeated" ["RFC 6749 §3.2"];
    /// An authorization request names no client that is there and active.
    UnknownClient => 400 "invalid_client" "`client_id` names no application that is registered here: connect it anew" ["RFC 6749 §4.1.2.1"];
    /// The document at a `client_id` cannot be fetched.
    ClientDocumentUnavailable => 400 "invalid_client" "the document at `client_id` cannot be fetched: it has to be JSON of 5 KB at the most, at a public https URL, without a redirect" ["docs/requirements.md R154"];
    /// The document at a `client_id` is no client's.
    ClientDocumentInvalid => 400 "invalid_client" "the document at `client_id` is not valid: it needs its own URL as `client_id`, `client_name`, `redirect_uris`, and a `token_endpoint_auth_method` of `none` or `private_key_jwt`" ["docs/requirements.md R154"];
    /// The tenant lets in no clients of this domain.
    ClientDomainRefused => 403 "access_denied" "applications of this domain may not connect here: an administrator can allow the domain" ["docs/requirements.md R156"];
    /// The tenant lets in clients of this domain once an administrator has allowed it.
    ClientApprovalWanted => 403 "access_denied" "an administrator has been asked to let applications of this domain connect: try again later" ["docs/requirements.md R156"];
    /// A policy forbids the registration of this client.
    RegistrationForbidden => 403 "access_denied" "a policy forbids the registration of this client: an administrator can say more" ["docs/requirements.md R160"];
    /// The tenant lets no clients register themselves.
    RegistrationOff => 403 "access_denied" "clients do not register themselves here: an administrator registers them, or lets them by `settings.registration`" ["docs/requirements.md R157"];
    /// Too many clients were registered from one address.
    TooManyRegistrations => 429 "too_many_requests" "too many clients were registered from this address; wait as `Retry-After` says" ["RFC 6585 §4"];
    /// An initial access token or a registration access token is missing, unknown or over, or its client is stopped: one answer.
    InvalidRegistrationToken => 401 "invalid_token" "the token for registration is missing, expired, or of another client: send it as `Authorization: Bearer`" ["RFC 7592 §2"];
    /// A redirect URI may not be registered.
    InvalidRedirectUri => 400 "invalid_redirect_uri" "`redirect_uris` has to be 1 to 20 URIs: https, http on this machine, or a scheme of the application's own; no fragment, no user" ["RFC 7591 §3.2.2"];
    /// Something else in a registration may not be.
    InvalidClientMetadata => 400 "invalid_client_metadata" "the client metadata is not valid: `grant_types` needs `authorization_code` or the one of devices, `token_endpoint_auth_method` is `none`, `client_secret_basic`, `client_secret_post` or, with public keys, `private_key_jwt`; no member twice, and none that the server sets" ["RFC 7591 §3.2.2"];
    /// An authorization request names a redirect URI that its client has not registered.
    UnknownRedirectUri => 400 "invalid_request" "`redirect_uri` is not one that this application has registered" ["RFC 9700 §2.1"];
    /// An authorization request for something else than a code.
    UnsupportedResponseType => 400 "unsupported_response_type" "`response_type` has to be `code`" ["RFC 6749 §4.1.2.1"];
    /// An authorization request without `response_type`.
    MissingResponseType => 400 "invalid_request" "`response_type` is missing: send `code`" ["RFC 6749 §3.1.1"];
    /// An authorization request that wants its response in another way.
    UnsupportedResponseMode => 400 "invalid_request" "`response_mode` has to be `query`" ["OpenID Connect Core §3.1.2.1"];
    /// An authorization request in a signed object.
    UnsupportedRequestObject => 400 "request_not_supported" "`request` is not read: send the parameters, or push them" ["OpenID Connect Core §6.1"];
    /// Authorization details of a type that the resource does not have, or for another resource.
    UnsupportedAuthorizationDetails => 400 "invalid_authorization_details" "`authorization_details` has a `type` that the resource does not have, or `locations` that are not `resource`: see `authorization_details_types_supported` in the metadata of the resource" ["RFC 9396 §5"];
    /// Authorization details that are malformed, or that nobody could be shown.
    MalformedAuthorizationDetails => 400 "invalid_authorization_details" "`authorization_details` has to be a JSON array of 1 to 10 objects with `type`, 2 KB at the most, whose members are visible text, numbers, booleans, lists of text, or objects of those" ["RFC 9396 §5"];
    /// Authorization details in a token request that the user has not allowed.
    AuthorizationDetailsBeyondConsent => 400 "invalid_authorization_details" "`authorization_details` has an object that the user has not allowed: leave it out, or connect again for more" ["RFC 9396 §6"];
    /// An authorization request without PKCE, or with another method than S256.
    MissingChallenge => 400 "invalid_request" "PKCE is required: send `code_challenge` with `code_challenge_method` `S256`" ["RFC 7636 §4.4.1"];
    /// `prompt` says `none` and something else, or `max_age` is no number.
    MalformedPrompt => 400 "invalid_request" "`prompt` or `max_age` is malformed: `none` stands alone, `max_age` is seconds" ["OpenID Connect Core §3.1.2.1"];
    /// `dpop_jkt` is no thumbprint.
    MalformedThumbprint => 400 "invalid_request" "`dpop_jkt` has to be the SHA-256 thumbprint of a key" ["RFC 9449 §10"];
    /// An authorization request is larger than a browser keeps.
    RequestTooLarge => 400 "invalid_request" "the request is too large: `state` and `nonce` may have 4096 bytes, all of it 8192" ["docs/requirements.md R149"];
    /// The client is not registered for authorization codes.
    CodesNotAllowed => 400 "unauthorized_client" "this client is not registered for the grant `authorization_code`" ["RFC 6749 §4.1.2.1"];
    /// Nobody is signed in, and nobody may be asked.
    LoginRequired => 400 "login_required" "the user has to sign in: send the request without `prompt` `none`" ["OpenID Connect Core §3.1.2.6"];
    /// The user would have to be asked, and may not be.
    ConsentRequired => 400 "consent_required" "the user has to be asked: send the request without `prompt` `none`" ["OpenID Connect Core §3.1.2.6"];
    /// The user has refused.
    ConsentDenied => 400 "access_denied" "the user has refused" ["RFC 6749 §4.1.2.1"];
    /// The user has ticked nothing.
    NothingChosen => 400 "invalid_request" "nothing is ticked: tick a line, or refuse" ["docs/requirements.md R150"];
    /// Another decision about the same client came first.
    ConsentChanged => 409 "conflict" "this was decided in another window: look at it again" ["docs/requirements.md R150"];
    /// A form comes from another page than ours, or its request is over.
    FormExpired => 400 "invalid_request" "this page is over, or was opened in another browser: go back to the application and connect again" ["docs/requirements.md R151"];
    /// A form was sent by a page of another origin.
    CrossOrigin => 403 "access_denied" "this form was sent by another site" ["docs/requirements.md R151"];
    /// Nobody can sign in that way.
    NoSuchProvider => 400 "invalid_request" "nobody can sign in this way here" ["docs/requirements.md R152"];
    /// A person has been stopped.
    AccountStopped => 403 "access_denied" "this account is suspended: an administrator can say more" ["docs/requirements.md R152"];
    /// The response of an identity provider in another browser than the sign-in was begun in, or too late.
    SignInExpired => 403 "access_denied" "this sign-in is over, or was begun in another browser: sign in again" ["docs/requirements.md R163"];
    /// An identity provider has not signed a person in.
    SignInDeclined => 403 "access_denied" "your identity provider has not signed you in: try again, or ask those who run it" ["OpenID Connect Core §3.1.2.6"];
    /// The response of an identity provider, or its ID token, does not count.
    SignInInvalid => 502 "access_denied" "what your identity provider answers does not count here: try again, or tell an administrator" ["OpenID Connect Core §3.1.3.7"];
    /// An identity provider cannot be reached, or gives no usable answer.
    IdentityProviderDown => 502 "temporarily_unavailable" "your identity provider gives no answer that can be used now: try again" ["RFC 9110 §15.6.3"];
    /// An account that nobody here has, at a provider that makes no users.
    UnknownAccount => 403 "access_denied" "nobody here has this account: an administrator has to add it" ["docs/requirements.md R165"];
    /// A logout token does not count.
    InvalidLogoutToken => 400 "invalid_request" "the logout token is not valid here" ["OpenID Connect Back-Channel Logout §2.6"];
    /// An invitation is unknown, used, expired or replaced: one answer.
    InvitationOver => 404 "not_found" "this invitation is over: sign in with the passkey that you have set up, or ask an administrator for another invitation" ["docs/requirements.md R192"];
    /// A passkey that could not be registered.
    PasskeyNotMade => 400 "invalid_request" "this passkey could not be set up: try again, or use another device" ["docs/requirements.md R193"];
    /// A passkey that is not registered here, or does not prove its holder.
    PasskeyRefused => 403 "access_denied" "this passkey does not count here: use another one, or ask an administrator for an invitation" ["docs/requirements.md R195"];
    /// The code grant without a code.
    MissingCode => 400 "invalid_request" "`code` is missing" ["RFC 6749 §4.1.3"];
    /// A code is unknown, expired, redeemed, somebody else's, or its verifier, redirect URI or resource is another: one answer.
    InvalidCode => 400 "invalid_grant" "the code is not valid: it has expired, was used, or belongs to another request" ["RFC 6749 §5.2"];
    /// The refresh grant without a token.
    MissingRefreshToken => 400 "invalid_request" "`refresh_token` is missing" ["RFC 6749 §6"];
    /// A refresh token is unknown, expired, revoked, used before or somebody else's: one answer.
    InvalidRefreshToken => 400 "invalid_grant" "the refresh token is not valid: the user has to connect again" ["RFC 6749 §5.2"];
    /// `resource` of a refresh is another one than the user has allowed.
    OtherResource => 400 "invalid_target" "`resource` is not the one of this grant: leave it out, or send the same" ["RFC 8707 §2.2"];
    /// `scope` of a refresh names nothing that the user has allowed.
    ScopeBeyondConsent => 400 "invalid_scope" "`scope` names nothing that the user has allowed: leave it out, or connect again for more" ["RFC 6749 §6"];
    /// `request_uri` is none of ours, over, had its code, or was pushed by another client: one answer.
    InvalidRequestUri => 400 "invalid_request_uri" "`request_uri` is over, was used, or is another client's: push the request again" ["RFC 9126 §4"];
    /// A pushed request names a pushed request.
    RequestUriPushed => 400 "invalid_request" "`request_uri` cannot be pushed: send the parameters themselves" ["RFC 9126 §2.1"];
    /// The client has to push its requests, and did not.
    PushRequired => 400 "invalid_request" "this client has to push its request first: see `pushed_authorization_request_endpoint`" ["RFC 9126 §6"];
    /// The user has signed in for the request, and not as it wants it.
    UnmetAuthentication => 400 "unmet_authentication_requirements" "signing in here does not meet `acr_values`, `max_age` or `prompt`" ["RFC 9470 §5"];
    /// Policy permits the scope to a user who has just signed in, and this one has not.
    StepUpRequired => 400 "insufficient_user_authentication" "policy permits this only soon after a sign-in: send the user anew, with this `scope`, and with `acr_values` if they are here" ["RFC 9470 §3"];
    /// Policy permits this for a token that is bound to a key (`@bind("dpop")`), and this one is not.
    BoundTokenRequired => 400 "invalid_dpop_proof" "policy permits this for a sender-constrained token alone: send a DPoP proof when you get the token, and with it" ["RFC 9449 §5"];
    /// Policy permits this with authorization details of a type (`@details`), and there are none.
    DetailsRequired => 400 "invalid_authorization_details" "policy permits this only with `authorization_details` of a type that this request, or its token, does not have" ["RFC 9396 §5"];
    /// The permits of this do not hold at this hour (`@quiet`).
    QuietHours => 400 "invalid_scope" "policy permits this at other hours only: try again then; an administrator can look `decision` up" ["docs/requirements.md R311"];
    /// The permits of this were used as often as they may be (`@limit`).
    LimitReached => 429 "too_many_requests" "policy permits this no more often in this time; wait as `Retry-After` says" ["docs/requirements.md R310"];
    /// A device code for a client that is not registered for the grant.
    DeviceNotAllowed => 400 "unauthorized_client" "this client is not registered for device codes: see its `grant_types`" ["RFC 8628 §3.1"];
    /// A client or an address has asked for too many device codes.
    TooManyDeviceCodes => 429 "too_many_requests" "too many devices of this client wait for their users; wait as `Retry-After` says" ["RFC 8628 §5.1"];
    /// A user code is unknown, over, or decided.
    UnknownUserCode => 400 "invalid_request" "no device waits with this code: look at the device again, or start anew there" ["RFC 8628 §3.3"];
    /// A person has entered too many user codes.
    TooManyUserCodes => 429 "too_many_requests" "too many codes were entered: wait a minute, and look at the device again" ["RFC 8628 §5.1"];
    /// The device grant without a code.
    MissingDeviceCode => 400 "invalid_request" "`device_code` is missing" ["RFC 8628 §3.4"];
    /// A device code is unknown, used or somebody else's: one answer.
    InvalidDeviceCode => 400 "invalid_grant" "the device code is not valid: it was used, or is another client's" ["RFC 8628 §3.5"];
    /// Nobody has decided about a device code.
    AuthorizationPending => 400 "authorization_pending" "the user has not decided yet: ask again after `interval`" ["RFC 8628 §3.5"];
    /// A device asks too often.
    SlowDown => 400 "slow_down" "the user has not decided yet, and this came too soon: add 5 seconds to the interval" ["RFC 8628 §3.5"];
    /// The user has refused a device.
    DeviceDenied => 400 "access_denied" "the user has refused the device" ["RFC 8628 §3.5"];
    /// A device code is over.
    DeviceCodeExpired => 400 "expired_token" "the device code is over: ask for another one" ["RFC 8628 §3.5"];
    /// Policy permits what is asked once a person has approved it, and no person has decided.
    ApprovalPending => 400 "authorization_pending" "a person has to approve this first: show `approval_uri` and `approval_number`, and send the same request again after `interval`" ["RFC 8628 §3.5"];
    /// Those who decide have denied what is asked.
    ApprovalDenied => 400 "access_denied" "this was denied: `approval_note` may say why" ["RFC 8628 §3.5"];
    /// An approval was used, taken back or is over.
    ApprovalOver => 400 "access_denied" "this approval was used, was taken back, or is over: ask for another one later" ["docs/requirements.md R324"];
    /// Too many approvals wait for a decider, or of the client.
    TooManyApprovals => 429 "too_many_requests" "too many approvals wait for the same person or of this client, or it has asked for too many in a day; wait as `Retry-After` says" ["docs/requirements.md R327"];
    /// Policy gives the client nothing of what it wants to have approved.
    ApprovalForbidden => 403 "access_denied" "policy does not permit what is to be approved, so nobody is asked; an administrator can look `decision` up" ["docs/requirements.md R394"];
    /// A client names a role or a group that neither policy nor an administrator names.
    DeciderNotNamed => 403 "access_denied" "`require` names a role or a group that may not be asked: a policy names it for this (`@require`), or an administrator in `settings.approvals.deciders`" ["docs/requirements.md R395"];
    /// Nobody is asked in the quiet hours of the tenant.
    ApprovalQuietHours => 400 "access_denied" "nobody is asked for an approval at this hour; ask again as `Retry-After` says" ["docs/requirements.md R400"];
    /// An approval was decided before, by the same or by others.
    ApprovalDecided => 409 "conflict" "this is decided already: look at it again" ["docs/requirements.md R323"];
    /// A client would decide about what it asks for itself.
    OwnApproval => 403 "access_denied" "the client that asks or acts does not decide" ["docs/requirements.md R325"];
    /// A decision leaves more than was asked, or nothing.
    ApprovalWidened => 400 "invalid_request" "what is left has to be a part of what was asked: `scope` and `authorization_details` can only lose entries" ["docs/requirements.md R326"];
    /// An approval that has to be signed with a passkey, and is not.
    PasskeyRequired => 403 "access_denied" "this is approved with a passkey, on its page" ["docs/requirements.md R333"];
    /// A request for an approval that says too little, or what it may not.
    InvalidApprovalRequest => 400 "invalid_request" "the request for an approval is malformed: see the API document" ["docs/requirements.md R328"];
    /// A client that is not registered for the backchannel.
    BackchannelNotAllowed => 400 "unauthorized_client" "this client is not registered for the backchannel: see its `grant_types`" ["OpenID CIBA Core §13"];
    /// A request by the backchannel without the one hint, or with a parameter that is none.
    MalformedBackchannel => 400 "invalid_request" "one of `login_hint` and `id_token_hint` is needed, and no other hint; `requested_expiry` is seconds; a client that is pinged sends `client_notification_token`" ["OpenID CIBA Core §13"];
    /// A binding message that cannot be shown.
    InvalidBindingMessage => 400 "invalid_binding_message" "`binding_message` has 100 characters at the most, all of which are shown" ["OpenID CIBA Core §13"];
    /// No user has the id of a hint.
    UnknownUserId => 400 "unknown_user_id" "the hint is the `sub` of no user here" ["OpenID CIBA Core §13"];
    /// A client asks too often, or a user is asked too often.
    TooManyBackchannel => 429 "too_many_requests" "this user was asked too often, or this client asks too often; wait as `Retry-After` says" ["RFC 6585 §4"];
    /// The backchannel grant without what it polls with.
    MissingAuthReqId => 400 "invalid_request" "`auth_req_id` is missing" ["OpenID CIBA Core §10.1"];
    /// What is polled with is unknown, used or somebody else's: one answer.
    InvalidAuthReqId => 400 "invalid_grant" "`auth_req_id` is not valid: it was used, or is another client's" ["OpenID CIBA Core §11"];
    /// The user has denied what a client asks by the backchannel.
    BackchannelDenied => 400 "access_denied" "the user has denied it" ["OpenID CIBA Core §11"];
    /// The user has not decided in time.
    BackchannelExpired => 400 "expired_token" "the user has not decided in time: ask again" ["OpenID CIBA Core §11"];
    /// A transaction authorization request without a challenge, or a poll without what to poll for.
    MissingChallengeOfResource => 400 "invalid_request" "`transaction_challenge` is missing; to poll, send `transaction_authorization_id`" ["docs/requirements.md R339"];
    /// A challenge is by no resource of ours, not for us, over or used, or another client polls: one answer.
    InvalidChallenge => 400 "invalid_request" "`transaction_challenge` or `transaction_authorization_id` is not valid here" ["docs/requirements.md R339"];
    /// No `grant_type`.
    MissingGrantType => 400 "invalid_request" "`grant_type` is missing" ["RFC 6749 §4.4.2"];
    /// A `grant_type` that is not offered.
    UnsupportedGrantType => 400 "unsupported_grant_type" "this grant type is not supported; see `grant_types_supported`" ["RFC 6749 §5.2"];

    /// The request names no client.
    NoClientAuthentication => 401 "invalid_client" "client authentication is missing: send `client_id` with a secret or an assertion" ["RFC 6749 §5.2"];
    /// The `Authorization` header is no well-formed Basic one.
    MalformedBasic => 401 "invalid_client" "the `Authorization` header is malformed" ["RFC 7617 §2"];
    /// Two authentication mechanisms in one request.
    SeveralMechanisms => 400 "invalid_request" "use one client authentication method, not two" ["RFC 6749 §2.3"];
    /// A secret without the client that it belongs to.
    MissingClientId => 401 "invalid_client" "`client_id` is missing: send it beside `client_secret`, or both in an `Authorization: Basic` header" ["RFC 6749 §2.3.1"];
    /// Unknown client, wrong or expired secret, an assertion that proves nothing: one answer.
    ClientAuthenticationFailed => 401 "invalid_client" "client authentication failed" ["RFC 6749 §5.2"];
    /// A client has proved itself, but is suspended, retired, or beyond its expiry.
    ClientNotActive => 401 "invalid_client" "this client is suspended, retired or expired; an administrator can say more" ["RFC 6749 §5.2"];
    /// A client has proved itself in another way than it is registered for.
    OtherMethod => 401 "invalid_client" "this client is registered for another `token_endpoint_auth_method`" ["RFC 7591 §2"];
    /// A client assertion is signed well and addressed to somebody else.
    AssertionAudience => 401 "invalid_client" "`aud` of the client assertion has to be the `issuer` of this server's metadata, as one string" ["RFC 7523 §3"];
    /// A client assertion is signed well and not valid now.
    AssertionExpired => 401 "invalid_client" "the client assertion has expired, is not valid yet, or lives too long; make a new one for each request and check the clock" ["RFC 7523 §3"];
    /// A client assertion is signed well and was used before.
    AssertionReplayed => 401 "invalid_client" "this client assertion was used before; make a new one with another `jti` for each request" ["RFC 7523 §3"];
    /// This request proves nobody, and too many of its client or from its address have done so lately.
    TooManyFailures => 429 "too_many_requests" "too many failed authentications; mend the credentials and wait as `Retry-After` says" ["RFC 6585 §4"];
    /// The client is not registered for this grant.
    GrantNotAllowed => 400 "unauthorized_client" "this client may not use this `grant_type`; see its registered `grant_types`" ["RFC 6749 §5.2"];

    /// A client, user, agentic identity or chain that has been stopped asks for a token.
    Stopped => 400 "invalid_grant" "the client, the user or a token in this request has been suspended, killed or revoked" ["docs/requirements.md R82"];
    /// The client gets sender-constrained tokens only, and sent no proof.
    ProofRequired => 400 "invalid_dpop_proof" "this client has to send a DPoP proof" ["RFC 9449 §5.2"];

    /// An `actor_token` without its type, or the other way round.
    UnpairedActorToken => 400 "invalid_request" "`actor_token` and `actor_token_type` come together or not at all" ["RFC 8693 §2.1"];
    /// A token type that cannot be exchanged, or none.
    UnsupportedTokenType => 400 "invalid_request" "`subject_token_type` or `actor_token_type` is missing or not supported" ["RFC 8693 §2.1"];
    /// A token type that is not issued.
    UnsupportedRequestedTokenType => 400 "invalid_request" "this `requested_token_type` is not issued" ["RFC 8693 §2.1"];
    /// A token to exchange is malformed, forged, expired, somebody else's, revoked, or bound to a key that was not proved.
    InvalidExchangedToken => 400 "invalid_request" "`subject_token` or `actor_token` is not valid here" ["RFC 8693 §2.2.2"];
    /// `may_act` of the subject token names somebody else.
    ActorNotNamed => 400 "invalid_request" "`may_act` of the presented token names another actor" ["RFC 8693 §4.4"];
    /// The chain of actors would grow beyond the tenant's bound.
    TooManyActors => 400 "invalid_request" "too many actors: this token may not be passed on any further" ["RFC 8693 §4.1"];
    /// The JWT bearer grant without an assertion.
    MissingAssertion => 400 "invalid_request" "`assertion` is missing" ["RFC 7521 §4.1"];
    /// The assertion is malformed, forged, expired, redeemed, by an unknown issuer, or about nobody whom it may be: one answer.
    InvalidAssertion => 400 "invalid_grant" "the assertion is not valid here" ["RFC 7521 §4.1.1"];

    /// The proof of a token request is malformed, forged, for another request, or was used before: one answer.
    InvalidProof => 400 "invalid_dpop_proof" "the DPoP proof is not valid for this request" ["RFC 9449 §5"];
    /// The tenant wants nonces of its own in proofs.
    NonceRequired => 400 "use_dpop_nonce" "the DPoP proof needs the nonce of the `DPoP-Nonce` header" ["RFC 9449 §8"];

    /// `scope` breaks the grammar or is too long.
    MalformedScope => 400 "invalid_scope" "`scope` is malformed" ["RFC 6749 §3.3"];
    /// The resource has none of the requested scopes.
    UnknownScope => 400 "invalid_scope" "`scope` names none of the scopes of this resource; see its `scopes_supported`" ["RFC 6749 §5.2"];
    /// The ceilings of the client and of the presented token leave nothing of the requested scope.
    ScopeBeyondCeiling => 400 "invalid_scope" "`scope` names nothing that the client's registered `scope` has, and the presented token's where there is one; an administrator can widen the client's" ["RFC 6749 §5.2"];
    /// Policy permits nothing of the requested scope.
    PolicyDenied => 400 "invalid_scope" "policy permits this client none of the requested scopes here and now; an administrator can have `decision` explained at `admin/policies/explain`" ["RFC 6749 §5.2"];
    /// Policy does not permit an exchange without an actor.
    ImpersonationDenied => 400 "invalid_scope" "policy does not permit this exchange without an actor: send the client's own access token as `actor_token`" ["RFC 8693 §1.1"];
    /// The token would be longer than any endpoint takes.
    TokenTooLarge => 400 "invalid_scope" "the token would be too large; request fewer scopes in `scope`" ["RFC 6749 §5.2"];
    /// `resource` is no absolute URI without fragment.
    MalformedResource => 400 "invalid_target" "`resource` must be an absolute URI without a fragment" ["RFC 8707 §2"];
    /// The resource is not registered, or the client may not ask for it.
    UnknownResource => 400 "invalid_target" "`resource` names no resource that this client may ask for; see its `allowed_resources`" ["RFC 8707 §2"];
    /// More than one `resource`.
    SeveralResources => 400 "invalid_target" "ask for one `resource` at a time" ["RFC 8707 §2.2"];
    /// No `resource`, and no single one to assume.
    MissingResource => 400 "invalid_target" "`resource` is missing and this client has no single one to assume" ["RFC 8707 §2"];

    /// No bearer token in the `Authorization` header.
    MissingToken => 401 "invalid_token" "a bearer token is required: send `Authorization: Bearer` and a token for this API" ["RFC 6750 §3"];
    /// The token is malformed, forged, expired, for someone else, or revoked: one answer.
    InvalidToken => 401 "invalid_token" "the token is malformed, expired, revoked or for another API: ask for a new one" ["RFC 6750 §3.1"];
    /// A bound token without its scheme, or that scheme with a token that is none.
    InvalidBoundToken => 401 "invalid_token" "send a bound token as `DPoP` with its proof, and any other as `Bearer`" ["RFC 9449 §7.2"];
    /// The proof that goes with a token is missing, malformed, forged, for another request or token, or was used before: one
    /// answer.
    InvalidTokenProof => 401 "invalid_dpop_proof" "the DPoP proof is not valid for this request and token" ["RFC 9449 §7.1"];
    /// The token is valid but lacks the scope.
    InsufficientScope => 403 "insufficient_scope" "the token lacks the `scope` that `WWW-Authenticate` names" ["RFC 6750 §3.1"];
    /// The token is valid, but the client's registration or policy does not permit it now what the token was issued for.
    NoLongerPermitted => 403 "access_denied" "the client's registration or policy does not permit this any more" ["RFC 6750 §3.1"];

    /// A request to introspect or revoke without a token.
    MissingTokenParameter => 400 "invalid_request" "`token` is missing" ["RFC 7662 §2.1"];
    /// The lease request has no `subject_token`.
    MissingSubjectToken => 400 "invalid_request" "`subject_token` is missing" ["RFC 8693 §2.1"];
    /// The subject token is malformed, forged, expired, for someone else, or revoked: one answer.
    InvalidSubjectToken => 400 "invalid_request" "`subject_token` is not a valid access token for this resource server" ["RFC 8693 §2.2.2"];
    /// The caller is a client, but not a resource server.
    NotAResourceServer => 403 "unauthorized_client" "only a client of the kind `resource_server` may do this" ["docs/requirements.md R52"];
    /// No such connection, or policy forbids the lease: one answer, so that names cannot be probed.
    LeaseDenied => 403 "access_denied" "this lease is not permitted; an administrator can have `decision` explained at `admin/policies/explain`" ["docs/requirements.md R53"];
    /// The requested scope is more than the connection may give.
    LeaseScope => 400 "invalid_scope" "`scope` names what the connection does not offer; leave it out for all that it offers" ["RFC 6749 §5.2"];
    /// The credential of the connection is used through the proxy alone.
    LeaseNotOffered => 403 "access_denied" "this connection hands nothing out: send the call through its proxy, or let an administrator set `may_be_leased`" ["docs/requirements.md R235"];
    /// The token endpoint cannot lease from the connection.
    LeaseElsewhere => 400 "invalid_target" "this connection is leased from at `{issuer}/connections/{name}/token` alone" ["RFC 8693 §2.2.2"];
    /// The allow-list of the connection does not have the call.
    CallNotAllowed => 403 "access_denied" "the connection does not allow this method, path or query: an administrator can add it to `allow`" ["docs/requirements.md R226"];
    /// A call through the proxy that services could read in several ways, or that has the caller's own token in its line.
    MalformedCall => 400 "invalid_request" "this call cannot be passed on: its path, query or headers are malformed, too long, or hold what only Writ may send" ["docs/requirements.md R227"];
    /// A call through the proxy that wants another protocol than a WebSocket.
    UpgradeRefused => 400 "invalid_request" "`Upgrade` is passed on for a WebSocket alone, in a `GET` without a body" ["docs/requirements.md R231"];
    /// Code whose outbound Worker this is calls a URL to which no connection leads that its agent may use: one answer.
    NoConnection => 403 "access_denied" "no connection that this agent may use leads to this URL; an administrator finds why in the event `proxy.refused`" ["docs/requirements.md R286"];
    /// The props of a binding of the entrypoint `Outbound` are not as it reads them.
    MalformedProps => 400 "invalid_request" "the props of the binding must be `tenant`, and may be `connections` (names) and `token`" ["docs/requirements.md R285"];
    /// A resource server calls through the proxy without the agent's token.
    MissingAgentToken => 400 "invalid_request" "send the agent's token in the header `Writ-Subject-Token`" ["docs/requirements.md R224"];
    /// The user, or the tenant, has no account connected that can be used.
    ConnectionNeeded => 400 "interaction_required" "no account is connected that can be used: let the user open `connect_url`, then send the request again" ["OpenID Connect Core §3.1.2.6"];
    /// The tenant has no account connected that can be used.
    TenantAccountNeeded => 403 "access_denied" "no account of the tenant is connected that can be used: an administrator has to connect it" ["docs/requirements.md R215"];
    /// An administrator has stopped the account.
    AccountDisabled => 403 "access_denied" "an administrator has stopped this account, and can resume it" ["docs/requirements.md R298"];
    /// The page to connect an account is for somebody else.
    OtherPerson => 403 "access_denied" "this link was made for somebody else: sign in as the person whose agent has shown it" ["docs/requirements.md R215"];
    /// The connection is not there, is stopped, or is none that people connect accounts with.
    NoSuchService => 404 "not_found" "no account can be connected here: look at the link again, or ask an administrator" ["docs/requirements.md R215"];
    /// The owner has as many accounts at the connection as there may be.
    TooManyAccounts => 409 "conflict" "there are as many accounts here as there may be: disconnect one first" ["docs/requirements.md R249"];
    /// The response of a service does not belong to what this browser has begun, or is over.
    ConnectExpired => 403 "access_denied" "this page is over, or was opened in another browser: connect again" ["docs/requirements.md R215"];
    /// The service did not grant anything.
    ConnectDeclined => 403 "access_denied" "the service has connected nothing: try again, and allow it there" ["RFC 6749 §4.1.2.1"];
    /// The service takes neither the connection's own client nor what it asks for.
    ConnectMisconfigured => 502 "server_error" "the service does not take this connection as it is set up: tell an administrator, who finds why in the event `account.refused`" ["docs/requirements.md R383"];
    /// The service answered what cannot be used.
    ConnectFailed => 502 "temporarily_unavailable" "the service gives no usable answer: try again, or tell an administrator" ["RFC 9110 §15.6.3"];
    /// The key of the vault is not what has sealed what is there.
    VaultKeyWrong => 500 "server_error" "nothing can be sealed: `VAULT_KEK` is not what has sealed the credentials that are there" ["docs/requirements.md R292"];
    /// The provider could not be reached, broke off, or answered what cannot be used.
    ProviderFailed => 502 "temporarily_unavailable" "the provider gave no usable answer" ["RFC 9110 §15.6.3"];
    /// The provider refused the stored credential.
    ProviderRefused => 502 "access_denied" "the provider refused the stored credential" ["RFC 9110 §15.6.3"];
    /// The provider took too long.
    ProviderTimeout => 504 "temporarily_unavailable" "the provider did not answer in time" ["RFC 9110 §15.6.5"];

    /// The caller may have a token for event streams, but is no resource server.
    NoReceiver => 403 "access_denied" "only a resource server may have an event stream" ["docs/requirements.md R92"];
    /// A stream whose receiver takes nothing is asked for a verification event.
    TooManySignals => 429 "invalid_request" "too many signals wait in this stream; take them first" ["RFC 6585 §4"];

    /// A resource server sends more reports of tool calls in a minute than are taken.
    TooManyReports => 429 "too_many_requests" "too many reports of tool calls in this minute; gather more calls in each, and wait as `Retry-After` says" ["RFC 6585 §4"];

    /// Not `application/json`.
    NotJson => 415 "invalid_request" "the body must be `application/json`" ["RFC 9110 §15.5.16"];
    /// The body is not one JSON object.
    MalformedJson => 400 "invalid_request" "the body must be one JSON object" ["RFC 9457"];
    /// The body has a field that does not exist or may not be set.
    UnknownField => 400 "invalid_request" "the body has an unknown field" ["docs/requirements.md R76"];
    /// A field has a value that it may not have.
    InvalidField => 400 "invalid_request" "a field has an invalid value" ["docs/requirements.md R76"];
    /// A policy does not parse or does not fit the schema.
    InvalidPolicy => 400 "invalid_request" "the policy does not parse or does not fit the schema" ["docs/requirements.md R48"];
    /// A test of a policy fails with the change.
    PolicyTestFailed => 409 "policy_test_failed" "a test of a policy fails with this change: see `detail`, or force it (`force`), which is an event" ["docs/requirements.md R317"];
    /// The record does not exist in this tenant.
    NotFound => 404 "not_found" "there is no such record in this tenant" ["RFC 9110 §15.5.5"];
    /// Only administrators of the first tenant may do this.
    FirstTenantOnly => 403 "access_denied" "only administrators of the tenant `main` may do this" ["docs/requirements.md R80"];
    /// The name is taken, or two writers met.
    Conflict => 409 "conflict" "this is in conflict with what is there: read it, and decide anew" ["RFC 9110 §15.5.10"];
    /// The tenant has as many of a kind as its quota says.
    QuotaReached => 409 "quota_reached" "a quota of this tenant is reached; see `detail`" ["docs/requirements.md R136"];
    /// The tenant has been given as many tokens in this minute as its quota says.
    TokenQuotaReached => 429 "too_many_requests" "the quota `tokens_per_minute` of this tenant is used up; wait as `Retry-After` says" ["docs/requirements.md R137"];
    /// `Idempotency-Key` is no key.
    MalformedIdempotencyKey => 400 "invalid_request" "`Idempotency-Key` is malformed or too long; best send a new UUID" ["docs/requirements.md R134"];
    /// An `Idempotency-Key` comes again with another request.
    IdempotencyKeyReused => 422 "idempotency_key_reused" "this `Idempotency-Key` was sent with another request; send a new key" ["docs/requirements.md R134"];
    /// `If-Match` is missing on an update.
    PreconditionRequired => 428 "precondition_required" "send `If-Match` with the `ETag` that you read" ["RFC 6585 §3"];
    /// `If-Match` does not match any more.
    PreconditionFailed => 412 "precondition_failed" "the record is not as the condition says: read it again" ["RFC 9110 §13.1.1"];
    /// A query parameter has a value that it may not have.
    InvalidQuery => 400 "invalid_request" "a query parameter is unknown or invalid" ["docs/requirements.md R77"];
}
