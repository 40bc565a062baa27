//! The shipped files, embedded in this crate, and the means to change a parsed one.
//!
//! Every change names its place, and a missing place is an error: skipping the change would start a proxy other than
//! the requested one.

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A shipped file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its name, or its path in the folder `envoy`.
    pub name: &'static str,
    /// Its content.
    pub text: &'static str,
    /// Whether it is executable.
    pub is_executable: bool,
}

macro_rules! files {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $executable:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $constant: File =
                File { name: $name, text: include_str!(concat!("../", $name)), is_executable: $executable };
        )*

        /// All of them.
        pub const FILES: &[File] = &[$($constant),*];
    };
}

files! {
    /// The forward proxy: it decides plain HTTP by request, and tunnels by host and port.
    FORWARD_PROXY = "forward-proxy.yaml", false;
    /// The forward proxy that inspects TLS.
    INSPECTING_PROXY = "inspecting-proxy.yaml", false;
    /// The transparent proxy beside an agent that has no proxy settings.
    SIDECAR = "sidecar.yaml", false;
    /// The HTTP filter, with its policy.
    FILTER = "filter.yaml", false;
    /// The network filter, with its policy.
    FILTER_TLS = "filter-tls.yaml", false;
    /// The firewall rules that force an agent's traffic through the sidecar.
    REDIRECT = "redirect.sh", true;
}

/// A parsed file, with its name for messages.
pub(crate) struct Shipped {
    file: &'static str,
    root: Value,
}

impl Shipped {
    /// Parses a file's YAML.
    pub(crate) fn parse(file: File) -> Result<Self> {
        let File { name, text, .. } = file;
        let root = serde_saphyr::from_str(text)
            .map_err(|mistake| Error::Config { file: name, place: format!("YAML that can be read ({mistake})") })?;
        Ok(Self { file: name, root })
    }

    /// The changed document.
    pub(crate) fn into_value(self) -> Value {
        self.root
    }

    /// The value at a JSON pointer.
    pub(crate) fn at(&mut self, place: &str) -> Result<&mut Value> {
        let missing = self.missing(place);
        self.root.pointer_mut(place).ok_or(missing)
    }

    /// The listener, cluster or other entry of that name in the list at `place`.
    pub(crate) fn named(&mut self, place: &str, name: &str) -> Result<&mut Value> {
        let missing = self.missing(&format!("entry named {name}"));
        self.at(place)?.as_array_mut().and_then(|entries| self::named(entries, name)).ok_or(missing)
    }

    /// Changes every object that `wanted` selects, at any depth; objects inside a selected one are skipped.
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

    /// The error for a missing `place`.
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

/// Removes a field.
pub(crate) fn remove(value: &mut Value, field: &str) -> Option<Value> {
    value.as_object_mut()?.remove(field)
}

/// A filter state object with a constant value.
pub(crate) fn string_state(key: &str, value: &str) -> Value {
    json!({"object_key": key, "format_string": {"text_format_source": {"inline_string": value}}})
}
