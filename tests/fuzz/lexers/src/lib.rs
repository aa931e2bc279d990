//! `lalrpop-util` whose lexer runs the stand-in and the original side by side, for whatever expressions a grammar has, and ends the
//! process where they differ.

pub use original::*;

/// The interface that generated parsers call.
pub mod lexer {
    use original::ParseError;
    use original::lexer::MatcherBuilder as Original;
    pub use stand_in::lexer::Token;
    use stand_in::lexer::{BuildError, MatcherBuilder as StandIn};
    use std::vec::IntoIter;

    type Item<'input, E> = Result<(usize, Token<'input>, usize), ParseError<usize, Token<'input>, E>>;

    /// Both lexers of a grammar.
    pub struct MatcherBuilder {
        stand_in: StandIn,
        original: Original,
    }

    impl MatcherBuilder {
        /// Reads expressions, each with whether what fits it is skipped.
        pub fn new<S: AsRef<str>>(expressions: impl IntoIterator<Item = (S, bool)>) -> Result<Self, BuildError> {
            let expressions: Vec<(S, bool)> = expressions.into_iter().collect();
            let both = || expressions.iter().map(|(text, skip)| (text.as_ref(), *skip));
            let original = Original::new(both()).expect("the original knows every expression");
            Ok(Self { stand_in: StandIn::new(both())?, original })
        }

        /// The tokens of a text, up to the first error. Both lexers find the same.
        pub fn matcher<'input, E>(&self, text: &'input str) -> Matcher<'input, E> {
            let mut tokens: Vec<Item<'input, E>> = Vec::new();
            let mut others = self.original.matcher::<E>(text);
            for token in self.stand_in.matcher(text) {
                match (&token, others.next()) {
                    (Ok((start, token, end)), Some(Ok((other_start, other, other_end)))) => {
                        assert_eq!((*start, token.0, token.1, *end), (other_start, other.0, other.1, other_end), "{text:?}");
                    }
                    (
                        Err(ParseError::InvalidToken { location }),
                        Some(Err(ParseError::InvalidToken { location: other })),
                    ) => {
                        assert_eq!(*location, other, "{text:?}");
                        tokens.push(token);
                        return Matcher(tokens.into_iter());
                    }
                    _ => panic!("after {} tokens one lexer finds a token and the other none: {text:?}", tokens.len()),
                }
                tokens.push(token);
            }
            assert!(others.next().is_none(), "the original finds more: {text:?}");
            Matcher(tokens.into_iter())
        }
    }

    /// The tokens of a text, with where each starts and ends.
    pub struct Matcher<'input, E>(IntoIter<Item<'input, E>>);

    impl<'input, E> Iterator for Matcher<'input, E> {
        type Item = Item<'input, E>;

        fn next(&mut self) -> Option<Self::Item> {
            self.0.next()
        }
    }
}
