//! A trust store that every Java machine reads, written without Java's own tools.
//!
//! The format is JKS, which holds certificates in the clear under a checksum; Java 8 to 25 read it, whatever their default
//! type is, and need no password for a store of certificates alone. It must never hold a key.

use sha1::{Digest, Sha1};

/// Java's customary password. It protects nothing here: the checksum is made with it.
const PASSWORD: &str = "changeit";

/// The certificates of `pem` as a trust store. What is no certificate is left out.
pub(super) fn trust_store(pem: &str) -> Vec<u8> {
    let certificates: Vec<Vec<u8>> = certificates(pem);
    let mut store = Vec::new();
    store.extend(0xFEED_FEED_u32.to_be_bytes());
    store.extend(2_u32.to_be_bytes());
    store.extend(length(certificates.len()));
    for (index, certificate) in certificates.iter().enumerate() {
        // An entry: a trusted certificate, its alias, its time, its type.
        store.extend(2_u32.to_be_bytes());
        text(&mut store, &format!("weir-{index}"));
        store.extend(0_u64.to_be_bytes());
        text(&mut store, "X.509");
        store.extend(length(certificate.len()));
        store.extend(certificate);
    }
    let mut checksum = Sha1::new();
    checksum.update(PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>());
    checksum.update(b"Mighty Aphrodite");
    checksum.update(&store);
    store.extend(checksum.finalize());
    store
}

fn certificates(pem: &str) -> Vec<Vec<u8>> {
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks.filter_map(|block| decode(block.split("-----END").next()?)).collect()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

fn text(store: &mut Vec<u8>, text: &str) {
    store.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    store.extend(text.bytes());
}

/// Base64 (RFC 4648 section 4) with white space in it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()).take_while(|&byte| byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xFF).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        assert_eq!(decode("Zm9v\nYmE=\n").as_deref(), Some(&b"fooba"[..]));
        assert_eq!(decode("Zm9vYg==").as_deref(), Some(&b"foob"[..]));
        assert_eq!(decode("Zm9*").as_deref(), None);
    }
}
