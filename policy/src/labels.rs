//! The labels of a name: which bytes they may hold and how long they may be (RFC 1035 section 2.3.4,
//! with the `_` that many real names have). The name of every request is scanned here, so the scan
//! has no branch for each byte.

/// The longest name, without its trailing dot.
pub(crate) const MAX_NAME: usize = 253;
/// The longest label.
pub(crate) const MAX_LABEL: usize = 63;

/// Whether `name`, without a trailing dot, is labels of 1 to 63 letters, digits, `-` and `_` with
/// single dots between them, 253 bytes in all.
pub(crate) fn are_valid(name: &[u8]) -> bool {
    let mut seen = 0;
    let mut before = DOT;
    for &byte in name {
        let kind = KINDS.get(usize::from(byte)).copied().unwrap_or(BAD);
        // A dot after a dot, or at the start, leaves an empty label.
        seen |= kind | (kind & before) << 1;
        before = kind;
    }
    let has_empty_label = seen & EMPTY_LABEL != 0 || before == DOT;
    let fits = name.len() <= MAX_LABEL
        || name.len() <= MAX_NAME && name.split(|&byte| byte == b'.').all(|label| label.len() <= MAX_LABEL);
    seen & BAD == 0 && !has_empty_label && fits
}

/// The bytes of a label.
pub(crate) const fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// What a byte of a name is, as bits that can be gathered.
const BAD: u8 = 1;
const DOT: u8 = 2;
const EMPTY_LABEL: u8 = DOT << 1;

const KINDS: [u8; 256] = {
    let mut kinds = [BAD; 256];
    let mut rest: &mut [u8] = &mut kinds;
    let mut byte = 0_u8;
    while let Some((first, after)) = rest.split_first_mut() {
        if byte == b'.' {
            *first = DOT;
        } else if is_label_byte(byte) {
            *first = 0;
        }
        byte = byte.wrapping_add(1);
        rest = after;
    }
    kinds
};
