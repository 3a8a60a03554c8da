//! A filter's words, one after the other from the left.

/// What is left to read.
pub(super) struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

/// A text as it stands in a filter.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: String,
    /// What is quoted is never a keyword.
    pub(super) is_quoted: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, rest: text }
    }

    /// The next character that is neither space nor in a comment; `None` at the end.
    pub(super) fn peek(&mut self) -> Option<char> {
        loop {
            self.rest = self.rest.trim_start();
            // A comment goes to the end of its line.
            match self.rest.strip_prefix("--") {
                Some(comment) => self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest),
                None => return self.rest.chars().next(),
            }
        }
    }

    /// Whether these characters come next; they are read then.
    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        self.peek();
        self.adjoins(symbol)
    }

    /// The same where they must follow without a space.
    pub(super) fn adjoins(&mut self, symbol: &str) -> bool {
        let rest = self.rest.strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Whether this operator's word comes next; it is read then. It is in capitals, or it is a text to look for.
    pub(super) fn keyword(&mut self, word: &str) -> bool {
        self.peek();
        let rest = self.rest.strip_prefix(word).filter(|rest| !rest.starts_with(is_bare));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// That these characters come next.
    pub(super) fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(&format!("{symbol:?}"))) }
    }

    /// What should stand here, and where that is.
    pub(super) fn expected(&mut self, what: &str) -> String {
        let found = self.peek().map_or("the end".to_owned(), |found| format!("{found:?}"));
        format!("expected {what}, found {found} at {}", self.place())
    }

    /// Line and column of what is left, both counted from 1.
    pub(super) fn place(&self) -> String {
        let read = self.text.strip_suffix(self.rest).unwrap_or(self.text);
        let line = read.matches('\n').count() + 1;
        let column = read.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("line {line}, column {column}")
    }

    /// A text in quotes, or of characters that need none, with dots between such: the parts, at least one. In a path
    /// they are the names of fields.
    pub(super) fn dotted(&mut self, what: &str) -> Result<Vec<Word>, String> {
        let mut words = vec![self.word(what)?];
        while let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            if !self.rest.starts_with(|next| is_bare(next) || is_quote(next)) {
                return Err(self.expected("what follows the dot"));
            }
            words.push(self.word(what)?);
        }
        Ok(words)
    }

    fn word(&mut self, what: &str) -> Result<Word, String> {
        if let Some(quote) = self.peek().filter(|next| is_quote(*next)) {
            return Ok(Word { text: self.quoted(quote)?, is_quoted: true });
        }
        let end = self.rest.find(|next| !is_bare(next)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        if text.is_empty() {
            return Err(self.expected(what));
        }
        self.rest = rest;
        Ok(Word { text: text.to_owned(), is_quoted: false })
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let place = self.place();
        let unclosed = || format!("the quote at {place} is never closed");
        self.next();
        let mut text = String::new();
        loop {
            match self.next().ok_or_else(unclosed)? {
                end if end == quote => return Ok(text),
                '\\' => self.escaped(&mut text)?,
                letter => text.push(letter),
            }
        }
    }

    /// What a backslash stands for. A regular expression's own escapes stay as they are.
    fn escaped(&mut self, text: &mut String) -> Result<(), String> {
        let place = self.place();
        let fault = || format!("no character has the code that is escaped at {place}");
        match self.next() {
            Some(letter @ ('"' | '\'' | '\\')) => text.push(letter),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('x') => text.push(self.code(2).ok_or_else(fault)?),
            Some('u') => text.push(self.code(4).ok_or_else(fault)?),
            Some(letter) => text.extend(['\\', letter]),
            None => {}
        }
        Ok(())
    }

    /// A character by its code in so many hexadecimal digits.
    fn code(&mut self, digits: usize) -> Option<char> {
        let (code, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        char::from_u32(u32::from_str_radix(code, 16).ok()?)
    }

    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next();
        self.rest = letters.as_str();
        letter
    }
}

/// Whether a text may hold this character without quotes; a dot stands between two.
fn is_bare(letter: char) -> bool {
    !letter.is_whitespace() && !is_quote(letter) && !"().,:=<>~!*".contains(letter)
}

fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '\'')
}
