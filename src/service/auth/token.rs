//! A token and how long it lives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// A token is renewed when less than this is left of it, or less than a tenth of its life, whichever is more.
const MARGIN: Duration = Duration::from_mins(1);
/// What is left of a token's life that is not worth a request any more: the clocks of two hosts differ by seconds.
const SLACK: Duration = Duration::from_secs(5);
/// The role of administrators.
const ADMINISTRATOR: &str = "admin";

/// A token as Keystone gave it, or none where the service wants none. Copies are cheap.
#[derive(Clone)]
pub struct Token(Arc<Parts>);

pub(super) struct Parts {
    /// Tells one login from the next: Keystone may give the same token twice.
    pub(super) serial: u64,
    pub(super) value: Option<SecretString>,
    /// When it ends, by our own clock.
    pub(super) expires_at: Option<Timestamp>,
    /// How long it lived when we got it.
    pub(super) life: Option<Duration>,
    /// How far our clock was ahead of Keystone's when we got it.
    pub(super) ahead: Option<SignedDuration>,
    pub(super) holder: Holder,
}

/// Whom a token is for, as far as Keystone said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The user's id.
    pub user_id: Option<String>,
    /// The user's name.
    pub user_name: Option<String>,
    /// The project's id.
    pub project_id: Option<String>,
    /// The project's name.
    pub project_name: Option<String>,
    /// The names of the roles.
    pub roles: Vec<String>,
}

impl Holder {
    /// Whether one of the roles is the one by which Glance knows its administrators, unless its operator names another
    /// (`context_is_admin` in its policies, `role:admin`). Policies compare the names of roles without regard to case.
    pub fn is_administrator(&self) -> bool {
        self.roles.iter().any(|role| role.eq_ignore_ascii_case(ADMINISTRATOR))
    }
}

/// What to do about a token's age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Nothing.
    Fresh,
    /// It still serves, but the next one should be got.
    Aging,
    /// It does not serve any more.
    Over,
}

impl Token {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// No token, for a service that wants none.
    pub(super) fn none() -> Self {
        Self::new(Parts {
            serial: 0,
            value: None,
            expires_at: None,
            life: None,
            ahead: None,
            holder: Holder::default(),
        })
    }

    /// A token that is used as it was given.
    pub(super) fn given(value: SecretString) -> Self {
        Self::new(Parts {
            serial: 1,
            value: Some(value),
            expires_at: None,
            life: None,
            ahead: None,
            holder: Holder::default(),
        })
    }

    /// When it ends, by our own clock; `None` where that is not known.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }

    /// How far our clock is ahead of Keystone's, give or take the time of a login; negative where it is behind. `None`
    /// where Keystone did not say when it issued the token.
    pub fn clock_ahead(&self) -> Option<SignedDuration> {
        self.0.ahead
    }

    /// What is left of its life at `now`; `None` where its end is not known.
    pub fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.0.expires_at?.duration_since(now);
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
    }

    /// Whom it is for.
    pub fn holder(&self) -> &Holder {
        &self.0.holder
    }

    /// The project that it is for, by id.
    pub fn project_id(&self) -> Option<&str> {
        self.0.holder.project_id.as_deref()
    }

    /// Was it got in the same login?
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.serial == other.0.serial
    }

    /// The value of `X-Auth-Token`, marked as not to be shown; `None` where the service wants no token.
    pub(crate) fn header_value(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.0.value.as_ref()?.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    pub(super) fn age(&self, now: Timestamp) -> Age {
        let Some(left) = self.left(now) else { return Age::Fresh };
        let life = self.0.life.unwrap_or(left);
        // A token that lives for seconds only is used for half of them.
        let margin = MARGIN.max(life / 10).min(life / 2);
        if left <= SLACK.min(life / 10) {
            Age::Over
        } else if left < margin {
            Age::Aging
        } else {
            Age::Fresh
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { serial, expires_at, holder, .. } = &*self.0;
        out.debug_struct("Token")
            .field("serial", serial)
            .field("expires_at", expires_at)
            .field("holder", holder)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(life: u64) -> Token {
        let life = Duration::from_secs(life);
        let expires_at = Some(Timestamp::UNIX_EPOCH + jiff::SignedDuration::try_from(life).unwrap());
        let value = Some(SecretString::from("s3cret"));
        Token::new(Parts { serial: 1, value, expires_at, life: Some(life), ahead: None, holder: Holder::default() })
    }

    fn age(life: u64, after: u64) -> Age {
        token(life).age(Timestamp::from_second(i64::try_from(after).unwrap()).unwrap())
    }

    #[test]
    fn a_token_ages_a_tenth_of_its_life_or_a_minute_before_its_end() {
        assert_eq!([age(3600, 3239), age(3600, 3241), age(3600, 3596)], [Age::Fresh, Age::Aging, Age::Over]);
        assert_eq!([age(300, 239), age(300, 241)], [Age::Fresh, Age::Aging]);
    }

    #[test]
    fn a_token_that_lives_for_seconds_serves_for_half_of_them() {
        assert_eq!([age(10, 4), age(10, 6), age(10, 10)], [Age::Fresh, Age::Aging, Age::Over]);
    }

    #[test]
    fn an_administrator_is_known_by_the_role() {
        let of = |roles: &[&str]| {
            let roles = roles.iter().map(|role| (*role).to_owned()).collect();
            Holder { roles, ..Holder::default() }.is_administrator()
        };
        assert!(of(&["reader", "admin"]) && of(&["Admin"]));
        assert!(!of(&[]) && !of(&["member", "image_admin"]));
    }

    #[test]
    fn a_token_shows_its_value_nowhere() {
        let token = token(60);
        assert!(!format!("{token:?} {:?}", token.header_value()).contains("s3cret"));
    }
}
