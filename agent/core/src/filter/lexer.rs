//! What was typed, cut into words and signs.
//!
//! # Invariants
//! No text is refused here: the parser says which tokens do not fit.

use super::value::Comparison;

/// One word or sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    /// As typed, backslashes resolved.
    pub text: String,
    /// In characters from 1.
    pub position: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Word,
    Open,
    Close,
    And,
    Or,
    Not,
    Compare(Comparison),
}

/// All tokens, in order.
pub fn tokens(typed: &str) -> Vec<Token> {
    let characters: Vec<char> = typed.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = characters.get(at..).filter(|rest| !rest.is_empty()) {
        if rest[0].is_whitespace() {
            at += 1;
            continue;
        }
        let (token, length) = sign(rest).unwrap_or_else(|| word(rest));
        tokens.push(Token {
            position: at + 1,
            ..token
        });
        at += length;
    }
    tokens
}

fn token(kind: Kind, text: String) -> Token {
    Token {
        kind,
        text,
        position: 0,
    }
}

/// The signs, longer ones first.
const SIGNS: [(&str, Kind); 14] = [
    ("&&", Kind::And),
    ("||", Kind::Or),
    ("==", Kind::Compare(Comparison::Equal)),
    ("!=", Kind::Compare(Comparison::NotEqual)),
    ("<=", Kind::Compare(Comparison::AtMost)),
    (">=", Kind::Compare(Comparison::AtLeast)),
    ("(", Kind::Open),
    (")", Kind::Close),
    ("&", Kind::And),
    ("|", Kind::Or),
    ("=", Kind::Compare(Comparison::Equal)),
    ("<", Kind::Compare(Comparison::Less)),
    (">", Kind::Compare(Comparison::Greater)),
    ("!", Kind::Not),
];

fn sign(rest: &[char]) -> Option<(Token, usize)> {
    let stands = |sign: &str| {
        sign.chars()
            .enumerate()
            .all(|(i, c)| rest.get(i) == Some(&c))
    };
    let (sign, kind) = SIGNS.into_iter().find(|(sign, _)| stands(sign))?;
    Some((token(kind, sign.to_owned()), sign.len()))
}

/// The words that mean the same as a sign; matched as typed, as `ss` does.
fn kind_of(word: &str) -> Kind {
    Kind::Compare(match word {
        "and" => return Kind::And,
        "or" => return Kind::Or,
        "not" => return Kind::Not,
        "eq" => Comparison::Equal,
        "ne" | "neq" => Comparison::NotEqual,
        "lt" => Comparison::Less,
        "gt" => Comparison::Greater,
        "le" | "leq" => Comparison::AtMost,
        "ge" | "geq" => Comparison::AtLeast,
        _ => return Kind::Word,
    })
}

/// Characters that end a word, or would mean something in it, and which a backslash makes plain. Any
/// other backslash is itself: systemd writes `\x2d` for a hyphen in the names of units.
fn is_special(c: char) -> bool {
    c.is_whitespace() || "\\()&|=<>!".contains(c)
}

fn word(rest: &[char]) -> (Token, usize) {
    let mut text = String::new();
    let mut at = 0;
    let mut plain = true;
    while let Some(&c) = rest.get(at) {
        match (c, rest.get(at + 1)) {
            ('\\', Some(&next)) if is_special(next) => {
                text.push(next);
                plain = false;
                at += 2;
            }
            // Inside a word `!` ends it only as part of `!=`.
            ('\\', _) => {
                text.push(c);
                at += 1;
            }
            ('!', next) if next != Some(&'=') => {
                text.push(c);
                at += 1;
            }
            _ if is_special(c) => break,
            _ => {
                text.push(c);
                at += 1;
            }
        }
    }
    let kind = if plain { kind_of(&text) } else { Kind::Word };
    (token(kind, text), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, expected: &[(Kind, &str, usize)]) {
        let tokens = tokens(typed);
        let tokens: Vec<_> = tokens
            .iter()
            .map(|token| (token.kind, token.text.as_str(), token.position))
            .collect();
        assert_eq!(tokens, expected, "{typed:?}");
    }

    #[test]
    fn words_and_signs() {
        use Kind::{And, Close, Compare, Not, Open, Or, Word};
        check("", &[]);
        check(" \t ", &[]);
        check(
            "dport>=:1024",
            &[
                (Word, "dport", 1),
                (Compare(Comparison::AtLeast), ">=", 6),
                (Word, ":1024", 8),
            ],
        );
        check(
            "(a)&&!b||c",
            &[
                (Open, "(", 1),
                (Word, "a", 2),
                (Close, ")", 3),
                (And, "&&", 4),
                (Not, "!", 6),
                (Word, "b", 7),
                (Or, "||", 8),
                (Word, "c", 10),
            ],
        );
        check(
            "a!=b a!b neq",
            &[
                (Word, "a", 1),
                (Compare(Comparison::NotEqual), "!=", 2),
                (Word, "b", 4),
                (Word, "a!b", 6),
                (Compare(Comparison::NotEqual), "neq", 10),
            ],
        );
        // Characters are counted, not bytes.
        check("é (", &[(Word, "é", 1), (Open, "(", 3)]);
    }

    #[test]
    fn backslashes() {
        use Kind::Word;
        check(r"\(", &[(Word, "(", 1)]);
        check(r"a\ b\=c", &[(Word, "a b=c", 1)]);
        check(
            r"dev\x2ddisk \\x \",
            &[
                (Word, r"dev\x2ddisk", 1),
                (Word, r"\x", 13),
                (Word, r"\", 17),
            ],
        );
    }
}
