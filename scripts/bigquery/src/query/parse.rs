//! Pure. A query from its text.

/// What is selected, from where, and under which conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    Select { items: Vec<Item>, table: String, conditions: Vec<Condition> },
    AddPrimaryKey { table: String, columns: Vec<String> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub aggregate: Aggregate,
    pub of: Expression,
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Count,
    CountDistinct,
    Min,
    Max,
    Sum,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    All,
    Column(String),
    /// The texts of columns, side by side.
    Format(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub column: String,
    pub operator: Operator,
    pub operand: Operand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    Literal(String),
    Named(String),
    /// Counted from 0.
    Positional(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// In backticks.
    Name(String),
    Number(String),
    Text(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 15] =
    ["<=", ">=", "!=", "<>", "(", ")", ",", ".", "*", "=", "<", ">", "@", "?", "-"];

/// The columns that it takes to tell which rows are meant, and what is asked of them.
pub fn columns_of<'a>(items: &'a [Item], conditions: &'a [Condition]) -> Vec<&'a str> {
    let asked = items.iter().flat_map(|item| match &item.of {
        Expression::All => &[],
        Expression::Column(name) => std::slice::from_ref(name),
        Expression::Format(names) => &names[..],
    });
    let tested = conditions.iter().map(|condition| &condition.column);
    asked.chain(tested).map(String::as_str).collect()
}

/// Errors say where the text went wrong.
pub fn parse(sql: &str) -> Result<Query, String> {
    let mut parser = Parser { tokens: tokens(sql)?, at: 0, positional: 0 };
    let query = match parser.word()?.as_str() {
        "SELECT" => parser.select()?,
        "ALTER" => parser.alter()?,
        other => return Err(format!("Syntax error: {other} is not known here; see query/mod.rs")),
    };
    match parser.tokens.get(parser.at) {
        None => Ok(query),
        Some(token) => Err(format!("Syntax error: Unexpected {token:?}")),
    }
}

fn tokens(sql: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = sql.trim().trim_end_matches(';').trim();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (token, length) = if first == '`' {
            let inside = rest[1..].split('`').next().unwrap_or_default();
            (Token::Name(inside.into()), inside.len() + 2)
        } else if first == '\'' || first == '"' {
            quoted(rest, first)?
        } else if first.is_ascii_digit() {
            let length = rest.find(|c: char| !is_word(c) && c != '.').unwrap_or(rest.len());
            (Token::Number(rest[..length].into()), length)
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            (Token::Word(rest[..length].into()), length)
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            let symbol = symbol.ok_or_else(|| format!("Syntax error: Unexpected {first:?}"))?;
            (Token::Symbol(symbol), symbol.len())
        };
        tokens.push(token);
        rest = rest.get(length..).ok_or("Syntax error: Unclosed quotes")?.trim_start();
    }
    Ok(tokens)
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
            c if c == quote => return Ok((Token::Text(text), at + 1)),
            c => text.push(c),
        }
    }
    Err("Syntax error: Unclosed string literal".into())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    positional: usize,
}

