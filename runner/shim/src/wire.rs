//! The one encoding of everything that crosses a border here: fields of
//! `tag u16 · length u32 · bytes`, little-endian, in any number.

use std::fmt;

const HEAD_BYTES: usize = 6;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A field ends behind the end of the bytes.
    Cut,
    /// A number or text of this tag has the wrong length or form.
    Field(u16),
    /// An operation or message that this version does not know.
    Unknown(u16),
    /// Something that must be there is not.
    Missing(&'static str),
    /// More than the limit.
    TooMuch,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the bytes end in the middle of a field"),
            Self::Field(tag) => write!(f, "field {tag} has a wrong form"),
            Self::Unknown(tag) => write!(f, "{tag} is not known to this version"),
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::TooMuch => f.write_str("larger than the limit"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Puts fields one after another.
#[derive(Debug, Default, Clone)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, tag: u16, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&tag.to_le_bytes());
        // Lengths are bounded far below 4 GiB by every reader; a longer field is cut here
        // and refused there.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, tag: u16, number: u64) -> Self {
        self.bytes(tag, &number.to_le_bytes())
    }

    /// Adds a number that may be negative.
    #[must_use]
    pub fn signed(self, tag: u16, number: i64) -> Self {
        self.bytes(tag, &number.to_le_bytes())
    }

    /// Adds a field only if there is something to add.
    #[must_use]
    pub fn optional(self, tag: u16, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.number(tag, number),
            None => self,
        }
    }

    /// The encoded bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// What it is.
    pub tag: u16,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl Field<'_> {
    /// The field as a number.
    pub fn number(self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.bytes.try_into().map_err(|_| Malformed::Field(self.tag))?))
    }

    /// The field as a number that may be negative.
    pub fn signed(self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.bytes.try_into().map_err(|_| Malformed::Field(self.tag))?))
    }

    /// The field as a smaller number.
    pub fn small<T: TryFrom<u64>>(self) -> Result<T, Malformed> {
        T::try_from(self.number()?).map_err(|_| Malformed::Field(self.tag))
    }

    /// The field as a yes or no.
    pub fn flag(self) -> Result<bool, Malformed> {
        Ok(self.number()? != 0)
    }

    /// The field as text.
    pub fn text(self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes.to_vec()).map_err(|_| Malformed::Field(self.tag))
    }
}

/// Reads fields one after another; ends after the first malformed one.
#[derive(Debug, Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Fields of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.0.split_first_chunk::<HEAD_BYTES>().and_then(|(head, rest)| {
            let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            self.0 = rest;
            Some(Field { tag: u16::from_le_bytes([head[0], head[1]]), bytes })
        });
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed::Cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_back_in_their_order() {
        let bytes = Encoder::default().bytes(1, b"a").number(2, 7).signed(3, -1).bytes(1, b"").finish();
        let fields: Vec<_> = Fields::new(&bytes).map(|field| field.expect("field")).collect();
        assert_eq!(fields.len(), 4);
        assert_eq!(fields[0], Field { tag: 1, bytes: b"a" });
        assert_eq!(fields[1].number(), Ok(7));
        assert_eq!(fields[2].signed(), Ok(-1));
        assert_eq!(fields[1].small::<u8>(), Ok(7));
    }

    #[test]
    fn a_cut_field_is_an_error_and_the_end() {
        let bytes = Encoder::default().bytes(1, b"abc").bytes(2, b"def").finish();
        for end in 1..bytes.len() {
            let read: Result<Vec<_>, _> = Fields::new(&bytes[..end]).collect();
            assert!(end == 9 || read.is_err(), "{end}");
        }
    }
}
