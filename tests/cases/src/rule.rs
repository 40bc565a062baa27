//! The rule that a decision of the tables must name.

use serde::Deserialize;

/// The rule that a decision must name.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum ExpectedRule {
    /// Not compared: absent from the table.
    #[default]
    Any,
    /// None: `null` in the table.
    None,
    /// This label.
    Label(String),
}

impl ExpectedRule {
    /// Whether `label` is what the case expects.
    pub fn is(&self, label: Option<&str>) -> bool {
        match self {
            ExpectedRule::Any => true,
            ExpectedRule::None => label.is_none(),
            ExpectedRule::Label(expected) => label == Some(expected),
        }
    }
}

impl<'de> Deserialize<'de> for ExpectedRule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<ExpectedRule, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(ExpectedRule::None, ExpectedRule::Label))
    }
}
