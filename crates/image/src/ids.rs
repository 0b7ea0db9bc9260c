//! User and group ids inside a sandbox and on the host, where a user namespace tells them apart.

/// What an id becomes that a namespace does not know, as the kernel shows it.
const NOBODY: u32 = 65_534;

/// The ids of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    users: IdMap,
    groups: IdMap,
}

/// Ranges of ids: first inside, first outside, count.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IdMap(Vec<(u32, u32, u32)>);

impl Ids {
    /// Inside and outside are the same.
    #[must_use]
    pub fn identity() -> Self {
        let all = IdMap(vec![(0, 0, u32::MAX)]);
        Self { users: all.clone(), groups: all }
    }

    /// From the texts of `/proc/<pid>/uid_map` and `gid_map`; lines that are none are left out.
    #[must_use]
    pub fn parse(users: &str, groups: &str) -> Self {
        Self { users: IdMap::parse(users), groups: IdMap::parse(groups) }
    }

    /// Who a file or a process belongs to as the sandbox sees it.
    #[must_use]
    pub fn inside(&self, uid: u32, gid: u32) -> (u32, u32) {
        (self.users.inside(uid), self.groups.inside(gid))
    }

    /// Who a file must belong to on the host to be theirs inside, if anybody can be.
    pub(crate) fn outside(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        Some((self.users.outside(uid)?, self.groups.outside(gid)?))
    }
}

impl IdMap {
    fn parse(text: &str) -> Self {
        let range = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            match (numbers.next()?, numbers.next()?, numbers.next()?) {
                (Ok(inside), Ok(outside), Ok(count)) => Some((inside, outside, count)),
                _ => None,
            }
        };
        Self(text.lines().filter_map(range).collect())
    }

    fn inside(&self, id: u32) -> u32 {
        let find = |(inside, outside, count): &(u32, u32, u32)| {
            let offset = id.checked_sub(*outside).filter(|offset| offset < count)?;
            inside.checked_add(offset)
        };
        self.0.iter().find_map(find).unwrap_or(NOBODY)
    }

    fn outside(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|(inside, outside, count)| {
            let offset = id.checked_sub(*inside).filter(|offset| offset < count)?;
            outside.checked_add(offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_shifted_both_ways_and_strangers_are_nobody() {
        let ids = Ids::parse("0 100000 65536\n", "         0     200000      10\n");
        assert_eq!(ids.inside(100_000, 200_009), (0, 9));
        assert_eq!(ids.inside(0, 200_010), (NOBODY, NOBODY));
        assert_eq!(ids.outside(1000, 5), Some((101_000, 200_005)));
        assert_eq!(ids.outside(70_000, 5), None);
        assert_eq!(Ids::identity().outside(7, 8), Some((7, 8)));
    }

    proptest! {
        #[test]
        fn any_text_is_a_map(text in "[0-9 \\n\\PC]{0,80}", id in any::<u32>()) {
            let ids = Ids::parse(&text, &text);
            if let Some((uid, _)) = ids.outside(id, id) {
                // Ranges may overlap in a text that no kernel wrote, so only this is sure:
                let _ = ids.inside(uid, uid);
            }
        }
    }
}
