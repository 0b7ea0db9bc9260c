//! Numbers that follow from a seed: SplitMix64. The same seed gives the same numbers on every machine
//! and in every version, which a library's generator does not promise.

/// A generator; its state is its place in the sequence.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..end`, which must not be empty.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of those, which must be some.
    pub(super) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        let count = u64::try_from(of.len()).expect("a slice's length");
        of[usize::try_from(self.below(count)).expect("below a slice's length")]
    }

    /// One of those, by their weights.
    pub(super) fn weighted<T: Copy>(&mut self, of: &[(u64, T)]) -> T {
        let mut number = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, item) in of {
            match number.checked_sub(*weight) {
                Some(rest) => number = rest,
                None => return *item,
            }
        }
        unreachable!("the number is below the sum of the weights")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // The reference implementation's first numbers for this seed.
        let mut random = Random::new(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn weights_are_kept() {
        let mut random = Random::new(7);
        let count = (0..1000).filter(|_| random.weighted(&[(9, true), (1, false)])).count();
        assert!((850..950).contains(&count), "{count}");
    }
}