impl Parser {
    fn next(&mut self) -> Result<Token, String> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token.ok_or_else(|| "Syntax error: Unexpected end of statement".into())
    }

    /// A keyword, in upper case.
    fn word(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) => Ok(word.to_ascii_uppercase()),
            other => Err(format!("Syntax error: Unexpected {other:?}")),
        }
    }

    fn expect(&mut self, words: &[&str]) -> Result<(), String> {
        for expected in words {
            let found = self.word()?;
            if found != *expected {
                return Err(format!("Syntax error: Expected {expected} but got {found}"));
            }
        }
        Ok(())
    }

    fn symbol(&mut self, expected: &str) -> Result<(), String> {
        if self.takes(expected) {
            return Ok(());
        }
        Err(format!("Syntax error: Expected \"{expected}\" but got {:?}", self.tokens.get(self.at)))
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let found =
            matches!(self.tokens.get(self.at), Some(Token::Symbol(found)) if *found == symbol);
        self.at += usize::from(found);
        found
    }

    fn takes_word(&mut self, expected: &str) -> bool {
        let token = self.tokens.get(self.at);
        let found = matches!(token, Some(Token::Word(word)) if word.eq_ignore_ascii_case(expected));
        self.at += usize::from(found);
        found
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(name) | Token::Name(name) => Ok(name),
            other => Err(format!("Syntax error: Expected a name but got {other:?}")),
        }
    }

    /// With backticks around the whole, around its parts or without any.
    fn table(&mut self) -> Result<String, String> {
        let mut table = self.name()?;
        while self.takes(".") {
            table = format!("{table}.{}", self.name()?);
        }
        Ok(table)
    }

    fn select(&mut self) -> Result<Query, String> {
        let mut items = vec![self.item()?];
        while self.takes(",") {
            items.push(self.item()?);
        }
        self.expect(&["FROM"])?;
        let table = self.table()?;
        let mut conditions = Vec::new();
        if self.takes_word("WHERE") {
            conditions.push(self.condition()?);
            while self.takes_word("AND") {
                conditions.push(self.condition()?);
            }
        }
        Ok(Query::Select { items, table, conditions })
    }

    fn item(&mut self) -> Result<Item, String> {
        let function = self.word()?;
        self.symbol("(")?;
        let is_distinct = self.takes_word("DISTINCT");
        let aggregate = match (function.as_str(), is_distinct) {
            ("COUNT", false) => Aggregate::Count,
            ("COUNT", true) => Aggregate::CountDistinct,
            ("MIN", false) => Aggregate::Min,
            ("MAX", false) => Aggregate::Max,
            ("SUM", false) => Aggregate::Sum,
            _ => return Err(format!("Function not known here: {function}; see query/mod.rs")),
        };
        let of = match aggregate {
            Aggregate::Count if self.takes("*") => Expression::All,
            _ => self.expression()?,
        };
        self.symbol(")")?;
        let has_as = self.takes_word("AS");
        let next = self.tokens.get(self.at);
        let is_from = matches!(next, Some(Token::Word(word)) if word.eq_ignore_ascii_case("FROM"));
        let has_name =
            has_as || (matches!(next, Some(Token::Word(_) | Token::Name(_))) && !is_from);
        let name = if has_name { Some(self.name()?) } else { None };
        Ok(Item { aggregate, of, name })
    }

    fn expression(&mut self) -> Result<Expression, String> {
        let name = self.name()?;
        if !name.eq_ignore_ascii_case("FORMAT") || !self.takes("(") {
            return Ok(Expression::Column(name));
        }
        self.next()?;
        let mut columns = Vec::new();
        while self.takes(",") {
            columns.push(self.name()?);
        }
        self.symbol(")")?;
        Ok(Expression::Format(columns))
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let column = self.name()?;
        let operator = match self.next()? {
            Token::Symbol("=") => Operator::Equal,
            Token::Symbol("!=" | "<>") => Operator::NotEqual,
            Token::Symbol("<") => Operator::Less,
            Token::Symbol("<=") => Operator::LessOrEqual,
            Token::Symbol(">") => Operator::Greater,
            Token::Symbol(">=") => Operator::GreaterOrEqual,
            other => return Err(format!("Syntax error: Unexpected {other:?}")),
        };
        Ok(Condition { column, operator, operand: self.operand()? })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        match self.next()? {
            Token::Symbol("@") => Ok(Operand::Named(self.name()?)),
            Token::Symbol("?") => {
                self.positional += 1;
                Ok(Operand::Positional(self.positional - 1))
            }
            Token::Symbol("-") => match self.next()? {
                Token::Number(number) => Ok(Operand::Literal(format!("-{number}"))),
                other => Err(format!("Syntax error: Unexpected {other:?}")),
            },
            Token::Number(text) | Token::Text(text) => Ok(Operand::Literal(text)),
            Token::Word(word)
                if ["TRUE", "FALSE"].contains(&word.to_ascii_uppercase().as_str()) =>
            {
                Ok(Operand::Literal(word))
            }
            other => Err(format!("Syntax error: Expected a value but got {other:?}")),
        }
    }

    fn alter(&mut self) -> Result<Query, String> {
        self.expect(&["TABLE"])?;
        let table = self.table()?;
        self.expect(&["ADD", "PRIMARY", "KEY"])?;
        self.symbol("(")?;
        let mut columns = vec![self.name()?];
        while self.takes(",") {
            columns.push(self.name()?);
        }
        self.symbol(")")?;
        self.expect(&["NOT", "ENFORCED"])?;
        Ok(Query::AddPrimaryKey { table, columns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sinks_query_is_read() {
        let sql = "select max(kafka_offset) as last, COUNT(DISTINCT FORMAT('%t/%t', a, b)) from `p-1.d`.t \
                   where kafka_partition = @partition AND kafka_topic_id = 'x\\'y' and a >= -5 and b <> ?;";
        let condition = |column: &str, operator, operand| Condition {
            column: column.into(),
            operator,
            operand,
        };
        let max = Item {
            aggregate: Aggregate::Max,
            of: Expression::Column("kafka_offset".into()),
            name: Some("last".into()),
        };
        let distinct = Item {
            aggregate: Aggregate::CountDistinct,
            of: Expression::Format(vec!["a".into(), "b".into()]),
            name: None,
        };
        let conditions = vec![
            condition("kafka_partition", Operator::Equal, Operand::Named("partition".into())),
            condition("kafka_topic_id", Operator::Equal, Operand::Literal("x'y".into())),
            condition("a", Operator::GreaterOrEqual, Operand::Literal("-5".into())),
            condition("b", Operator::NotEqual, Operand::Positional(0)),
        ];
        let table = "p-1.d.t".into();
        assert_eq!(parse(sql), Ok(Query::Select { items: vec![max, distinct], table, conditions }));
    }

    #[test]
    fn what_is_not_known_is_refused_and_nothing_is_passed_over() {
        for sql in [
            "",
            "DROP TABLE t",
            "SELECT a FROM t",
            "SELECT COUNT(*) FROM t WHERE a = 1 OR b = 2",
            "SELECT COUNT(*) FROM t GROUP BY a",
            "SELECT COUNT(*) FROM t WHERE a = 'x",
            "SELECT COUNT(*) FROM `t",
            "SELECT AVG(a) FROM t",
            "SELECT MAX(*) FROM t",
            "ALTER TABLE t ADD PRIMARY KEY (id)",
            "SELECT COUNT(*) FROM t WHERE a = b",
        ] {
            assert!(parse(sql).is_err(), "{sql}");
        }
    }
}
