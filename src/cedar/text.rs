//! Text: what can be told of a policy from its tokens, without parsing it.
//!
//! Cedar parses and walks expressions by recursion and cannot see how much stack is left in WebAssembly, where running
//! out of it ends the isolate for every tenant. So the shape of a text is limited before Cedar sees it.
//!
//! 1. Depth is counted as Cedar builds it: each operator of a chain stands around the one before it, each `when` and `unless`
//!    around all clauses before it, each pair of brackets around what it holds.
//! 2. A text is checked against [`MAX_DEPTH`] when it is written. A stored text may be as deep as [`MAX_STORED_DEPTH`], because
//!    clauses were not counted once; a deeper one is not read.

use super::check::Complaint;

/// The longest policy text.
pub const MAX_BYTES: usize = 32 * 1024;
/// The most statements in one document.
pub const MAX_STATEMENTS: usize = 64;
/// The deepest statement that is accepted. In WebAssembly with its stack of 1 MiB, Cedar fails at 264 operators or clauses (while it
/// evaluates, 4 KB each) and at 84 pairs of brackets (while it parses, 12 KB each), which is a depth of 168.
pub const MAX_DEPTH: usize = 50;
/// The deepest statement that is read where it was stored before clauses counted.
pub(super) const MAX_STORED_DEPTH: usize = 100;
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

