//! The format in which the proxy-wasm ABI passes a header map: a count, then the sizes of every name
//! and value, then the names and values themselves, each with a NUL after it. Numbers are 32 bits,
//! little-endian.
//!
//! What is read here was written by the host from a client's bytes. Nothing is copied, nothing is
//! believed: a size that does not fit, or a byte left over, refuses the whole buffer.

/// The pairs of `buffer`, in order; `None` when it is shorter than its own count of them.
pub(crate) fn decode(buffer: &[u8]) -> Option<Pairs<'_>> {
    let (count, rest) = buffer.split_first_chunk()?;
    let (sizes, data) = rest.split_at_checked(number(*count)?.checked_mul(8)?)?;
    Some(Pairs { sizes: sizes.as_chunks().0.as_chunks().0, data })
}

/// The pairs that are still to come. It ends early at a pair that is not what its sizes say: what was gathered has to
/// be thrown away unless [`Pairs::are_complete`].
pub(crate) struct Pairs<'b> {
    sizes: &'b [[[u8; 4]; 2]],
    data: &'b [u8],
}

impl Pairs<'_> {
    /// Whether every pair was there and nothing is left over.
    pub(crate) fn are_complete(&self) -> bool {
        self.sizes.is_empty() && self.data.is_empty()
    }
}

impl<'b> Iterator for Pairs<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([name, value], following) = self.sizes.split_first()?;
        let pair = (take(&mut self.data, *name)?, take(&mut self.data, *value)?);
        self.sizes = following;
        Some(pair)
    }
}

/// Writes `pairs` in the same format.
pub(crate) fn encode(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut buffer = Vec::new();
    buffer.extend(size_of_part(pairs.len()));
    for (name, value) in pairs {
        buffer.extend(size_of_part(name.len()));
        buffer.extend(size_of_part(value.len()));
    }
    for (name, value) in pairs {
        for part in [name, value] {
            buffer.extend(part.bytes());
            buffer.push(0);
        }
    }
    buffer
}

/// Cuts the next `size` bytes and the NUL behind them off `data`.
fn take<'b>(data: &mut &'b [u8], size: [u8; 4]) -> Option<&'b [u8]> {
    let (part, rest) = data.split_at_checked(number(size)?)?;
    let (0, rest) = rest.split_first()? else {
        return None;
    };
    *data = rest;
    Some(part)
}

fn number(bytes: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

/// A part of more than 4 GiB does not exist where addresses have 32 bits; were there one, its size
/// would not fit the part, and the host would refuse the buffer.
fn size_of_part(size: usize) -> [u8; 4] {
    u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes()
}
