//! A service account, as tokens name it.

use aws_lc_rs::digest;

/// A service account: the name that people write and the number that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// `NAME@PROJECT.iam.gserviceaccount.com`.
    pub email: String,
    /// The numeric unique id, 21 digits as Google's: a token's `sub` and `azp`.
    pub unique_id: String,
}

impl Account {
    /// The account of that email. Its unique id is derived from the email, so that it is the same in every run.
    pub fn new(email: impl Into<String>) -> Account {
        let email = email.into();
        let hash = digest::digest(&digest::SHA256, email.as_bytes());
        let number = hash
            .as_ref()
            .iter()
            .take(16)
            .fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
        Account { unique_id: format!("1{:020}", number % 10_u128.pow(20)), email }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_id_has_21_digits_and_belongs_to_its_email() {
        let account = Account::new("a@demo.iam.gserviceaccount.com");
        assert_eq!(account.unique_id.len(), 21);
        assert!(account.unique_id.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(account, Account::new("a@demo.iam.gserviceaccount.com"));
        assert_ne!(account.unique_id, Account::new("b@demo.iam.gserviceaccount.com").unique_id);
    }
}
