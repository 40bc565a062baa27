//! The plugin's audit records as people read them.

use serde_json::Value;

use crate::console::terminal::{BAD, FAINT, GOOD, WARNING, paint, shown};

/// One audit record.
#[derive(Clone, Debug)]
pub(crate) struct Record(Value);

impl Record {
    /// Reads a line of the plugin; `None` for one that is no record.
    pub(crate) fn parse(line: &str) -> Option<Record> {
        let value: Value = serde_json::from_str(line).ok()?;
        value.get("decision").and_then(Value::as_str)?;
        Some(Record(value))
    }

    /// A member that is a string; empty where there is none.
    pub(crate) fn text(&self, member: &str) -> String {
        self.0.get(member).and_then(Value::as_str).map(|text| shown(text.as_bytes())).unwrap_or_default()
    }

    /// The record on one line.
    pub(crate) fn line(&self) -> String {
        let decision = self.text("decision");
        let style = match decision.as_str() {
            "allow" => GOOD,
            "deny" => BAD,
            _ => WARNING,
        };
        let port = self.0.get("port").and_then(Value::as_u64).map(|port| format!(":{port}")).unwrap_or_default();
        let mut line = format!(
            "{} {} {}{port}{}",
            paint(style, &decision),
            self.text("method"),
            self.text("host"),
            self.text("path")
        );
        for (word, member) in [(" ", "reason"), (" by ", "rule")] {
            let text = self.text(member);
            if !text.is_empty() {
                line = format!("{line}{word}{text}");
            }
        }
        format!("{line} {}", paint(FAINT, self.text("request_id")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line() {
        let record = Record::parse(
            r#"{"decision":"deny","reason":"method-not-allowed","host":"a.example","port":80,"method":"POST","rule":"allowlist:a.example","policy":"","request_id":"1-2"}"#,
        )
        .unwrap();
        let line = anstream::adapter::strip_str(&record.line()).to_string();
        assert_eq!(line, "deny POST a.example:80 method-not-allowed by allowlist:a.example 1-2");
        assert!(Record::parse("policy: methods: wrong").is_none());
        assert!(Record::parse("{}").is_none());
    }
}
