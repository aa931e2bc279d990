//! Form bodies and `Basic` headers.
//!
//! An input is a line and the rest: a media type and a body, which are also taken for an id and a secret.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use writ::oauth::{Form, basic::Basic};

fuzz_target!(
    init: {
        let (media, body) = include_str!("seeds/form/body").split_once('\n').unwrap();
        assert!(Form::parse(Some(media), body.as_bytes()).is_ok(), "what begins as a good form shows more");
        assert!(Basic::parse(include_str!("seeds/form/basic").trim_end()).is_some());
    },
    |bytes: &[u8]| fed(bytes)
);

fn fed(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, rest) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let Ok(line) = std::str::from_utf8(line) else { return };
    form(line, rest);
    header(line);
    if let Ok(rest) = std::str::from_utf8(rest) {
        credentials(line, rest);
    }
}

fn form(media: &str, body: &[u8]) {
    let Ok(form) = Form::parse(Some(media), body) else { return };
    assert!(media.to_ascii_lowercase().trim_start().starts_with("application/x-www-form-urlencoded"));
    assert!(std::str::from_utf8(body).is_ok());
    let sent: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    assert!(sent.len() <= 64);
    for (name, value) in &sent {
        let same: Vec<&str> = sent.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect();
        assert!(same.len() == 1 || name == "resource");
        let kept: Vec<&str> = form.all(name).collect();
        assert_eq!(kept, same.into_iter().filter(|value| !value.is_empty()).collect::<Vec<_>>());
        assert_eq!(form.get(name), kept.first().copied());
        assert!(kept.contains(&value.as_str()) || value.is_empty());
    }
    let again = form_urlencoded::Serializer::new(String::new()).extend_pairs(&sent).finish();
    let again = Form::parse(Some(media), again.as_bytes()).ok().expect("what was accepted is accepted again");
    assert!(sent.iter().all(|(name, _)| again.all(name).eq(form.all(name))));
}

fn header(text: &str) {
    let Some(basic) = Basic::parse(text) else { return };
    assert!(Basic::is(text) && text[..5].eq_ignore_ascii_case("basic"));
    assert!((1..=2).contains(&basic.readings.len()));
    // The last reading is what was sent, byte for byte.
    let (id, secret) = basic.readings.last().unwrap();
    assert!(!id.is_empty() && !id.contains(':'));
    let sent = STANDARD.decode(text.split_once(' ').unwrap().1.trim()).unwrap();
    assert_eq!([id.as_bytes(), b":", secret.expose().as_bytes()].concat(), sent);
}

/// Whoever encodes as RFC 6749 §2.3.1 says is understood, and so is whoever does not.
fn credentials(id: &str, secret: &str) {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = |id: &str, secret: &str| Basic::parse(&format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))));
    let has = |basic: &Basic| basic.readings.iter().any(|(known, word)| known == id && word.expose() == secret);
    if !id.is_empty() {
        assert!(has(&basic(&encode(id), &encode(secret)).unwrap()));
        assert!(id.contains(':') || has(&basic(id, secret).unwrap()));
    }
}
