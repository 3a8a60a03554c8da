//! Reads a filter, from the left.

use super::{
    Condition,
    comparison::{Comparison, Operator, Wanted},
    field::Field,
    reader::{Reader, Word},
};

/// How deep parentheses and `NOT` may stand in each other.
const DEEPEST: usize = 50;

/// Longer ones before their beginnings.
const OPERATORS: [(&str, Operator); 9] = [
    ("!=", Operator::Differs),
    ("!~", Operator::MatchesNot),
    ("=~", Operator::Matches),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("=", Operator::Equals),
    (":", Operator::Has),
];

/// The whole of `text` as one condition.
///
/// # Errors
/// What was expected, and where.
pub(super) fn condition(text: &str) -> Result<Condition, String> {
    let mut parser = Parser { reader: Reader::new(text), depth: 0 };
    if parser.reader.peek().is_none() {
        return Ok(Condition::All(Vec::new()));
    }
    let condition = parser.all(None)?;
    match parser.reader.peek() {
        None => Ok(condition),
        Some(_) => Err(parser.reader.expected("AND, OR, a comparison or the end")),
    }
}

/// The left of a comparison, whose right may be a list of values.
type Left = (Field, Operator);

struct Parser<'a> {
    reader: Reader<'a>,
    depth: usize,
}

impl Parser<'_> {
    /// What `AND`, or nothing at all, joins. It binds less than `OR`. With `left`, values to compare that with.
    fn all(&mut self, left: Option<&Left>) -> Result<Condition, String> {
        let mut conditions = vec![self.any(left)?];
        loop {
            let is_joined = self.reader.keyword("AND");
            if !is_joined && matches!(self.reader.peek(), None | Some(')' | ',')) {
                return Ok(one_or(conditions, Condition::All));
            }
            conditions.push(self.any(left)?);
        }
    }

    fn any(&mut self, left: Option<&Left>) -> Result<Condition, String> {
        let mut conditions = vec![self.term(left)?];
        while self.reader.keyword("OR") {
            conditions.push(self.term(left)?);
        }
        Ok(one_or(conditions, Condition::Any))
    }

    fn term(&mut self, left: Option<&Left>) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!(
                "it nests deeper than {DEEPEST} at {}; say it with fewer parentheses",
                self.reader.place()
            ));
        }
        // A value may be a negative number.
        let is_negated = self.reader.keyword("NOT") || (left.is_none() && self.reader.symbol("-"));
        let condition = if is_negated {
            Condition::Not(Box::new(self.term(left)?))
        } else if self.reader.symbol("(") {
            let condition = self.all(left)?;
            self.reader.expect(")")?;
            condition
        } else if let Some((field, operator)) = left {
            self.value(field, *operator)?
        } else {
            self.restriction()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    /// A comparison, a function, or a text that any field may hold.
    fn restriction(&mut self) -> Result<Condition, String> {
        let place = self.reader.place();
        let words = self.reader.dotted("a field, a text or a parenthesis")?;
        if let [Word { text, is_quoted: false }] = words.as_slice()
            && self.reader.adjoins("(")
        {
            return self.function(text, &place);
        }
        if let Some((_, operator)) = OPERATORS.iter().find(|(sign, _)| self.reader.symbol(sign)) {
            let field = Field::of(words).map_err(|fault| format!("{fault} at {place}"))?;
            if self.reader.symbol("(") {
                let condition = self.all(Some(&(field, *operator)))?;
                return self.reader.expect(")").map(|()| condition);
            }
            return self.value(&field, *operator);
        }
        match words.as_slice() {
            [word] if is_operator(word) => {
                Err(format!("expected a comparison or a text, found {} at {place}", word.text))
            }
            _ => Ok(Condition::Somewhere(joined(words).text)),
        }
    }

    fn function(&mut self, name: &str, place: &str) -> Result<Condition, String> {
        if !name.eq_ignore_ascii_case("log_id") {
            return Err(format!(
                "this emulator does not have the function {name} at {place}; use log_id, a comparison or a text in quotes"
            ));
        }
        let id = joined(self.reader.dotted("the id of a log")?).text;
        self.reader.expect(")").map(|()| Condition::LogId(id))
    }

    /// The right of a comparison.
    fn value(&mut self, field: &Field, operator: Operator) -> Result<Condition, String> {
        self.reader.peek();
        let place = self.reader.place();
        let wanted = if self.reader.symbol("*") {
            Wanted::anything(operator)
        } else {
            let word = joined(self.reader.dotted("a value")?);
            if is_operator(&word) {
                return Err(format!("expected a value, found {} at {place}", word.text));
            }
            Wanted::of(word, field, operator)
        };
        let wanted = wanted.map_err(|fault| format!("{fault} at {place}"))?;
        Ok(Condition::Compares(Comparison { field: field.clone(), operator, wanted }))
    }
}

fn is_operator(word: &Word) -> bool {
    !word.is_quoted && matches!(word.text.as_str(), "AND" | "OR" | "NOT")
}

/// A text that was read as words with dots between.
fn joined(words: Vec<Word>) -> Word {
    let is_quoted = words.iter().any(|word| word.is_quoted);
    let texts: Vec<String> = words.into_iter().map(|word| word.text).collect();
    Word { text: texts.join("."), is_quoted }
}

/// The only one, or all of them joined.
fn one_or(mut conditions: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        last => {
            conditions.extend(last);
            join(conditions)
        }
    }
}
