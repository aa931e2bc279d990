//! The JSON of the compatible routes. Members that are not listed are left aside: SDKs send more than is read here.

use crate::oauth::scope::MAX_TOKENS;
use crate::web::schema::objects::SLUG;
use crate::web::schema::{ANY, Kind, Object, members, object};

const NAME: Kind = Kind::Note(512);
/// How many accounts a request may upload.
const MOST_TOKENS: usize = 20;
const SCOPES: Kind = Kind::List(&Kind::Text(256), MAX_TOKENS);
/// A token or a key of a service, in characters.
const SECRET: Kind = Kind::Text(16 * 1024);

/// Declares an object whose other members are left aside.
macro_rules! open {
    ($(#[$doc:meta])+ $const:ident = $name:literal $groups:expr) => {
        $(#[$doc])+
        pub const $const: Object = Object { name: $name, groups: &$groups, open: true };
    };
}

open!(
    /// Which connection token is asked for.
    FETCH = "DescopeTokenRequest" [members![
        must "appId" SLUG,
        may "userId" NAME,
        may "loginId" NAME,
        may "tenantId" NAME,
        may "scopes" SCOPES,
        may "options" Kind::Json,
        may "externalIdentifier" NAME,
    ]]
);

object!(
    /// A connection token.
    TOKEN = "DescopeToken" [members![
        must "id" Kind::Word,
        must "appId" Kind::Word,
        must "userId" Kind::Word,
        must "tenantId" Kind::Word,
        must "tokenSub" Kind::Word,
        must "accessToken" Kind::Word,
        must "accessTokenType" Kind::Word,
        must "accessTokenExpiry" Kind::Word,
        must "hasRefreshToken" Kind::Boolean,
        must "refreshToken" Kind::Word,
        must "lastRefreshTime" Kind::Word,
        must "lastRefreshError" Kind::Word,
        must "scopes" Kind::List(&Kind::Word, ANY),
        must "grantedBy" Kind::Word,
        must "externalIdentifier" Kind::Word,
    ]]
);

object!(
    /// A connection token, and `credentials` where it is none but a credential that the connection hands out as JSON.
    FETCHED = "DescopeTokenResponse" [members![must "token" Kind::Object(&TOKEN), may "credentials" Kind::Word]]
);

object!(
    /// A connection.
    APP = "DescopeApp" [members![
        must "id" Kind::Word,
        must "name" Kind::Word,
        must "description" Kind::Word,
        must "templateId" Kind::Word,
        must "appType" Kind::Word,
        must "clientId" Kind::Word,
        must "defaultScopes" Kind::List(&Kind::Word, ANY),
    ]]
);

object!(
    /// One connection.
    ONE_APP = "DescopeAppResponse" [members![must "app" Kind::Object(&APP)]]
);

object!(
    /// All connections.
    ALL_APPS = "DescopeAppsResponse" [members![must "apps" Kind::List(&Kind::Object(&APP), ANY)]]
);

object!(
    /// The connections for which a user has an account that can be used.
    APP_IDS = "DescopeAppIds" [members![must "appIds" Kind::List(&Kind::Word, ANY)]]
);

open!(
    /// The API key of a connection.
    API_KEY = "DescopeApiKey" [members![
        must "appId" SLUG,
        may "userId" NAME,
        may "tenantId" NAME,
        must "apiKey" SECRET,
    ]]
);

open!(
    /// The tokens of an account that was connected elsewhere.
    OAUTH_TOKEN = "DescopeOAuthToken" [members![
        must "appId" SLUG,
        may "userId" NAME,
        may "tenantId" NAME,
        may "accessToken" SECRET,
        may "refreshToken" SECRET,
        may "accessTokenExpiry" Kind::Time,
        may "scopes" SCOPES,
        may "externalIdentifier" NAME,
        may "verifyRefresh" Kind::Boolean,
    ]]
);

open!(
    /// The tokens of several accounts.
    OAUTH_TOKENS = "DescopeOAuthTokens" [members![must "tokens" Kind::List(&Kind::Object(&OAUTH_TOKEN), MOST_TOKENS)]]
);

object!(
    /// What is wrong with one of several uploads.
    FAILURE = "DescopeUploadFailure" [members![
        must "appId" Kind::Word,
        must "userId" Kind::Word,
        must "tenantId" Kind::Word,
        must "errorCode" Kind::Word,
        must "reason" Kind::Word,
    ]]
);

object!(
    /// What is wrong with several uploads; nothing is stored where it is not empty.
    FAILURES = "DescopeUploadFailures" [members![must "failures" Kind::List(&Kind::Object(&FAILURE), ANY)]]
);

object!(
    /// The session of an access key.
    SESSION = "DescopeSession" [members![must "keyId" Kind::Word, must "sessionJwt" Kind::Word]]
);

open!(
    /// What an SDK says of the session that it wants: nothing of it is read.
    LOGIN_OPTIONS = "DescopeLoginOptions" [members![may "loginOptions" Kind::Json]]
);

object!(
    /// How much an SDK may ask; what holds is in `429` and `Retry-After`.
    LICENSE = "DescopeLicense" [members![must "rateLimitTier" Kind::Word]]
);
