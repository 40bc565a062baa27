//! Serial numbers of certificates.

use rcgen::SerialNumber;
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{Error, Result};

/// A serial number as RFC 5280 section 4.1.2.2 requires: positive, at most 20 octets; it has 126 random bits.
pub(crate) fn serial() -> Result<SerialNumber> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Sign("the system has no random numbers".into()))?;
    if let Some(first) = bytes.first_mut() {
        // Never negative, and always of full length.
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}
