//! Settings that are one word of a few. Each is an enum whose variants carry their word, so that the parser, its
//! messages, the JSON Schema and everything that prints a setting read the same table.

/// A setting that is one word of a few.
pub(crate) trait Word: Copy + 'static {
    /// The settings, the default first.
    const ALL: &'static [Self];
    /// Their words, in the same order.
    const WORDS: &'static [&'static str];
    /// What a message says to write: `"off" or "on"`.
    const EXPECTED: &'static str;
}

/// An enum of words. The first variant is the default.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $(#[$first_about:meta])*
            $first:ident = $first_word:literal,
            $($(#[$other_about:meta])* $other:ident = $other_word:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $(#[$first_about])*
            #[default]
            $first,
            $($(#[$other_about])* $other,)*
        }

        impl $name {
            /// The word of the policy document.
            pub fn as_str(self) -> &'static str {
                match self {
                    $name::$first => $first_word,
                    $($name::$other => $other_word,)*
                }
            }
        }

        impl $crate::words::Word for $name {
            const ALL: &'static [Self] = &[$name::$first, $($name::$other,)*];
            const WORDS: &'static [&'static str] = &[$first_word, $($other_word,)*];
            const EXPECTED: &'static str = concat!("\"", $first_word, "\"" $(, " or \"", $other_word, "\"")*);
        }
    };
}

pub(crate) use words;
