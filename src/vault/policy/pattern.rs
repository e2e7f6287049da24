//! Texts of a policy, with wildcards (`*` for any characters, `?` for one) and with
//! variables such as `${aws:PrincipalTag/team}`.

use std::borrow::Cow;

use super::request::Request;

/// An element of a text whose variables have values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token {
    Char(char),
    /// `*`
    Any,
    /// `?`
    One,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Tokens(Vec<Token>),
    Variable {
        key: String,
        default: Option<String>,
    },
}

/// Which characters have a special meaning.
#[derive(Debug, Clone, Copy)]
pub struct Syntax {
    pub wildcards: bool,
    /// False in documents of version 2008-10-17, where `${` is two characters.
    pub variables: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Vec<Piece>);

impl Pattern {
    pub fn parse(text: &str, syntax: Syntax) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if syntax.variables && rest.starts_with("${") {
                let (inside, after) = rest[2..]
                    .split_once('}')
                    .ok_or_else(|| format!("the variable in {text:?} is not closed with a }}"))?;
                rest = after;
                match inside {
                    "*" | "?" | "$" => tokens.extend(inside.chars().map(Token::Char)),
                    _ => {
                        if !tokens.is_empty() {
                            pieces.push(Piece::Tokens(std::mem::take(&mut tokens)));
                        }
                        pieces.push(variable(inside)?);
                    }
                }
                continue;
            }
            rest = &rest[c.len_utf8()..];
            tokens.push(match c {
                '*' if syntax.wildcards => Token::Any,
                '?' if syntax.wildcards => Token::One,
                c => Token::Char(c),
            });
        }
        if !tokens.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Tokens(tokens));
        }
        Ok(Self(pieces))
    }

    pub fn has_variables(&self) -> bool {
        self.0.iter().any(|p| matches!(p, Piece::Variable { .. }))
    }

    /// The tokens of a text without variables.
    pub fn tokens(&self) -> Option<&[Token]> {
        match self.0.as_slice() {
            [Piece::Tokens(tokens)] => Some(tokens),
            _ => None,
        }
    }

    /// The tokens with the values of all variables, in which no character is special.
    /// `None`: a variable has no value or several, and so nothing matches.
    pub fn expand(&self, request: &Request<'_>) -> Option<Cow<'_, [Token]>> {
        if let Some(tokens) = self.tokens() {
            return Some(Cow::Borrowed(tokens));
        }
        let mut all = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Tokens(tokens) => all.extend_from_slice(tokens),
                Piece::Variable { key, default } => {
                    let values = request.values(key);
                    let value = match (values.as_slice(), default) {
                        ([one], _) => one,
                        ([], Some(default)) => default.as_str(),
                        _ => return None,
                    };
                    all.extend(value.chars().map(Token::Char));
                }
            }
        }
        Some(Cow::Owned(all))
    }

    pub fn matches(&self, text: &str, case: Case, request: &Request<'_>) -> bool {
        self.expand(request)
            .is_some_and(|tokens| matches(&tokens, text, case))
    }
}

/// Parses the inside of a variable: `key`, or `key, 'default'`.
fn variable(inside: &str) -> Result<Piece, String> {
    let (key, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((key, default)) => {
            let default = default.trim();
            let bare = default
                .strip_prefix('\'')
                .and_then(|d| d.strip_suffix('\''))
                .ok_or_else(|| {
                    format!("the default of ${{{inside}}} must stand in single quotes")
                })?;
            (key, Some(bare.to_owned()))
        }
    };
    let key = key.trim();
    if !key.contains(':') || key.chars().any(|c| c.is_whitespace() || c == '$') {
        return Err(format!(
            "${{{inside}}} is no variable; write one such as ${{aws:PrincipalTag/team}}"
        ));
    }
    Ok(Piece::Variable {
        key: key.to_lowercase(),
        default,
    })
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Case {
    Matters,
    Ignored,
}

/// Whether the whole text matches. Only the last `*` is ever tried again, so that the
/// time is at most the product of the two lengths.
pub fn matches(tokens: &[Token], text: &str, case: Case) -> bool {
    let same = |a: char, b: char| {
        a == b || (case == Case::Ignored && a.to_lowercase().eq(b.to_lowercase()))
    };
    let mut at = 0;
    let mut rest = text.chars();
    // The position after the last `*`, and the text that it has not consumed.
    let mut star: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let before = rest.clone();
        match (tokens.get(at), rest.next()) {
            (Some(Token::Any), _) => {
                at += 1;
                rest = before;
                star = Some((at, rest.clone()));
            }
            (Some(Token::One), Some(_)) => at += 1,
            (Some(Token::Char(a)), Some(b)) if same(*a, b) => at += 1,
            (None, None) => return true,
            // The last `*` consumes one character more.
            _ => match star.take() {
                Some((after, mut left)) if left.as_str() != "" => {
                    left.next();
                    at = after;
                    rest = left.clone();
                    star = Some((after, left));
                }
                _ => return false,
            },
        }
    }
}

/// Compares ARNs part by part: a wildcard in one of the six parts does not reach into
/// the next. The last part may contain colons.
pub fn arn_matches(tokens: &[Token], arn: &str) -> bool {
    if tokens == [Token::Any] {
        return arn.starts_with("arn:");
    }
    let patterns: Vec<&[Token]> = tokens.splitn(6, |t| *t == Token::Char(':')).collect();
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    patterns.len() == 6
        && parts.len() == 6
        && patterns
            .iter()
            .zip(parts)
            .all(|(pattern, part)| matches(pattern, part, Case::Matters))
}
