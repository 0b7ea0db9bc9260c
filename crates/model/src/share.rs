//! Which part of an application's Durable Objects something holds for.

use serde::{Deserialize, Serialize};

use crate::DurableObjectId;

/// A part of all Durable Objects, between none and all. Which object belongs to it follows from its id
/// alone, so that it is the same at each start; a larger share holds all of a smaller one.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Share(u64);

/// Places there are: ids begin with eight random hex digits.
const PLACES: u64 = 1 << 32;

impl Share {
    /// No object.
    pub const NONE: Self = Self(0);
    /// Every object.
    pub const ALL: Self = Self(PLACES);

    /// About so many of a hundred objects, whichever there are.
    #[must_use]
    pub fn percent(percentage: u32) -> Self {
        Self(PLACES * u64::from(percentage.min(100)) / 100)
    }

    /// The same, and so many of a hundred of these, rounded up: of a few objects, too, some are in it.
    #[must_use]
    pub fn percent_of(percentage: u32, objects: &[DurableObjectId]) -> Self {
        let mut places: Vec<u64> = objects.iter().map(place).collect();
        places.sort_unstable();
        let count = (places.len() * percentage.min(100) as usize).div_ceil(100);
        let last = count.checked_sub(1).and_then(|index| places.get(index));
        Self::percent(percentage).max(Self(last.map_or(0, |place| place + 1)))
    }

    /// Whether an object belongs to it.
    #[must_use]
    pub fn contains(self, object: &DurableObjectId) -> bool {
        place(object) < self.0
    }
}

fn place(object: &DurableObjectId) -> u64 {
    u64::from_str_radix(object.short(), 16).expect("an id has hex digits alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(front: &str) -> DurableObjectId {
        DurableObjectId::try_from(format!("{front}{}", "0".repeat(64 - front.len()))).unwrap()
    }

    #[test]
    fn a_share_grows_from_none_to_all_and_keeps_what_it_had() {
        let objects: Vec<_> = ["00", "3f", "7f", "80", "ff"].map(object).to_vec();
        let inside = |share: Share| objects.iter().filter(|it| share.contains(it)).count();
        assert_eq!(inside(Share::NONE), 0);
        assert_eq!(inside(Share::percent(25)), 2);
        assert_eq!(inside(Share::percent(50)), 3);
        assert_eq!(inside(Share::percent(100)), 5);
        assert_eq!(Share::percent(100), Share::ALL);
        assert!(Share::ALL.contains(&object("ffffffff")));
    }

    #[test]
    fn of_a_few_objects_some_are_in_every_share() {
        let objects: Vec<_> = ["fe", "c0", "d0", "ff"].map(object).to_vec();
        let inside = |percentage: u32| {
            let share = Share::percent_of(percentage, &objects);
            objects.iter().filter(|it| share.contains(it)).count()
        };
        assert_eq!([10, 25, 50, 75, 100].map(inside), [1, 1, 2, 3, 4]);
        assert_eq!(Share::percent_of(10, &[]), Share::percent(10));
        assert_eq!(Share::percent_of(0, &objects), Share::NONE);
    }
}
