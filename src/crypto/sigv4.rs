//! AWS Signature Version 4 (docs.aws.amazon.com, "AWS Signature Version 4 for API requests"): a call is signed with the keys of a session, and
//! carries none of them but the session token.
//!
//! 1. `host`, `content-type`, `content-md5` and every `x-amz-*` header are signed.
//! 2. The query is sent in its canonical form. The canonical path of S3 is encoded once, that of any other service is the one that is sent, encoded
//!    once more.
//! 3. The digest of the body is signed. A body that streams to S3 is `UNSIGNED-PAYLOAD`; for any other service the caller says the digest, which
//!    the service compares, or the body is read first.

use super::{Secret, hmac_sha256, sha256};
use crate::ports::{Now, Payload};
use chrono::{DateTime, Datelike, Timelike};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode};
use std::collections::BTreeMap;
use url::Url;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
/// The header with the digest of the body.
pub const CONTENT_SHA256: &str = "x-amz-content-sha256";
const DATE: &str = "x-amz-date";
const SECURITY_TOKEN: &str = "x-amz-security-token";
/// The headers of a signature, beside `authorization`.
pub const HEADERS: &[&str] = &[CONTENT_SHA256, DATE, SECURITY_TOKEN];
/// What else is signed, beside `host` and `x-amz-*`.
const SIGNED: &[&str] = &["content-md5", "content-type"];

/// The services that take a body without its digest, and decode paths once.
const S3: &[&str] = &["s3", "s3-object-lambda", "s3-outposts"];
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// A body in chunks with a checksum after them, which needs no signature of its own.
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What calls are signed for.
pub struct Signing {
    /// The name of the service.
    pub service: String,
    /// The region.
    pub region: String,
}

/// The keys of a session.
pub struct Session<'a> {
    /// The access key id.
    pub access_key_id: &'a str,
    /// The secret access key.
    pub secret_access_key: &'a str,
    /// The session token; empty where the keys last.
    pub session_token: &'a str,
}

/// A call without its signature.
pub struct Unsigned<'a> {
    /// The method.
    pub method: &'a str,
    /// The URL. Its query is in the canonical form.
    pub url: &'a Url,
    /// The headers.
    pub headers: &'a [(String, String)],
    /// What is signed of the body.
    pub digest: &'a str,
}

/// What a signature adds to a call.
pub struct Signed {
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The signature.
    pub signature: String,
}

impl Signing {
    fn is_s3(&self) -> bool {
        S3.contains(&&*self.service)
    }

    /// What is signed of a body; nothing where the body has to be read first. `claimed` is what the caller says of it.
    pub fn digest(&self, payload: &Payload, claimed: Option<&str>) -> Option<String> {
        let is_digest = |text: &&str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match payload {
            _ if self.is_s3() && claimed == Some(UNSIGNED_TRAILER) => Some(UNSIGNED_TRAILER.to_owned()),
            Payload::Empty => Some(sha256("").to_hex()),
            Payload::Bytes(bytes) => Some(sha256(bytes).to_hex()),
            Payload::Chunks(..) => {
                claimed.filter(is_digest).or_else(|| self.is_s3().then_some(UNSIGNED_PAYLOAD)).map(str::to_owned)
            }
        }
    }

    /// Signs a call; nothing where it cannot be signed.
    pub fn sign(&self, call: &Unsigned<'_>, session: &Session<'_>, now: Now) -> Option<Signed> {
        let at = timestamp(now)?;
        let host = call.url.host_str()?;
        let host = call.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let own = [(CONTENT_SHA256, call.digest), (DATE, &*at), (SECURITY_TOKEN, session.session_token)];
        // Keys that last have no session.
        let own = own.into_iter().filter(|(_, value)| !value.is_empty());
        let is_signed = |name: &str| name.starts_with("x-amz-") || SIGNED.contains(&name);
        let sent = call.headers.iter().map(|(name, value)| (&**name, &**value)).filter(|(name, _)| is_signed(name));
        let headers = canonical_headers(sent.chain(own.clone()).chain([("host", &*host)]));
        let path = self.canonical_path(call.url.path());
        let line = [call.method, &path, call.url.query().unwrap_or_default()];
        let (authorization, signature) = self.authorization(line, &headers, call.digest, (session, &at))?;
        let mut headers: Vec<(String, String)> = own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        headers.push(("authorization".to_owned(), authorization));
        Some(Signed { headers, signature })
    }

    /// The path as it is signed.
    fn canonical_path(&self, path: &str) -> String {
        let segments = path.split('/').map(|segment| match self.is_s3() {
            true => encoded(segment),
            false => utf8_percent_encode(segment, RESERVED).to_string(),
        });
        segments.collect::<Vec<_>>().join("/")
    }

