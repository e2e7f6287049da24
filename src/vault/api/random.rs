//! GetRandomPassword.

use super::authorize::Asked;
use super::call::{Call, Operation};
use super::shapes::{SecretText, answer, request};
use super::{ApiError, Check};
use crate::secret::RandomPassword;
use crate::vault::random;

request!(GetRandomPassword {
    length: i64 = "PasswordLength",
    exclude_characters: String = "ExcludeCharacters",
    exclude_numbers: bool = "ExcludeNumbers",
    exclude_punctuation: bool = "ExcludePunctuation",
    exclude_uppercase: bool = "ExcludeUppercase",
    exclude_lowercase: bool = "ExcludeLowercase",
    include_space: bool = "IncludeSpace",
    require_each_included_type: bool = "RequireEachIncludedType",
});

answer!(Password {
    password: SecretText = "RandomPassword";
});

impl Operation for GetRandomPassword {
    type Answer = Password;
    const NAME: &'static str = "GetRandomPassword";
    const WRITES: bool = false;

    fn check(&self, check: &mut Check) {
        check.number("passwordLength", self.length, 1..=4096);
        check.text(
            "excludeCharacters",
            self.exclude_characters.as_ref(),
            0..=4096,
        );
    }

    fn run(self, call: &Call<'_>) -> Result<Password, ApiError> {
        call.allow(&Asked::new(Self::NAME))?;
        let default = RandomPassword::default();
        let password = random::password(&RandomPassword {
            length: self
                .length
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(default.length),
            exclude_characters: self.exclude_characters.unwrap_or_default(),
            exclude_numbers: self.exclude_numbers.unwrap_or(false),
            exclude_punctuation: self.exclude_punctuation.unwrap_or(false),
            exclude_uppercase: self.exclude_uppercase.unwrap_or(false),
            exclude_lowercase: self.exclude_lowercase.unwrap_or(false),
            include_space: self.include_space.unwrap_or(false),
            require_each_included_type: self.require_each_included_type.unwrap_or(true),
        })?;
        Ok(Password {
            password: SecretText(password),
        })
    }
}
