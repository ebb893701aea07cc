//! CRC-32 as in gzip and Ethernet, to tell a record from a torn one.

const TABLE: [u32; 256] = table();

#[expect(clippy::cast_possible_truncation, reason = "the index stays below 256")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// The CRC-32 of the parts, one after the other.
pub fn crc32(parts: &[&[u8]]) -> u32 {
    let mut value = u32::MAX;
    for part in parts {
        for byte in *part {
            value = TABLE[usize::from(value.to_le_bytes()[0] ^ byte)] ^ (value >> 8);
        }
    }
    !value
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn it_is_the_crc_that_everyone_means() {
        assert_eq!(crc32(&[b"123456789"]), 0xCBF4_3926);
        assert_eq!(crc32(&[b"1234", b"", b"56789"]), 0xCBF4_3926);
        assert_eq!(crc32(&[]), 0);
    }
}
