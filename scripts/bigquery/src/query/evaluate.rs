//! Pure. The answer to a query: one row over the rows that a reader of the table sees.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::parse::{Aggregate, Condition, Expression, Item, Operand, Operator};
use crate::row::decimal::{Decimal, Precision};
use crate::row::parse::value_of_text;
use crate::row::value::{Row, Stamps, Value};
use crate::schema::{Column, Kind, find};

/// The texts of the values that were sent along.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    pub named: BTreeMap<String, String>,
    pub positional: Vec<String>,
}

/// Columns and cells as REST prints them.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub fields: Vec<Json>,
    pub row: Json,
}

pub fn evaluate(
    (items, conditions): (&[Item], &[Condition]),
    columns: &[Column],
    rows: &[Row],
    parameters: &Parameters,
    stamps: Stamps,
) -> Result<Answer, String> {
    let tests: Result<Vec<_>, _> =
        conditions.iter().map(|condition| Test::new(condition, columns, parameters)).collect();
    let tests = tests?;
    let rows = rows.iter().filter(|row| tests.iter().all(|test| test.holds(row)));
    let rows: Vec<_> = rows.collect();
    let mut fields = Vec::new();
    let mut cells = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let name = item.name.clone().unwrap_or_else(|| format!("f{at}_"));
        let (kind, value) = aggregate(item, columns, &rows)?;
        fields.push(json!({"name": name, "type": kind, "mode": "NULLABLE"}));
        let cell = if value == Value::Null { Json::Null } else { value.text(stamps).into() };
        cells.push(json!({"v": cell}));
    }
    Ok(Answer { fields, row: json!({"f": cells}) })
}

/// A condition with its value in the type of the column.
struct Test {
    column: String,
    operator: Operator,
    value: Value,
}

impl Test {
    fn new(condition: &Condition, columns: &[Column], given: &Parameters) -> Result<Self, String> {
        let column = named(columns, &condition.column)?;
        let text = match &condition.operand {
            Operand::Literal(text) => Some(text),
            Operand::Named(name) => given.named.get(name),
            Operand::Positional(at) => given.positional.get(*at),
        };
        let text =
            text.ok_or_else(|| format!("Query parameter not found: {:?}", condition.operand))?;
        let value = value_of_text(text, column.kind)?;
        Ok(Self { column: column.name.clone(), operator: condition.operator, value })
    }

    /// NULL fulfils nothing.
    fn holds(&self, row: &Row) -> bool {
        let value = row.get(&self.column);
        let order = value.order(&self.value);
        *value != Value::Null
            && match self.operator {
                Operator::Equal => order == Ordering::Equal,
                Operator::NotEqual => order != Ordering::Equal,
                Operator::Less => order == Ordering::Less,
                Operator::LessOrEqual => order != Ordering::Greater,
                Operator::Greater => order == Ordering::Greater,
                Operator::GreaterOrEqual => order != Ordering::Less,
            }
    }
}

fn named<'a>(columns: &'a [Column], name: &str) -> Result<&'a Column, String> {
    find(columns, name).ok_or_else(|| format!("Unrecognized name: {name}"))
}

fn aggregate(item: &Item, columns: &[Column], rows: &[&Row]) -> Result<(Kind, Value), String> {
    let (kind, values) = match &item.of {
        Expression::All => return Ok((Kind::Integer, count(rows.len()))),
        Expression::Column(name) => {
            let column = named(columns, name)?;
            (column.kind, rows.iter().map(|row| row.get(name).clone()).collect())
        }
        Expression::Format(names) => (Kind::String, formatted(names, columns, rows)?),
    };
    let present: Vec<Value> = values.into_iter().filter(|value| *value != Value::Null).collect();
    match item.aggregate {
        Aggregate::Count => Ok((Kind::Integer, count(present.len()))),
        Aggregate::CountDistinct => {
            let mut texts: Vec<_> = present.iter().map(|v| v.text(Stamps::Microseconds)).collect();
            texts.sort();
            texts.dedup();
            Ok((Kind::Integer, count(texts.len())))
        }
        Aggregate::Min => {
            Ok((kind, present.into_iter().min_by(Value::order).unwrap_or(Value::Null)))
        }
        Aggregate::Max => {
            Ok((kind, present.into_iter().max_by(Value::order).unwrap_or(Value::Null)))
        }
        Aggregate::Sum => Ok((kind, sum(kind, &present)?)),
    }
}

/// The texts side by side; NULL only where FORMAT would be.
fn formatted(names: &[String], columns: &[Column], rows: &[&Row]) -> Result<Vec<Value>, String> {
    for name in names {
        named(columns, name)?;
    }
    let text = |row: &&Row| {
        let texts: Vec<_> = names.iter().map(|n| row.get(n).text(Stamps::Microseconds)).collect();
        Value::Text(texts.join("/"))
    };
    Ok(rows.iter().map(text).collect())
}

