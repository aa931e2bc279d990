//! A strict identity provider, played by the fetch port: it refuses whatever a specification forbids.

use super::call::Reply;
use super::hub::Setup;
use super::{Scripted, Signer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use writ::crypto::sha256;
use writ::ports::{Alg, Outbound};

pub const IDP: &str = "https://login.idp.example";
pub const CLIENT: &str = "writ-at-idp";
pub const SECRET: &str = "s3cret/of+writ";

/// What the ID token of a code is made with.
type Sign = Rc<dyn Fn(&Value) -> String>;

struct Code {
    challenge: String,
    redirect_uri: String,
    claims: Value,
}

struct State {
    codes: BTreeMap<String, Code>,
    configuration: Map<String, Value>,
    sign: Sign,
    /// The answer to everything, while it is in trouble.
    trouble: Option<Scripted>,
    asked: Vec<BTreeMap<String, String>>,
}

/// The provider of [`IDP`].
pub struct Idp<'a> {
    hub: &'a Setup,
    pub signer: Signer,
    state: Rc<RefCell<State>>,
}

impl<'a> Idp<'a> {
    /// It answers from now on.
    pub fn new(hub: &'a Setup) -> Self {
        let signer = Signer::new(Alg::Rs256, 3);
        let configuration = json!({
            "issuer": IDP, "authorization_endpoint": format!("{IDP}/authorize?tenant=a"), "token_endpoint": format!("{IDP}/token"),
            "jwks_uri": format!("{IDP}/jwks"), "authorization_response_iss_parameter_supported": true,
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        });
        let usual = signer.clone();
        let state = State {
            codes: BTreeMap::new(),
            configuration: configuration.as_object().unwrap().clone(),
            sign: Rc::new(move |claims| usual.jwt(json!({"kid": "k"}), claims)),
            trouble: None,
            asked: Vec::new(),
        };
        let idp = Self { hub, signer, state: Rc::new(RefCell::new(state)) };
        let (state, jwks) = (idp.state.clone(), idp.signer.jwks("k"));
        hub.fetch.answer(move |request| answer(&mut state.borrow_mut(), &jwks, request));
        idp
    }