    /// The value of `Authorization`, and the signature in it.
    fn authorization(
        &self,
        line: [&str; 3],
        headers: &BTreeMap<String, String>,
        digest: &str,
        (session, at): (&Session<'_>, &str),
    ) -> Option<(String, String)> {
        let names = headers.keys().map(String::as_str).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().flat_map(|(name, value)| [name, ":", value, "\n"]).collect();
        let request = [line.join("\n"), lines, names.clone(), digest.to_owned()].join("\n");
        let day = at.get(..8)?;
        let scope = [day, &self.region, &self.service, TERMINATOR].join("/");
        let text = [ALGORITHM, at, &scope, &sha256(request).to_hex()].join("\n");
        let secret = Secret::new(["AWS4", session.secret_access_key].concat());
        let mut key = hmac_sha256(secret.expose().as_bytes(), day)?;
        for part in [&*self.region, &*self.service, TERMINATOR] {
            key = hmac_sha256(key.expose(), part)?;
        }
        let signature = super::hex(hmac_sha256(key.expose(), text)?.expose());
        let id = session.access_key_id;
        let value = format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        Some((value, signature))
    }
}

/// The headers as they are signed, by name.
fn canonical_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let mut canonical: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let found = canonical.entry(name.to_owned()).or_default();
        *found = if found.is_empty() { value } else { [&**found, ",", &value].concat() };
    }
    canonical
}

/// A text that may be encoded, as it is signed.
fn encoded(text: &str) -> String {
    percent_encode(&percent_decode_str(text).collect::<Vec<u8>>(), RESERVED).to_string()
}

/// The canonical form of a query: every parameter with a value, sorted.
pub fn query(raw: &str) -> String {
    let mut parameters: Vec<(String, String)> = raw
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            // As the allow-list reads it.
            (encoded(&name.replace('+', " ")), encoded(&value.replace('+', " ")))
        })
        .collect();
    parameters.sort_unstable();
    let parameters: Vec<String> = parameters.into_iter().map(|(name, value)| [name, value].join("=")).collect();
    parameters.join("&")
}

