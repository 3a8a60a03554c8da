//! Random UUIDs, as the API's ids are.

use aws_lc_rs::rand;

use crate::error::Error;

/// A UUID of version 4 (RFC 9562 §5.4).
///
/// # Errors
/// [`Error::Crypto`] if the random source fails.
pub(crate) fn random() -> Result<String, Error> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Error::Crypto("make an id"))?;
    let number = u128::from_be_bytes(bytes) & !(0xf << 76 | 0x3 << 62) | (0x4 << 76 | 0x2 << 62);
    let mut id = format!("{number:032x}");
    for at in [20, 16, 12, 8] {
        id.insert(at, '-');
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_form_and_the_marks_of_its_version() {
        let id = random().unwrap();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
        assert_ne!(id, random().unwrap());
    }
}