    /// Registers it; whatever `more` leaves out is as usual.
    pub fn register(&self, more: Value) -> Reply {
        let mut body = json!({
            "id": "idp", "issuer": IDP, "name": "Example IdP", "uses": ["sign_in"], "client_id": CLIENT, "client_secret": SECRET,
            "creates_users": true,
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.hub.admin("POST", "issuers").json(&body).send()
    }

    /// Its configuration has these members from now on; null takes one away.
    pub fn configure(&self, more: Value) {
        self.state.borrow_mut().configuration.extend(more.as_object().unwrap().clone());
        self.hub.restart();
    }

    /// It signs ID tokens so from now on.
    pub fn sign_with(&self, sign: impl Fn(&Value) -> String + 'static) {
        self.state.borrow_mut().sign = Rc::new(sign);
    }

    /// It answers so whatever it is asked.
    pub fn trouble(&self, answer: Option<Scripted>) {
        self.state.borrow_mut().trouble = answer;
    }

    /// The forms that its token endpoint was sent.
    pub fn asked(&self) -> Vec<BTreeMap<String, String>> {
        self.state.borrow().asked.clone()
    }

    /// Its authorization endpoint: somebody signs in there, of whom `claims` tell. Where it sends the browser back to.
    #[track_caller]
    pub fn authorize(&self, url: &str, claims: Value) -> String {
        let (endpoint, query) = url.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{IDP}/authorize"));
        let sent = parameters(query);
        let get = |name: &str| sent.get(name).unwrap_or_else(|| panic!("no {name} in {url}")).clone();
        assert_eq!((&*get("client_id"), &*get("response_type"), &*get("tenant")), (CLIENT, "code", "a"));
        assert_eq!((&*get("code_challenge_method"), get("code_challenge").len()), ("S256", 43));
        assert!(get("scope").split(' ').any(|scope| scope == "openid"));
        assert_eq!(get("redirect_uri"), format!("{}/sign-in/callback", self.hub.issuer("main")));
        let now = self.hub.clock.seconds();
        let mut all = json!({
            "iss": IDP, "sub": "ada", "aud": CLIENT, "iat": now, "exp": now + 600, "nonce": get("nonce"),
            "name": "Ada Lovelace", "email": "ada@example.com", "sid": "s1",
        });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let mut state = self.state.borrow_mut();
        let code = format!("code-{}", state.codes.len());
        let (challenge, redirect_uri) = (get("code_challenge"), get("redirect_uri"));
        state.codes.insert(code.clone(), Code { challenge, redirect_uri: redirect_uri.clone(), claims: all });
        let query = [("code", &*code), ("state", &get("state")), ("iss", IDP)];
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        format!("{redirect_uri}?{query}")
    }

    /// A logout token with these claims besides the usual ones.
    pub fn logout_token(&self, more: Value) -> String {
        let now = self.hub.clock.seconds();
        let mut claims = json!({
            "iss": IDP, "aud": CLIENT, "iat": now, "exp": now + 120, "jti": format!("logout-{now}"), "sid": "s1",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.signer.jwt(json!({"kid": "k", "typ": "logout+jwt"}), &claims)
    }
}

/// The parameters of a query; each once.
pub fn parameters(query: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        assert!(all.insert(name.clone().into_owned(), value.into_owned()).is_none(), "{name} is repeated");
    }
    all
}

fn answer(state: &mut State, jwks: &Value, request: &Outbound) -> Scripted {
    if let Some(trouble) = &state.trouble {
        return trouble.clone();
    }
    match (request.method, request.url.strip_prefix(IDP)) {
        ("GET", Some("/.well-known/openid-configuration")) => {
            let mut configuration = state.configuration.clone();
            configuration.retain(|_, value| !value.is_null());
            Scripted::json(200, configuration.into())
        }
        ("GET", Some("/jwks")) => Scripted::json(200, jwks.clone()),
        ("POST", Some("/token")) => {
            let form = parameters(request.body.as_deref().unwrap());
            state.asked.push(form.clone());
            token(state, request, &form)
        }
        _ => Scripted::answer(404, "text/plain", "nothing here"),
    }
}

fn token(state: &mut State, request: &Outbound, form: &BTreeMap<String, String>) -> Scripted {
    let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let error = |code: &str| Scripted::json(400, json!({"error": code}));
    let header = request.headers.iter().find(|(name, _)| *name == "authorization").map(|(_, value)| value.as_str());
    let methods = &state.configuration["token_endpoint_auth_methods_supported"];
    let allows = |method: &str| methods.as_array().unwrap().iter().any(|one| one == method);
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(CLIENT), encode(SECRET))));
    let is_proved = match (header, form.contains_key("client_assertion")) {
        (Some(header), false) => {
            header == basic && allows("client_secret_basic") && !form.contains_key("client_secret")
        }
        (None, true) => allows("private_key_jwt") && get("client_id") == CLIENT,
        (None, false) if form.contains_key("client_secret") => {
            get("client_id") == CLIENT && get("client_secret") == SECRET && allows("client_secret_post")
        }
        (None, false) => get("client_id") == CLIENT && allows("none"),
        _ => false,
    };
    if !is_proved {
        return error("invalid_client");
    }
    // A code counts once.
    let Some(code) = state.codes.remove(get("code")) else { return error("invalid_grant") };
    let is_bound = sha256(get("code_verifier")).to_text() == code.challenge
        && get("code_verifier").len() >= 43
        && get("redirect_uri") == code.redirect_uri
        && get("grant_type") == "authorization_code";
    if !is_bound {
        return error("invalid_grant");
    }
    let id_token = (state.sign)(&code.claims);
    Scripted::json(200, json!({"access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": id_token}))
}
