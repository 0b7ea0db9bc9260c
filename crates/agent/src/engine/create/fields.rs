//! Fields of a request's body, each of the kind it has to be.

use serde_json::Value;

use crate::engine::error::EngineError;

/// A list of words, or one word; `None` when it is left out.
pub(in crate::engine) fn words(
    body: &Value,
    key: &str,
) -> Result<Option<Vec<String>>, EngineError> {
    let wrong = || EngineError::BadParameter(format!("\"{key}\" must be a list of texts"));
    match &body[key] {
        Value::Null => Ok(None),
        Value::String(one) => Ok(Some(vec![one.clone()])),
        Value::Array(list) => {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            list.iter().map(text).collect::<Option<Vec<_>>>().ok_or_else(wrong).map(Some)
        }
        _ => Err(wrong()),
    }
}

pub(super) fn text(body: &Value, key: &str) -> Result<String, EngineError> {
    match &body[key] {
        Value::Null => Ok(String::new()),
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        _ => Err(EngineError::BadParameter(format!("\"{key}\" must be a text"))),
    }
}

pub(super) fn flag(body: &Value, key: &str) -> Result<bool, EngineError> {
    match &body[key] {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(EngineError::BadParameter(format!("\"{key}\" must be true or false"))),
    }
}

pub(super) fn number(body: &Value, key: &str) -> Result<u64, EngineError> {
    match &body[key] {
        Value::Null => Ok(0),
        value => value.as_u64().ok_or_else(|| {
            EngineError::BadParameter(format!("\"{key}\" must be a number that is not negative"))
        }),
    }
}
