//! A small seeded generator, so that every run makes the same choices.

/// The next number below `below`.
pub(crate) fn next_random(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap() % below
}
