//! A shipped file as it is being changed.
//!
//! Every change says what it looks for, and what is not there is an error: a change that is skipped would start another
//! proxy than the one that was asked for.

use serde_json::Value;

use crate::error::{Error, Result};

/// A file's content, and its name for messages.
pub(crate) struct Document {
    file: &'static str,
    root: Value,
}

impl Document {
    /// Reads YAML.
    pub(crate) fn parse(file: &'static str, text: &str) -> Result<Self> {
        let root = serde_saphyr::from_str(text)
            .map_err(|mistake| Error::Config { file, place: format!("YAML that can be read ({mistake})") })?;
        Ok(Self { file, root })
    }

    /// What became of it.
    pub(crate) fn into_value(self) -> Value {
        self.root
    }

    /// The value at a JSON pointer.
    pub(crate) fn at(&mut self, place: &str) -> Result<&mut Value> {
        let missing = self.missing(place);
        self.root.pointer_mut(place).ok_or(missing)
    }

    /// The listener, cluster or the like of that name in the list at `place`.
    pub(crate) fn named(&mut self, place: &str, name: &str) -> Result<&mut Value> {
        let missing = self.missing(&format!("entry named {name}"));
        self.at(place)?.as_array_mut().and_then(|entries| self::named(entries, name)).ok_or(missing)
    }

    /// Changes every object that `wanted` picks, wherever it is; an object inside one that was picked is not looked at.
    pub(crate) fn each(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
        mut change: impl FnMut(&mut Value) -> Option<()>,
    ) -> Result<()> {
        let mut found = 0_usize;
        let all = visit(&mut self.root, &wanted, &mut |object| {
            found += 1;
            change(object)
        });
        if all.is_none() || found == 0 { Err(self.missing(what)) } else { Ok(()) }
    }

    /// Changes the HTTP filters of each connection manager. `change` gets the list.
    pub(crate) fn each_filter_list(&mut self, change: impl Fn(&mut Vec<Value>) -> Option<()>) -> Result<()> {
        self.each("HttpConnectionManager with http_filters", is_manager, |manager| {
            change(manager.get_mut("http_filters")?.as_array_mut()?)
        })
    }

    /// The error that `place` is not there.
    pub(crate) fn missing(&self, place: &str) -> Error {
        Error::Config { file: self.file, place: place.to_owned() }
    }
}

fn is_manager(value: &Value) -> bool {
    value["@type"].as_str().is_some_and(|kind| kind.ends_with(".HttpConnectionManager"))
}

fn visit(
    value: &mut Value,
    wanted: &impl Fn(&Value) -> bool,
    change: &mut impl FnMut(&mut Value) -> Option<()>,
) -> Option<()> {
    if value.is_object() && wanted(value) {
        return change(value);
    }
    match value {
        Value::Object(fields) => fields.values_mut().try_for_each(|field| visit(field, wanted, change)),
        Value::Array(entries) => entries.iter_mut().try_for_each(|entry| visit(entry, wanted, change)),
        _ => Some(()),
    }
}

/// The entry of that name in a list.
pub(crate) fn named<'v>(entries: &'v mut [Value], name: &str) -> Option<&'v mut Value> {
    entries.iter_mut().find(|entry| entry["name"] == name)
}

/// Takes a field away.
pub(crate) fn remove(value: &mut Value, field: &str) -> Option<Value> {
    value.as_object_mut()?.remove(field)
}
