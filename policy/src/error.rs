//! What is wrong with a policy document, for the person who wrote it.
//!
//! The messages are written by hand: many have parts that stand only sometimes, and the plugin carries them.

use std::fmt;

use crate::pattern::{PatternError, Quoted};

/// Every mistake of one document. Its `Display` has one line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(crate) fn new(mistakes: Vec<Mistake>) -> Mistakes {
        Mistakes(mistakes)
    }

    /// The mistakes, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// One mistake: `policy: allowlist.domains[3]: "*.com" would open a whole public suffix; ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The path of the value, such as `allowlist.domains[3].methods[0]`; empty for the document.
    pub place: String,
    /// Which of the equal keys at that place is meant, from 0: the second of two has 1. 0 for what is about a value.
    pub occurrence: usize,
    /// What is wrong there.
    pub problem: Problem,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("policy: ")?;
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        self.problem.fmt(f)
    }
}

/// What can be wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The document is not JSON.
    Syntax {
        /// The JSON parser's own words, with line and column.
        message: String,
    },
    /// A value of the wrong type.
    WrongType {
        /// What stands there.
        found: &'static str,
        /// What may stand there.
        expected: &'static str,
    },
    /// A field that an object does not have.
    UnknownField {
        /// The field that may have been meant.
        suggestion: Option<&'static str>,
        /// The fields that the object has.
        accepted: &'static [&'static str],
    },
    /// A field that stands twice in one object.
    DuplicateField,
    /// A field without which a rule means nothing.
    MissingField {
        /// The field.
        field: &'static str,
    },
    /// A word that is none of those accepted.
    UnknownWord {
        /// The word.
        found: String,
        /// The word that may have been meant.
        suggestion: Option<String>,
        /// The words accepted, quoted and joined.
        accepted: String,
    },
    /// A domain entry that was refused.
    Pattern(PatternError),
    /// A method that is no token.
    MethodNotToken {
        /// The text.
        found: String,
    },
    /// A method that looks like a known one, misspelt.
    MethodTypo {
        /// The text.
        found: String,
        /// The method that was meant.
        suggestion: &'static str,
    },
    /// CONNECT as a method.
    MethodConnect,
    /// A word that stands for several methods, in the list of them.
    MethodWord {
        /// The text.
        found: String,
        /// The word to write instead of the list.
        instead: &'static str,
    },
    /// A number that is no port.
    Port {
        /// The number as it was written.
        found: String,
    },
    /// A path prefix that is not absolute and in normal form.
    Path {
        /// The text.
        found: String,
        /// The prefix that may have been meant.
        instead: Option<String>,
    },
    /// An empty list that would allow nothing.
    EmptyList {
        /// What the list holds.
        of: &'static str,
    },
    /// A second rule for the same names.
    SecondRule {
        /// Where the first one stands.
        first: String,
    },
    /// `subdomains` beside a pattern that says it already, or an address that has none.
    Subdomains {
        /// The pattern.
        found: String,
    },
    /// A rule that restricts methods or paths, and has the TLS that hides them passed through.
    HiddenByTls,
    /// More names than the automaton can hold.
    TooLarge,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { message } => write!(f, "not valid JSON: {message}"),
            Self::WrongType { found, expected } => write!(f, "found {found}; write {expected}"),
            Self::UnknownField { suggestion, accepted } => {
                f.write_str("unknown field")?;
                if let Some(suggestion) = suggestion {
                    write!(f, "; did you mean \"{suggestion}\"?")?;
                }
                write!(f, " (the fields here are {})", accepted.join(", "))
            }
            Self::DuplicateField => f.write_str("this field stands here twice; keep one"),
            Self::MissingField { field } => write!(f, "a rule needs the field \"{field}\""),
            Self::UnknownWord { found, suggestion, accepted } => {
                write!(f, "{} is not known here", Quoted(found))?;
                if let Some(suggestion) = suggestion {
                    write!(f, "; did you mean \"{suggestion}\"?")?;
                }
                write!(f, " (accepted: {accepted})")
            }
            Self::Pattern(error) => error.fmt(f),
            Self::MethodNotToken { found } => {
                write!(f, "{} is not a method; write one such as \"GET\"", Quoted(found))
            }
            Self::MethodTypo { found, suggestion } => write!(
                f,
                "{} is not a known method; did you mean \"{suggestion}\"? (methods are compared byte for byte)",
                Quoted(found)
            ),
            Self::MethodConnect => f.write_str(
                "\"CONNECT\" opens a tunnel and is not for this list: whether tunnels may be opened follows from \
                \"tls\" and from what is restricted",
            ),
            Self::MethodWord { found, instead } => {
                write!(
                    f,
                    "{} is not a method; if all it stands for is meant, write \"methods\": \"{instead}\"",
                    Quoted(found)
                )
            }
            Self::Port { found } => write!(f, "{found} is not a port; write a whole number from 1 to 65535"),
            Self::Path { found, instead } => {
                write!(f, "{} is not a path prefix", Quoted(found))?;
                match instead {
                    Some(instead) => write!(f, "; write {}, which covers what lies below it", Quoted(instead)),
                    None => f.write_str(
                        "; write one that begins with \"/\", without query, backslash, encoded slash or control \
                        character",
                    ),
                }
            }
            Self::EmptyList { of } => {
                write!(f, "an empty list of {of} would allow nothing; name one or leave the field out")
            }
            Self::SecondRule { first } => {
                write!(f, "{first} is a rule for the same names already; make one rule of the two")
            }
            Self::Subdomains { found } => write!(
                f,
                "{} says by itself what it covers; leave \"subdomains\" out, or write the plain domain",
                Quoted(found)
            ),
            Self::HiddenByTls => f.write_str(
                "\"passthrough\" would hide the methods or paths that are restricted here; write \"methods\": \
                \"all\" and no paths, or leave \"tls\" out",
            ),
            Self::TooLarge => f.write_str("the policy names more domains than the automaton can hold"),
        }
    }
}
