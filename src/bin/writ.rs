//! The command line tool; see [`writ::cli`].

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    use serde_json::Value;
    use writ::crypto::unb64;
    use writ::ports::{Alg, Entropy, KeyPair, Keys, Pending, PrivateKey, PublicKey, Unavailable};

    pub struct Os;
    impl Entropy for Os {
        fn fill(&self, bytes: &mut [u8]) {
            if getrandom::fill(bytes).is_err() {
                eprintln!("writ: the operating system gives no randomness");
                std::process::exit(1);
            }
        }
    }

    const NONE: Unavailable = Unavailable("a private key");

    /// Verifies Ed25519, which is all that the tool needs.
    impl Keys for Os {
        fn generate(&self, _: Alg) -> Pending<'_, Result<KeyPair, Unavailable>> {
            Box::pin(async { Err(NONE) })
        }

        fn sign<'a>(&'a self, _: PrivateKey<'a>, _: &'a [u8]) -> Pending<'a, Result<Vec<u8>, Unavailable>> {
            Box::pin(async { Err(NONE) })
        }

        fn verify<'a>(
            &'a self,
            key: PublicKey<'a>,
            input: &'a [u8],
            signature: &'a [u8],
        ) -> Pending<'a, Result<bool, Unavailable>> {
            let verified = || {
                let jwk: Value = serde_json::from_str(key.jwk).ok()?;
                let public = VerifyingKey::try_from(&*unb64(jwk.get("x")?.as_str()?)?).ok()?;
                public.verify(input, &Signature::from_slice(signature).ok()?).ok()
            };
            Box::pin(async move { Ok(key.alg == Alg::EdDsa && verified().is_some()) })
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    use futures_util::FutureExt;
    use std::process::ExitCode;
    use std::time::SystemTime;
    use writ::ports::Now;

    #[expect(clippy::disallowed_methods, reason = "the one clock of the command line tool")]
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = Now::from_millis(elapsed.map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)));
    let words: Vec<String> = std::env::args().skip(1).collect();
    let read = |name: &str| std::fs::read_to_string(name).ok();
    let outcome = match words.split_first() {
        Some((command, rest)) if command == "verify" && !rest.iter().any(|word| word == "--help") => {
            let done = writ::cli::verify::run(rest, &read, &native::Os).now_or_never();
            done.unwrap_or_else(|| Err("the signature port gives no answer".to_owned()))
        }
        _ => writ::cli::run(&words, now, &native::Os),
    };
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("writ: {problem}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_arch = "wasm32")]
fn main() {}
