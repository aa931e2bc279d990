//! The command line tool; see [`writ::cli`].

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;
    use std::time::SystemTime;
    use writ::ports::{Entropy, Now};

    struct Os;
    impl Entropy for Os {
        fn fill(&self, bytes: &mut [u8]) {
            if getrandom::fill(bytes).is_err() {
                eprintln!("writ: the operating system gives no randomness");
                std::process::exit(1);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one clock of the command line tool")]
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = Now::from_millis(elapsed.map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)));
    let words: Vec<String> = std::env::args().skip(1).collect();
    match writ::cli::run(&words, now, &Os) {
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