/// A moment as ISO 8601 has it without signs: `20150830T123600Z`.
fn timestamp(now: Now) -> Option<String> {
    let at = DateTime::from_timestamp(now.seconds(), 0)?;
    let (day, time) = ([at.month(), at.day()], [at.hour(), at.minute(), at.second()]);
    let two = |numbers: &[u32]| numbers.iter().map(|number| format!("{number:02}")).collect::<String>();
    Some(format!("{:04}{}T{}Z", at.year(), two(&day), two(&time)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signing(service: &str) -> Signing {
        Signing { service: service.to_owned(), region: "us-east-1".to_owned() }
    }

    fn session<'a>(access_key_id: &'a str, secret_access_key: &'a str) -> Session<'a> {
        Session { access_key_id, secret_access_key, session_token: "" }
    }

    /// The signature of a call with just these headers.
    fn signature(service: &str, (method, url): (&str, &str), headers: &[(&str, &str)], digest: &str) -> String {
        let url = Url::parse(url).unwrap();
        let (signing, at) = (signing(service), headers.iter().find(|(name, _)| *name == DATE).unwrap().1);
        let (path, query) = (signing.canonical_path(url.path()), query(url.query().unwrap_or_default()));
        let host = ("host", url.host_str().unwrap());
        let headers = canonical_headers(headers.iter().copied().chain([host]));
        let session = match service {
            "s3" => session("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            _ => session("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        };
        signing.authorization([method, &path, &query], &headers, digest, (&session, at)).unwrap().1
    }

    /// The test suite of AWS Signature Version 4.
    #[test]
    fn the_suite_of_aws_has_the_same_signatures() {
        let date = (DATE, "20150830T123600Z");
        let token = (SECURITY_TOKEN, "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267");
        let trimmed = [("my-header1", " value1"), ("my-header2", " \"a   b   c\" "), date];
        for (method, path, headers, expected) in [
            ("GET", "", &[date][..], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", "", &[date], "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "GET",
                "?Param2=value2&Param1=value1",
                &[date],
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            ("GET", "?Param1=value1", &[date], "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
            (
                "GET",
                "?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
                &[date],
                "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
            ),
            (
                "GET",
                "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                &[date],
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            ("GET", "", &trimmed, "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
            ("GET", "", &[date, token], "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"),
        ] {
            let url = format!("https://example.amazonaws.com/{path}");
            assert_eq!(signature("service", (method, &url), headers, EMPTY), expected, "{path}");
        }
    }

    /// The examples of the API reference of Amazon S3, "Signature Calculations for the Authorization Header".
    #[test]
    fn the_examples_of_s3_have_the_same_signatures() {
        let (date, empty) = ((DATE, "20130524T000000Z"), (CONTENT_SHA256, EMPTY));
        let body = sha256("Welcome to Amazon S3.").to_hex();
        let put = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            (CONTENT_SHA256, &body),
            date,
        ];
        for (method, path, headers, digest, expected) in [
            (
                "GET",
                "test.txt",
                &[("range", "bytes=0-9"), empty, date][..],
                EMPTY,
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            ("PUT", "test$file.text", &put, &body, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
            (
                "GET",
                "?lifecycle",
                &[empty, date],
                EMPTY,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "GET",
                "?prefix=J&max-keys=2",
                &[empty, date],
                EMPTY,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let url = format!("https://examplebucket.s3.amazonaws.com/{path}");
            assert_eq!(signature("s3", (method, &url), headers, digest), expected, "{path}");
        }
    }

    #[test]
    fn a_path_is_encoded_once_for_s3_and_twice_for_other_services() {
        for (path, at_s3, elsewhere) in [
            ("/a/b", "/a/b", "/a/b"),
            ("/a:b/c+d", "/a%3Ab/c%2Bd", "/a%3Ab/c%2Bd"),
            ("/a%3Ab/%C3%A9", "/a%3Ab/%C3%A9", "/a%253Ab/%25C3%25A9"),
            ("/", "/", "/"),
        ] {
            assert_eq!(signing("s3").canonical_path(path), at_s3);
            assert_eq!(signing("bedrock").canonical_path(path), elsewhere);
        }
        assert_eq!(query("b=2&a&c=%2f+x&a=1&&B"), "B=&a=&a=1&b=2&c=%2F%20x");
        assert_eq!(query(""), "");
    }

    #[test]
    fn a_body_is_signed_by_its_digest_or_streams_where_the_service_takes_that() {
        let streamed = || Payload::Chunks(Box::pin(stream::empty()), None);
        let (s3, other) = (signing("s3"), signing("dynamodb"));
        assert_eq!(other.digest(&Payload::Empty, None).as_deref(), Some(EMPTY));
        let body = Payload::Bytes(b"Welcome to Amazon S3.".to_vec());
        let digest = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        assert_eq!(other.digest(&body, Some(EMPTY)).as_deref(), Some(digest), "what is here is not believed");
        assert_eq!(s3.digest(&streamed(), None).as_deref(), Some(UNSIGNED_PAYLOAD));
        assert_eq!(
            s3.digest(&streamed(), Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")).as_deref(),
            Some(UNSIGNED_PAYLOAD)
        );
        assert_eq!(s3.digest(&body, Some(UNSIGNED_TRAILER)).as_deref(), Some(UNSIGNED_TRAILER));
        for signing in [&s3, &other] {
            assert_eq!(signing.digest(&streamed(), Some(digest)).as_deref(), Some(digest));
        }
        assert_eq!(other.digest(&streamed(), None), None);
        assert_eq!(other.digest(&streamed(), Some(UNSIGNED_TRAILER)), None);
    }

    #[test]
    fn a_call_is_signed_with_the_session_and_for_its_host() {
        let url = Url::parse("http://127.0.0.1:9001/b/k?a=").unwrap();
        let headers = [("x-amz-acl", "private"), ("accept", "x")].map(|(name, value)| (name.into(), value.into()));
        let call = Unsigned { method: "GET", url: &url, headers: &headers, digest: EMPTY };
        let session = Session { session_token: "the-token", ..session("ASIA1", "the-secret") };
        let Signed { headers, signature } =
            signing("s3").sign(&call, &session, Now::from_millis(1_440_938_160_999)).unwrap();
        let all = format!("{headers:?}");
        assert!(all.contains("20150830T123600Z") && all.contains("the-token") && !all.contains("the-secret"), "{all}");
        let (_, authorization) = headers.last().unwrap();
        let names = "host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-security-token";
        assert_eq!(
            authorization,
            &format!(
                "AWS4-HMAC-SHA256 Credential=ASIA1/20150830/us-east-1/s3/aws4_request, SignedHeaders={names}, Signature={signature}"
            )
        );
    }

    #[test]
    fn keys_that_last_have_no_session() {
        let url = Url::parse("https://s3.example/b/k").unwrap();
        let call = Unsigned { method: "PUT", url: &url, headers: &[], digest: EMPTY };
        let Signed { headers, .. } =
            signing("s3").sign(&call, &session("AKIA1", "the-secret"), Now::from_millis(1_440_938_160_999)).unwrap();
        assert!(headers.iter().all(|(name, value)| name != SECURITY_TOKEN && !value.contains(SECURITY_TOKEN)));
    }
}
