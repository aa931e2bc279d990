//! Token Status Lists (draft-ietf-oauth-status-list §4): statuses in two bits each, compressed as ZLIB (RFC 1950).

use crate::crypto::b64;
use miniz_oxide::deflate::compress_to_vec_zlib;

/// The draft asks for the highest level.
const LEVEL: u8 = 9;

/// How many bits a status has.
pub const BITS: u8 = 2;
/// The token is as valid as it says (§7.1).
pub const VALID: u8 = 0;
/// It is not, and will not be again.
pub const INVALID: u8 = 1;
/// It is not for now.
pub const SUSPENDED: u8 = 2;

/// A list of statuses, all of them valid at first.
pub struct StatusList(Vec<u8>);

impl StatusList {
    /// A list with room for so many.
    pub fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(4)])
    }

    /// Sets the status at an index that is in the list and was valid; others are left out.
    pub fn set(&mut self, index: usize, status: u8) {
        if let Some(byte) = self.0.get_mut(index >> 2) {
            // The first index is in the lowest bits (§4.1).
            *byte |= (status & 0b11).checked_shl((index as u32 & 0b11) << 1).unwrap_or_default();
        }
    }

    /// The `lst` member (§4.2).
    pub fn encode(&self) -> String {
        b64(compress_to_vec_zlib(&self.0, LEVEL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_draft_comes_out_byte_for_byte() {
        let mut list = StatusList::new(12);
        for (index, status) in [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3].into_iter().enumerate() {
            list.set(index, status);
        }
        assert_eq!(list.0, [0xc9, 0x44, 0xf9]);
        assert_eq!(list.encode(), "eNo76fITAAPfAgc");
    }

    #[test]
    fn a_list_of_nearly_equal_statuses_is_short_and_reads_back_whole() {
        let mut list = StatusList::new(1 << 17);
        assert!(list.encode().len() < 300, "{}", list.encode().len());
        list.set(1000, INVALID);
        list.set(131_071, SUSPENDED);
        list.set(131_072, INVALID);
        assert_eq!(list.0.iter().filter(|byte| **byte != 0).count(), 2);
        let packed = crate::crypto::unb64(&list.encode()).unwrap();
        assert_eq!(miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap(), list.0);
    }
}
