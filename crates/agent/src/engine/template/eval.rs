//! From nodes and a value to text.

use std::cmp::Ordering;

use serde_json::Value;

use super::parse::{Node, Operand, Pipe};
use super::{MOST_BYTES, TemplateError};

/// What names mean at one place.
#[derive(Clone)]
struct Scope<'a> {
    root: &'a Value,
    dot: Value,
    variables: Vec<(String, Value)>,
}

pub(super) fn apply(nodes: &[Node], value: &Value) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut scope = Scope { root: value, dot: value.clone(), variables: Vec::new() };
    run(nodes, &mut scope, &mut out)?;
    Ok(out)
}

fn wrong(what: impl Into<String>) -> TemplateError {
    TemplateError::Apply(what.into())
}

fn run(nodes: &[Node], scope: &mut Scope<'_>, out: &mut String) -> Result<(), TemplateError> {
    let known = scope.variables.len();
    for node in nodes {
        if out.len() > MOST_BYTES {
            return Err(wrong("the output is too long"));
        }
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Show(pipe) => out.push_str(&shown(&scope.pipe(pipe)?)),
            Node::Set(name, pipe) => {
                let value = scope.pipe(pipe)?;
                scope.variables.push((name.clone(), value));
            }
            Node::If { arms, with } => choose(arms, *with, scope, out)?,
            Node::Range { variables, over, body, otherwise } => {
                let items = items(scope.pipe(over)?)?;
                if items.is_empty() {
                    run(otherwise, scope, out)?;
                }
                for (key, value) in items {
                    let mut inner = Scope { dot: value.clone(), ..scope.clone() };
                    match &variables[..] {
                        [one] => inner.variables.push((one.clone(), value)),
                        [first, second] => {
                            inner.variables.push((first.clone(), key));
                            inner.variables.push((second.clone(), value));
                        }
                        _ => {}
                    }
                    run(body, &mut inner, out)?;
                }
            }
        }
    }
    scope.variables.truncate(known);
    Ok(())
}

fn choose(
    arms: &[(Option<Pipe>, Vec<Node>)],
    with: bool,
    scope: &mut Scope<'_>,
    out: &mut String,
) -> Result<(), TemplateError> {
    for (condition, body) in arms {
        let value = match condition {
            Some(pipe) => scope.pipe(pipe)?,
            None => return run(body, scope, out),
        };
        if is_true(&value) {
            let mut inner = scope.clone();
            if with {
                inner.dot = value;
            }
            return run(body, &mut inner, out);
        }
    }
    Ok(())
}

/// What a range goes over: keys and values.
fn items(value: Value) -> Result<Vec<(Value, Value)>, TemplateError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => {
            Ok(list.into_iter().enumerate().map(|(at, value)| (Value::from(at), value)).collect())
        }
        Value::Object(map) => {
            Ok(map.into_iter().map(|(key, value)| (Value::String(key), value)).collect())
        }
        other => Err(wrong(format!("range can't go over {}", shown(&other)))),
    }
}

impl Scope<'_> {
    fn pipe(&self, pipe: &Pipe) -> Result<Value, TemplateError> {
        let mut last: Option<Value> = None;
        for call in &pipe.0 {
            let Some((first, rest)) = call.split_first() else { continue };
            let value = match first {
                Operand::Function(name) => {
                    let rest = rest.iter().map(|operand| self.operand(operand));
                    let mut arguments = rest.collect::<Result<Vec<_>, _>>()?;
                    arguments.extend(last.take());
                    call_function(name, &arguments)?
                }
                operand => self.operand(operand)?,
            };
            last = Some(value);
        }
        Ok(last.unwrap_or_default())
    }

    fn operand(&self, operand: &Operand) -> Result<Value, TemplateError> {
        match operand {
            Operand::Field(path) => field(&self.dot, path),
            Operand::Variable(name, path) if name.is_empty() => field(self.root, path),
            Operand::Variable(name, path) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let (_, value) =
                    known.ok_or_else(|| wrong(format!("undefined variable \"${name}\"")))?;
                field(value, path)
            }
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Function(name) => call_function(name, &[]),
            Operand::Nested(pipe, path) => field(&self.pipe(pipe)?, path),
        }
    }
}

