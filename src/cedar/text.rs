//! Text: what can be told of a policy from its tokens, without parsing it.
//!
//! Cedar parses and walks expressions by recursion and cannot see how much stack is left in WebAssembly, where running
//! out of it ends the isolate for every tenant. So the shape of a text is limited before Cedar sees it.

use super::check::Complaint;

/// The longest policy text.
pub const MAX_BYTES: usize = 32 * 1024;
/// The most statements in one document.
pub const MAX_STATEMENTS: usize = 64;
/// The deepest expression, in operators. In WebAssembly with its stack of 1 MiB, Cedar was seen to fail from 125 on.
pub const MAX_DEPTH: usize = 50;
/// What a pair of brackets adds to the depth: itself and a comparison inside.
const BRACKETS: usize = 2;

/// The tokens of a text with their offsets, without white space and comments. A token is a string with its quotes, a
/// word, or a sign.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = 0_usize;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(offset..)?;
            let first = rest.chars().next()?;
            let token = token(rest, first);
            let start = offset;
            offset = offset.saturating_add(token.len());
            if !first.is_whitespace() && !token.starts_with("//") {
                return Some((start, token));
            }
        }
    })
}

/// The token at the start of `text`, whose first character is `first`.
fn token(text: &str, first: char) -> &str {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = if first == '"' {
        let mut escaped = false;
        let closing = text.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        closing.map(|(at, _)| at.saturating_add(1))
    } else if text.starts_with("//") {
        text.find(['\n', '\r'])
    } else if is_word(first) {
        text.find(|c| !is_word(c))
    } else if first.is_whitespace() {
        text.find(|c: char| !c.is_whitespace())
    } else if ["&&", "||", "==", "!=", "::"].iter().any(|sign| text.starts_with(sign)) {
        Some(2)
    } else {
        Some(first.len_utf8())
    };
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// What lies between a pair of brackets, as far as it was read.
#[derive(Default)]
struct Level {
    /// Operators that nest, one in the other, in the current element.
    chain: usize,
    /// Accesses to members in a row, and the longest such row.
    row: usize,
    longest_row: usize,
    /// The deepest brackets in the current element.
    inside: usize,
    /// The deepest element.
    deepest: usize,
}

impl Level {
    fn operator(&mut self) {
        self.chain = self.chain.saturating_add(1);
        self.row = 0;
    }

    fn access(&mut self) {
        self.row = self.row.saturating_add(1);
        self.longest_row = self.longest_row.max(self.row);
    }

    /// The current element is over.
    fn settle(&mut self) -> usize {
        let depth = self.chain.saturating_add(self.longest_row).saturating_add(self.inside);
        *self = Self { deepest: self.deepest.max(depth), ..Self::default() };
        self.deepest
    }
}

/// Refuses what is too long, too much or too deep.
pub(super) fn limit(text: &str) -> Result<(), Complaint> {
    if text.len() > MAX_BYTES {
        return Err(Complaint::at(
            text,
            0,
            format!("the text is longer than {MAX_BYTES} bytes: split it into several policies"),
        ));
    }
    let mut statements = 0_usize;
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    for (offset, token) in tokens(text) {
        let mut depth = 0;
        match token {
            "(" | "{" | "[" => {
                if token == "[" {
                    level.access();
                }
                outer.push(std::mem::take(&mut level));
                depth = outer.len().saturating_mul(BRACKETS);
            }
            ")" | "}" | "]" => {
                depth = level.settle().saturating_add(BRACKETS);
                level = outer.pop().unwrap_or_default();
                level.inside = level.inside.max(depth);
            }
            "&&" | "||" | "+" | "-" | "*" | "!" | "if" => level.operator(),
            "." => level.access(),
            "," => depth = level.settle(),
            ";" => {
                depth = level.settle();
                statements = statements.saturating_add(1);
            }
            _ => {}
        }
        if statements > MAX_STATEMENTS {
            let message = format!("there are more than {MAX_STATEMENTS} statements: split them into several policies");
            return Err(Complaint::at(text, offset, message));
        }
        if depth.max(level.chain) > MAX_DEPTH {
            let message = format!(
                "the expression is deeper than {MAX_DEPTH}: split the statement, or use [..].contains(..) in place of many `||`"
            );
            return Err(Complaint::at(text, offset, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> String {
        format!("permit(principal, action, resource) when {{ {text} }};")
    }

    /// Expressions nested in every way there is, `n` deep.
    fn nested(n: usize) -> Vec<String> {
        let around = |before: &str, core: &str, after: &str| {
            condition(&format!("{}{core}{}", before.repeat(n), after.repeat(n)))
        };
        vec![
            around("(", "context.dpop", ")"),
            around("", "context.dpop", " && context.dpop"),
            around("", "context.dpop", " || context.dpop"),
            around("1 + ", "context.now > 0", ""),
            around("1 - ", "context.now > 0", ""),
            around("2 * ", "context.now > 0", ""),
            around("if context.dpop then false else ", "true", ""),
            around("[", "true", "].contains(true)"),
            around("[", "1", "].containsAll([1])"),
            around("", "context", ".a"),
            around("", "context", "[\"a\"]"),
            around("", "context.scopes", ".contains(\"a\")"),
            around("{a: ", "1", "}"),
            around("!", "context.dpop", ""),
            around("-", "context.now > 0", ""),
            around("(context.dpop && ", "context.dpop", ")"),
            around("!(", "context.dpop", ")"),
            around("(", "context.dpop", ""),
        ]
    }

    #[test]
    fn no_way_of_nesting_escapes_the_limit() {
        for text in nested(MAX_DEPTH + 1) {
            assert!(limit(&text).unwrap_err().message.contains("deeper"), "{text}");
        }
        for text in nested(4) {
            assert_eq!(limit(&text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_wide_but_not_deep_is_within_the_limit() {
        let names = |n: usize| (0..n).map(|n| format!("\"scope-{n}\"")).collect::<Vec<_>>().join(", ");
        assert_eq!(limit(&condition(&format!("[{}].contains(resource.name)", names(500)))), Ok(()));
        let ors = vec!["context.tool == \"a\""; MAX_DEPTH - 4].join(" || ");
        assert_eq!(limit(&condition(&ors)), Ok(()));
        assert_eq!(limit(&condition(&format!("[{}].contains(1)", vec!["1 + 1"; 500].join(", ")))), Ok(()));
        assert_eq!(limit(&format!("permit(principal, action, resource){};", " when { true }".repeat(200))), Ok(()));
        assert_eq!(limit(&condition("context.dpop && !context.dpop").repeat(MAX_STATEMENTS)), Ok(()));
    }

    #[test]
    fn tokens_are_strings_words_and_signs() {
        let text = "a.b // \"c\"\n== \"d\\\"e\\\\\"::[x_1]&&\u{a0}ü\"open";
        let read: Vec<&str> = tokens(text).map(|(_, token)| token).collect();
        assert_eq!(read, ["a", ".", "b", "==", "\"d\\\"e\\\\\"", "::", "[", "x_1", "]", "&&", "ü", "\"open"]);
        assert!(tokens(text).all(|(offset, token)| text[offset..].starts_with(token)));
    }
}