/// Refuses a text that is too long, has too many statements, or has one that is deeper than `max_depth`.
pub(super) fn limit(text: &str, max_depth: usize) -> Result<(), Complaint> {
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
            "&&" | "||" | "+" | "-" | "*" | "!" | "if" | "when" | "unless" => level.operator(),
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
        if depth.max(level.chain) > max_depth {
            let message = format!(
                "the statement is deeper than {max_depth}, counting its operators, brackets and clauses: split it, or use \
                 [..].contains(..) in place of many `||`"
            );
            return Err(Complaint::at(text, offset, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cedar::{Action, Bundle, Circumstance, Mode, Principal, Question, Source, Target, Verdict, check};

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

    fn limited(text: &str) -> Result<(), Complaint> {
        limit(text, MAX_DEPTH)
    }

    #[test]
    fn no_way_of_nesting_escapes_the_limit() {
        for text in nested(MAX_DEPTH + 1) {
            assert!(limited(&text).unwrap_err().message.contains("deeper"), "{text}");
        }
        for text in nested(4) {
            assert_eq!(limited(&text), Ok(()), "{text}");
        }
    }

    #[test]
    fn each_clause_stands_around_those_before_it() {
        let clauses = |n: usize, clause: &str| format!("permit(principal, action, resource){};", clause.repeat(n));
        for clause in [" when { true }", " unless { false }"] {
            // The braces of the last one count, too.
            assert_eq!(limited(&clauses(MAX_DEPTH - 2, clause)), Ok(()));
            assert!(limited(&clauses(MAX_DEPTH - 1, clause)).is_err());
            assert!(limited(&clauses(320, clause)).is_err());
            assert_eq!(limited(&clauses(8, clause).repeat(MAX_STATEMENTS)), Ok(()), "each statement for itself");
        }
        let deep = format!("{}true", "true && ".repeat(MAX_DEPTH - 12));
        let text = format!("permit(principal, action, resource) when {{ {deep} }}{};", " when { true }".repeat(12));
        assert!(limited(&text).is_err(), "clauses and what they hold add up");
    }

    #[test]
    fn what_is_wide_but_not_deep_is_within_the_limit() {
        let names = |n: usize| (0..n).map(|n| format!("\"scope-{n}\"")).collect::<Vec<_>>().join(", ");
        assert_eq!(limited(&condition(&format!("[{}].contains(resource.name)", names(500)))), Ok(()));
        let ors = vec!["context.tool == \"a\""; MAX_DEPTH - 5].join(" || ");
        assert_eq!(limited(&condition(&ors)), Ok(()));
        assert_eq!(limited(&condition(&format!("[{}].contains(1)", vec!["1 + 1"; 500].join(", ")))), Ok(()));
        assert_eq!(limited(&condition("context.dpop && !context.dpop").repeat(MAX_STATEMENTS)), Ok(()));
        let annotations: String = (0..500).map(|n| format!("@a{n}(\"x\") ")).collect();
        assert_eq!(limited(&format!("{annotations}{}", condition("true"))), Ok(()));
    }

    #[test]
    fn tokens_are_strings_words_and_signs() {
        let text = "a.b // \"c\"\n== \"d\\\"e\\\\\"::[x_1]&&\u{a0}ü\"open";
        let read: Vec<&str> = tokens(text).map(|(_, token)| token).collect();
        assert_eq!(read, ["a", ".", "b", "==", "\"d\\\"e\\\\\"", "::", "[", "x_1", "]", "&&", "ü", "\"open"]);
        assert!(tokens(text).all(|(offset, token)| text[offset..].starts_with(token)));
    }

    // Depth: no text that is accepted overflows a stack of half the size that the Worker has. An overflow ends the test process, as it
    // would end an isolate.

    /// The Worker's stack is 1 MiB. Frames are a fifth larger here than there, and Cedar wants 100 KB to be left before it goes on.
    const STACK: usize = 512 * 1024;

    /// Ways of putting a condition into a deeper one; all of them keep it a condition that can be met.
    const WAYS: [(&str, &str); 22] = [
        ("(", ")"),
        ("!(", ")"),
        ("", " && context.dpop"),
        ("context.dpop && ", ""),
        ("", " || !context.dpop"),
        ("!context.dpop || ", ""),
        ("(!context.dpop || ", ")"),
        ("(context.dpop && ", ")"),
        ("if context.dpop then ", " else false"),
        ("if !context.dpop then false else ", ""),
        ("(if context.dpop then ", " else false)"),
        ("(if ", " then true else context.dpop)"),
        ("[", "].contains(true)"),
        ("[[", "]].contains([true])"),
        ("[true, false, ", "].containsAll([true])"),
        ("{a: ", "}.a"),
        ("{a: {b: 1, c: ", "}}[\"a\"].c"),
        ("true == (", ")"),
        ("0 < context.now + 1 + 2 - 3 && ", ""),
        ("-(-1) == 2 * 1 - 1 && ", ""),
        ("principal is Client in (if ", " then principal else Client::\"other\")"),
        ("context.scopes.contains(if ", " then \"read\" else \"write\")"),
    ];

    /// Deterministic choices (SplitMix64).
    struct Choices(u64);

    impl Choices {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.0;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((bits ^ (bits >> 31)) >> 33).unwrap().checked_rem(bound).unwrap()
        }
    }

    fn statement(condition: &str, clauses: usize) -> String {
        let more = [" when { context.dpop }", " unless { !context.dpop }"];
        let more: String = (0..clauses).map(|n| more[n % 2]).collect();
        format!("permit(principal, action, resource) when {{ {condition} }}{more};")
    }

    /// The deepest text that the limit takes when `ways` are taken again and again, with as many clauses as still fit.
    fn deepest(clauses: usize, mut way: impl FnMut() -> usize) -> String {
        let fits = |condition: &str, clauses: usize| limit(&statement(condition, clauses), MAX_DEPTH).is_ok();
        let mut condition = "context.dpop".to_owned();
        loop {
            let (before, after) = WAYS[way()];
            if condition.starts_with("if ") && (before.ends_with("&& ") || before.ends_with("|| ")) {
                continue; // The grammar has no `if` there.
            }
            let deeper = format!("{before}{condition}{after}");
            if !fits(&deeper, clauses) {
                break;
            }
            condition = deeper;
        }
        let clauses = (clauses..).take_while(|clauses| fits(&condition, *clauses)).last().unwrap();
        statement(&condition, clauses)
    }

    /// On a thread with a small stack: whether the text is accepted, and what is decided by it.
    fn run(text: &str) -> (bool, Verdict) {
        let text = text.to_owned();
        let work = move || {
            let accepted = check("p", &text).is_ok();
            let bundle = Bundle::parse(&[Source { id: "p".into(), cedar: text, mode: Mode::Enforce }]).unwrap();
            let name = || "c".to_owned();
            let principal = Principal { id: name(), name: name(), kind: name(), ..Principal::default() };
            let targets = [Target::Scope { resource: "r".into(), name: "read".into(), tool: None }];
            let circumstance = Circumstance {
                offset: Some(0),
                dpop: true,
                now: 1,
                scopes: vec!["read".into()],
                ..Circumstance::default()
            };
            let question = Question {
                action: Action::Issue,
                principal: &principal,
                targets: &targets,
                circumstance: &circumstance,
            };
            (accepted, bundle.decide(&question).remove(0))
        };
        std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap()
    }

    #[test]
    fn the_deepest_text_of_every_kind_is_parsed_validated_and_evaluated_on_half_the_stack() {
        for (number, way) in WAYS.iter().enumerate() {
            let (accepted, verdict) = run(&deepest(0, || number));
            assert!(verdict.errors.is_empty(), "{way:?}: {verdict:?}");
            assert!(accepted || way.0 == "!(", "{way:?}");
        }
        let (accepted, verdict) = run(&deepest(MAX_DEPTH - 6, || 0));
        assert!(accepted && verdict.allow, "{verdict:?}");
    }

    #[test]
    fn the_deepest_mixtures_are_parsed_validated_and_evaluated_on_half_the_stack() {
        let mut choices = Choices(2026);
        let mut accepted = 0;
        for round in 0..150 {
            let clauses = if round % 3 == 0 { choices.below(MAX_DEPTH - 8) } else { 0 };
            let text = deepest(clauses, || choices.below(WAYS.len()));
            let (fine, verdict) = run(&text);
            assert!(verdict.errors.is_empty(), "{text}: {verdict:?}");
            accepted += usize::from(fine);
        }
        assert!(accepted > 100, "{accepted}");
    }

    #[test]
    fn no_text_however_deep_and_broken_overflows_while_it_is_refused() {
        for (before, after) in WAYS {
            // Without its end, a way that has no beginning is none.
            let closed_only = before.is_empty();
            for (times, closed) in [(400, true), (400, false), (MAX_DEPTH, true), (MAX_DEPTH / 4, false)] {
                if closed_only && !closed {
                    continue;
                }
                let after = if closed { after.repeat(times) } else { String::new() };
                let text = statement(&format!("{}context.dpop{after}", before.repeat(times)), 0);
                let (accepted, verdict) = run(&text);
                assert!(!accepted && !verdict.allow && verdict.errors == ["p"] || times < 400, "{text}");
            }
        }
        let (accepted, verdict) = run(&statement("context.dpop", 320));
        assert!(!accepted && verdict.errors == ["p"]);
    }
}