/// A field by its name; the names of Go's fields and of JSON's keys differ in case alone.
fn field(value: &Value, path: &[String]) -> Result<Value, TemplateError> {
    let mut value = value;
    for name in path {
        let Value::Object(map) = value else {
            return Err(wrong(format!("can't evaluate field {name} in {}", shown(value))));
        };
        let close = || map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        value = map
            .get(name)
            .or_else(close)
            .ok_or_else(|| wrong(format!("map has no entry for key \"{name}\"")))?;
    }
    Ok(value.clone())
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A value as Go prints it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            // Go prints maps in the order of their keys.
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_str());
            let pairs: Vec<String> =
                pairs.into_iter().map(|(key, value)| format!("{key}:{}", shown(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

fn call_function(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
    let bad = || wrong(format!("wrong number or kind of arguments for {name}"));
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(bad);
    match (name, arguments) {
        ("json", [value]) => Ok(Value::String(value.to_string())),
        ("len", [value]) => Ok(Value::from(match value {
            Value::Null => 0,
            Value::String(text) => text.len(),
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => return Err(bad()),
        })),
        ("index", [value, at @ ..]) => {
            at.iter().try_fold(value.clone(), |value, at| index(&value, at))
        }
        ("join", [Value::Array(list), Value::String(between)]) => {
            Ok(Value::String(list.iter().map(shown).collect::<Vec<_>>().join(between)))
        }
        ("join", [Value::Null, Value::String(_)]) => Ok(Value::String(String::new())),
        ("split", [Value::String(text), Value::String(at)]) => {
            Ok(text.split(at.as_str()).map(|part| Value::String(part.to_owned())).collect())
        }
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            Ok(Value::Bool(rest.iter().any(|other| equal(first, other))))
        }
        ("ne", [first, second]) => Ok(Value::Bool(!equal(first, second))),
        ("lt" | "le" | "gt" | "ge", [first, second]) => {
            let order = compare(first, second).ok_or_else(bad)?;
            Ok(Value::Bool(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        ("and" | "or", [rest @ .., last]) => {
            let wanted = name == "or";
            Ok(rest.iter().find(|value| is_true(value) == wanted).unwrap_or(last).clone())
        }
        ("not", [value]) => Ok(Value::Bool(!is_true(value))),
        ("lower", [value]) => text(value).map(|text| Value::String(text.to_lowercase())),
        ("upper", [value]) => text(value).map(|text| Value::String(text.to_uppercase())),
        ("title", [value]) => text(value).map(|text| Value::String(title(&text))),
        ("truncate", [value, Value::Number(most)]) => {
            let most = usize::try_from(most.as_u64().ok_or_else(bad)?).map_err(|_| bad())?;
            text(value).map(|text| Value::String(text.chars().take(most).collect()))
        }
        ("print" | "println", values) => {
            let mut text: String = values.iter().map(shown).collect::<Vec<_>>().join(" ");
            if name == "println" {
                text.push('\n');
            }
            Ok(Value::String(text))
        }
        _ => Err(bad()),
    }
}

fn index(value: &Value, at: &Value) -> Result<Value, TemplateError> {
    let out = || wrong(format!("index out of range: {}", shown(at)));
    match (value, at) {
        (Value::Array(list), Value::Number(at)) => {
            let at = at.as_u64().and_then(|at| usize::try_from(at).ok()).ok_or_else(out)?;
            list.get(at).cloned().ok_or_else(out)
        }
        // Go gives a map's zero value for a key that is not there.
        (Value::Object(map), Value::String(key)) => {
            Ok(map.get(key).cloned().unwrap_or_else(|| Value::String(String::new())))
        }
        (Value::Null, _) => Ok(Value::String(String::new())),
        _ => Err(wrong(format!("can't index {} with {}", shown(value), shown(at)))),
    }
}

fn equal(first: &Value, second: &Value) -> bool {
    match (first, second) {
        (Value::Number(first), Value::Number(second)) => first.as_f64() == second.as_f64(),
        (first, second) => first == second,
    }
}

fn compare(first: &Value, second: &Value) -> Option<Ordering> {
    match (first, second) {
        (Value::Number(first), Value::Number(second)) => {
            first.as_f64()?.partial_cmp(&second.as_f64()?)
        }
        (Value::String(first), Value::String(second)) => Some(first.cmp(second)),
        _ => None,
    }
}

fn title(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>());
    first.unwrap_or_default() + chars.as_str()
}
