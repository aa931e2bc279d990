//! The limit that Writ's token endpoint is measured against: a Worker that signs one ES256 JWS through WebCrypto and awaits one
//! queue send, both at once, and does nothing else. Whatever Writ adds (parsing, authentication, policy, the event's content) is
//! its distance from here.

use std::cell::OnceCell;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use futures_util::future::try_join;
use js_sys::{JSON, Reflect, Uint8Array};
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};
use worker::{Context, Env, QueueContentType, RawMessageBuilder, Request, Response, Result, event};

/// As long as the signing input of one of Writ's access tokens.
const SIGNING_INPUT: usize = 480;
/// With its envelope, as long as one of Writ's audit events.
const DETAIL: usize = 570;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = generateKey)]
    async fn generate_key(
        algorithm: &JsValue,
        extractable: bool,
        usages: &JsValue,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"])]
    async fn sign(algorithm: &JsValue, key: &JsValue, data: &[u8]) -> Result<JsValue, JsValue>;
}

thread_local! {
    /// The private key and the parameters to sign with, one each per isolate.
    static SIGNER: OnceCell<(JsValue, JsValue)> = const { OnceCell::new() };
}

async fn signer() -> Result<(JsValue, JsValue)> {
    if let Some(signer) = SIGNER.with(|cell| cell.get().cloned()) {
        return Ok(signer);
    }
    let curve = JSON::parse(r#"{"name":"ECDSA","namedCurve":"P-256"}"#)?;
    let pair = generate_key(&curve, false, &JSON::parse(r#"["sign","verify"]"#)?).await?;
    let signer = (
        Reflect::get(&pair, &"privateKey".into())?,
        JSON::parse(r#"{"name":"ECDSA","hash":"SHA-256"}"#)?,
    );
    Ok(SIGNER.with(|cell| cell.get_or_init(|| signer).clone()))
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _: Context) -> Result<Response> {
    if request.path() != "/token" {
        return Response::error("POST /token", 404);
    }
    let (key, algorithm) = signer().await?;
    let queue = env.queue("AUDIT")?;
    let input = "x".repeat(SIGNING_INPUT);
    let event =
        serde_json::json!({ "type": "token.issued", "detail": "x".repeat(DETAIL) }).to_string();
    let message =
        RawMessageBuilder::new(event.into()).build_with_content_type(QueueContentType::Text);
    let (signature, ()) = try_join(
        async { Ok(sign(&algorithm, &key, input.as_bytes()).await?) },
        queue.send_raw(message),
    )
    .await?;
    let signature = Uint8Array::new(signature.unchecked_ref()).to_vec();
    Response::from_json(&serde_json::json!({
        "access_token": format!("{input}.{}", B64.encode(signature)),
        "token_type": "Bearer",
        "expires_in": 300,
    }))
}
