//! How much an account may have, and how much one image.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;

use crate::api::Api;
use crate::auth::Principal;
use crate::body::blocking;
use crate::error::{ApiError, Code};

/// What each account has, estimated: content of several repositories counts more than once until it
/// is looked at again.
#[derive(Debug, Default)]
pub(crate) struct Quota(Mutex<HashMap<Option<String>, u64>>);

/// Bytes that may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    bound: Bound,
}

/// What bounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// The account's quota.
    Quota { limit: u64, used: u64 },
    /// What an instance's disk holds.
    Image { limit: u64 },
    /// What the client announced.
    Announced,
}

impl Room {
    /// For an upload that has `already` bytes, of an account that has `used`.
    fn new(quota: u64, used: u64, image: u64, already: u64) -> Self {
        let of_quota = quota.saturating_sub(used).saturating_sub(already);
        let of_image = image.saturating_sub(already);
        if of_quota < of_image {
            Self { bytes: of_quota, bound: Bound::Quota { limit: quota, used } }
        } else {
            Self { bytes: of_image, bound: Bound::Image { limit: image } }
        }
    }

    pub(crate) fn at_most(self, bytes: u64) -> Self {
        if bytes < self.bytes { Self { bytes, bound: Bound::Announced } } else { self }
    }

    /// What is answered when more comes.
    pub(crate) fn exceeded(self) -> ApiError {
        match self.bound {
            Bound::Quota { limit, used } => ApiError::denied(format!(
                "the account's quota is {limit} bytes, and {used} are used: delete images, and \
                 collect what they leave (PUT /v2/gc/layers)"
            )),
            Bound::Image { limit } => {
                let message =
                    format!("a layer has at most {limit} bytes: what an instance's disk holds");
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, message)
            }
            Bound::Announced => {
                let message = "the chunk is longer than its Content-Range says";
                ApiError::bad_request(Code::SizeInvalid, message)
            }
        }
    }
}

impl Quota {
    /// Something was added.
    pub(crate) fn added(&self, account: Option<&str>, bytes: u64) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = used.get_mut(&account.map(str::to_owned)) {
            *used = used.saturating_add(bytes);
        }
    }

    /// Something was taken away: all is looked at again.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn estimate(&self, account: &Option<String>) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(account).copied()
    }

    fn set(&self, account: Option<String>, used: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(account, used);
    }
}

impl Api {
    /// How much may be added to an upload that has `already` bytes.
    ///
    /// # Errors
    /// Nothing may: the account's quota is used up.
    pub(crate) async fn room(
        self: &Arc<Self>,
        principal: &Principal,
        already: u64,
    ) -> Result<Room, ApiError> {
        let account = principal.account().map(str::to_owned);
        let (quota, image) = (self.options.quota, self.options.image_limit);
        // An estimate will do as long as it leaves room for any image.
        if let Some(used) = self.quota.estimate(&account) {
            let room = Room::new(quota, used, image, already);
            if matches!(room.bound, Bound::Image { .. }) {
                return Ok(room);
            }
        }
        let (repositories, owner) = (self.repositories.clone(), account.clone());
        let used = blocking(move || repositories.usage(owner.as_deref())).await?;
        self.quota.set(account, used);
        let room = Room::new(quota, used, image, already);
        if used >= quota { Err(room.exceeded()) } else { Ok(room) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_quota_and_disk_bounds_what_may_come() {
        let room = Room::new(100, 30, 50, 10);
        assert_eq!((room.bytes, room.exceeded().status().as_u16()), (40, 413));
        let room = Room::new(100, 80, 50, 10);
        assert_eq!((room.bytes, room.exceeded().status().as_u16()), (10, 403));
        assert_eq!(Room::new(100, 120, 50, 10).bytes, 0);
        let room = Room::new(100, 0, 50, 0).at_most(5);
        assert_eq!((room.bytes, room.exceeded().status().as_u16()), (5, 400));
    }
}