fn sum(kind: Kind, values: &[Value]) -> Result<Value, String> {
    if values.is_empty() {
        return Ok(Value::Null);
    }
    match kind {
        Kind::Integer => {
            let whole = |value: &Value| if let Value::Integer(value) = value { *value } else { 0 };
            let total =
                values.iter().try_fold(0_i64, |total, value| total.checked_add(whole(value)));
            total.map(Value::Integer).ok_or_else(|| "SUM: integer overflow".into())
        }
        Kind::Float => {
            let number = |value: &Value| if let Value::Float(value) = value { *value } else { 0.0 };
            Ok(Value::Float(values.iter().map(number).sum()))
        }
        Kind::Numeric | Kind::BigNumeric => {
            let zero = Decimal::parse("0", Precision::BigNumeric)?;
            let decimals = values.iter().filter_map(|value| match value {
                Value::Decimal(value) => Some(value),
                _ => None,
            });
            decimals
                .into_iter()
                .try_fold(zero, |total, value| total.plus(value))
                .map(Value::Decimal)
        }
        _ => Err(format!("No matching signature for SUM of {kind:?}")),
    }
}

fn count(rows: usize) -> Value {
    Value::Integer(i64::try_from(rows).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Query, parse};
    use super::*;
    use crate::row::parse::row_of_json;

    fn ask(sql: &str, given: &Parameters) -> Result<Vec<Json>, String> {
        let columns: Vec<Column> = serde_json::from_value(json!([
            {"name": "p", "type": "INTEGER"}, {"name": "o", "type": "INTEGER"},
            {"name": "id", "type": "STRING"}, {"name": "d", "type": "NUMERIC"},
        ]))
        .unwrap();
        let rows: Vec<Row> = [
            json!({"p": 0, "o": 9, "id": "x", "d": "0.5"}),
            json!({"p": 0, "o": 10, "id": "x", "d": "1.5"}),
            json!({"p": 1, "o": 70, "id": "x"}),
            json!({"p": 0, "o": 80, "id": "y"}),
            json!({"p": 0, "o": 10, "id": null}),
        ]
        .iter()
        .map(|row| row_of_json(row, &columns, false).unwrap())
        .collect();
        let Query::Select { items, conditions, .. } = parse(sql)? else { panic!("{sql}") };
        let answer = evaluate((&items, &conditions), &columns, &rows, given, Stamps::Seconds)?;
        let cells = answer.row["f"].as_array().unwrap().clone();
        assert_eq!(answer.fields.len(), cells.len());
        Ok(cells.into_iter().map(|cell| cell["v"].clone()).collect())
    }

    #[test]
    fn the_last_offset_is_found_among_those_of_the_partition() {
        let given = Parameters {
            named: [("n".to_owned(), "0".to_owned()), ("topic".into(), "x".into())].into(),
            positional: vec!["1".into(), "x".into()],
        };
        let ask = |sql| ask(sql, &given);
        assert_eq!(ask("SELECT MAX(o) FROM t WHERE p = @n AND id = @topic"), Ok(vec![json!("10")]));
        assert_eq!(ask("SELECT MAX(o) FROM t WHERE p = ? AND id = ?"), Ok(vec![json!("70")]));
        assert_eq!(ask("SELECT MAX(o) FROM t WHERE p = 7 AND id = 'x'"), Ok(vec![Json::Null]));
        assert!(ask("SELECT MAX(o) FROM t WHERE p = @missing").is_err());
        assert!(ask("SELECT MAX(o) FROM t WHERE p = 'x'").is_err());
        assert!(ask("SELECT MAX(nope) FROM t").is_err());
    }

    #[test]
    fn aggregates_pass_over_null() {
        let ask = |sql| ask(sql, &Parameters::default());
        assert_eq!(
            ask("SELECT COUNT(*), COUNT(id), COUNT(DISTINCT id) FROM t"),
            Ok(vec![json!("5"), json!("4"), json!("2")])
        );
        assert_eq!(
            ask("SELECT MIN(o), SUM(o), SUM(d) FROM t"),
            Ok(vec![json!("9"), json!("179"), json!("2")])
        );
        assert_eq!(
            ask("SELECT COUNT(DISTINCT FORMAT('%t/%t', p, o)) FROM t"),
            Ok(vec![json!("4")])
        );
        assert_eq!(ask("SELECT COUNT(*) FROM t WHERE id != 'x'"), Ok(vec![json!("1")]));
        assert_eq!(ask("SELECT SUM(o) FROM t WHERE p = 9"), Ok(vec![Json::Null]));
    }
}
