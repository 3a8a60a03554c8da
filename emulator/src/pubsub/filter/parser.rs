//! Reads a filter, from the left.

use super::Condition;

/// The whole of `text` as one condition.
///
/// # Errors
/// What was expected, and where.
pub(super) fn condition(text: &str) -> Result<Condition, String> {
    let mut parser = Parser { text, rest: text };
    let condition = parser.condition()?;
    match parser.peek() {
        None => Ok(condition),
        Some(_) => Err(parser.expected("AND, OR or the end")),
    }
}

/// What is left to read. It nests no deeper than a filter is long.
struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn condition(&mut self) -> Result<Condition, String> {
        let first = self.term()?;
        let (word, other) = match (self.word("AND"), self.word("OR")) {
            (true, _) => ("AND", "OR"),
            (_, true) => ("OR", "AND"),
            _ => return Ok(first),
        };
        let mut terms = vec![first, self.term()?];
        while self.word(word) {
            terms.push(self.term()?);
        }
        if self.word(other) {
            return Err("AND and OR beside each other need parentheses".to_owned());
        }
        Ok(if word == "AND" { Condition::All(terms) } else { Condition::Any(terms) })
    }

    fn term(&mut self) -> Result<Condition, String> {
        if self.word("NOT") || self.symbol("-") {
            return Ok(Condition::Not(Box::new(self.term()?)));
        }
        if self.symbol("(") {
            let condition = self.condition()?;
            return self.expect(")").map(|()| condition);
        }
        if self.word("hasPrefix") {
            self.expect("(")?;
            self.attributes()?;
            self.expect(".")?;
            let key = self.key()?;
            self.expect(",")?;
            let prefix = self.string()?;
            return self.expect(")").map(|()| Condition::Prefix(key, prefix));
        }
        self.attributes()?;
        if self.symbol(":") {
            return self.key().map(Condition::Has);
        }
        self.expect(".")?;
        let key = self.key()?;
        if self.symbol("!=") {
            // It holds for a message without the attribute as well.
            let value = self.string()?;
            return Ok(Condition::Not(Box::new(Condition::Equals(key, value))));
        }
        self.expect("=")?;
        Ok(Condition::Equals(key, self.string()?))
    }

    fn attributes(&mut self) -> Result<(), String> {
        if self.word("attributes") { Ok(()) } else { Err(self.expected("attributes")) }
    }

    /// Bare letters, digits, hyphens and underscores, or anything as a string.
    fn key(&mut self) -> Result<String, String> {
        if self.peek() == Some('"') {
            return self.string();
        }
        let end = self.rest.find(|letter| !is_bare(letter)).unwrap_or(self.rest.len());
        let (key, rest) = self.rest.split_at(end);
        if key.is_empty() {
            return Err(self.expected("the key of an attribute"));
        }
        self.rest = rest;
        Ok(key.to_owned())
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.symbol("\"") {
            return Err(self.expected("a string in double quotes"));
        }
        let mut string = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(string),
                Some('\\') => string.push(self.escaped()?),
                Some(letter) => string.push(letter),
                None => return Err("a string has no closing quote".to_owned()),
            }
        }
    }

    /// What a backslash stands for: a letter, or a code in hexadecimal (`\xHH`, `\uHHHH`) or octal (`\OOO`).
    fn escaped(&mut self) -> Result<char, String> {
        let before = self.rest;
        match self.next() {
            Some(letter @ ('"' | '\'' | '\\')) => Ok(letter),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('x') => self.code(2, 16),
            Some('u') => self.code(4, 16),
            Some('0'..='7') => {
                self.rest = before;
                self.code(3, 8)
            }
            _ => Err("a backslash in a string escapes nothing known".to_owned()),
        }
    }

    fn code(&mut self, digits: usize, radix: u32) -> Result<char, String> {
        let code = self.rest.get(..digits).and_then(|code| u32::from_str_radix(code, radix).ok());
        let letter = code.and_then(char::from_u32);
        self.rest = self.rest.get(digits..).unwrap_or_default();
        letter.ok_or_else(|| "an escaped code in a string is none".to_owned())
    }

    fn word(&mut self, word: &str) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(word).filter(|rest| !rest.starts_with(is_bare));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(&format!("{symbol:?}"))) }
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {}", self.text.len() - self.rest.len())
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next();
        self.rest = letters.as_str();
        letter
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

fn is_bare(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}
