//! Rotation tables: what the vector unit multiplies to turn the heads of a token, made on the host once per range of positions.
//!
//! ```text
//! angle(p, j) = p · θ^(-2j/d) / factor                                  pair j < d/2: elements j and j + d/2
//!
//! table    [position][limb][block b: d/32][2 vectors of 32 bf16]
//! vector 0   cos(p, 16 b + i) | -sin(p, 16 b + i)     i < 16     · [x_low | x_high], summed by halves: the low element of each pair
//! vector 1   sin(p, 16 b + i) |  cos(p, 16 b + i)                · [x_low | x_high]: the high one
//! ```
//!
//! x_low are elements 16 b .. 16 b + 16 of a head and x_high those d/2 further, loaded without a shuffle. One elementwise bf16 product of two terms a
//! lane gives 16 rotated elements in float32. With two limbs a second product adds what bfloat16 left over of sine and cosine.
//!
//! | limbs | bytes a position, d = 128 | largest error of a turn | root mean square |
//! |---|---|---|---|
//! | 1 | 512 | 2.8e-3 (2^-9 · √2) | 1.4e-3 |
//! | 2 | 1024 | 5.5e-6 (2^-18 · √2) | 2.1e-6 |
//!
//! The error is the distance between the turned pair and the exact one over the pair's length; it does not grow with the position, because angles are
//! made in float64.

use super::LayoutError;

/// Lanes of a product: pairs of a block.
const BLOCK_PAIRS: usize = 16;
/// Bytes of a vector.
const VECTOR_BYTES: usize = 64;
const VECTORS: usize = 2;

/// bfloat16 parts that stand for a sine or cosine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeLimbs {
    /// Rounded.
    One,
    /// Rounded, and the rounded rest.
    Two,
}

impl RopeLimbs {
    /// Their number.
    pub const fn count(self) -> usize {
        match self {
            RopeLimbs::One => 1,
            RopeLimbs::Two => 2,
        }
    }
}

/// A table's rotation and form. Valid by construction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeTable {
    head_dim: usize,
    theta: f64,
    factor: f64,
    limbs: RopeLimbs,
}

impl RopeTable {
    /// A table for heads of `head_dim`, or the rule it breaks.
    pub fn new(head_dim: usize, theta: f64, factor: f64, limbs: RopeLimbs) -> Result<Self, LayoutError> {
        let multiple = 2 * BLOCK_PAIRS;
        if head_dim == 0 || !head_dim.is_multiple_of(multiple) {
            return Err(LayoutError::HeadDim { head_dim, multiple });
        }
        for (constant, value) in [("base", theta), ("factor", factor)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(LayoutError::Rotation { constant, value: value.to_string() });
            }
        }
        Ok(Self { head_dim, theta, factor, limbs })
    }

    /// Blocks of 16 pairs.
    pub const fn blocks(&self) -> usize {
        self.head_dim / (2 * BLOCK_PAIRS)
    }
    /// Bytes of a position.
    pub const fn position_bytes(&self) -> usize {
        self.limbs.count() * self.limb_bytes()
    }
    const fn limb_bytes(&self) -> usize {
        self.blocks() * VECTORS * VECTOR_BYTES
    }
    /// Bytes of a range of positions.
    pub fn bytes(&self, positions: usize) -> Result<usize, LayoutError> {
        self.position_bytes().checked_mul(positions).ok_or(LayoutError::TooLarge { buffer: "rotation table" })
    }

    /// Byte offset in a position's record of the vectors of a block.
    ///
    /// # Panics
    /// If there is no such limb or block.
    pub fn block_offset(&self, limb: usize, block: usize) -> usize {
        assert!(limb < self.limbs.count() && block < self.blocks(), "no limb {limb} or block {block}");
        limb * self.limb_bytes() + block * VECTORS * VECTOR_BYTES
    }

    /// Writes the record of one position.
    ///
    /// # Panics
    /// If `out` is not of [`RopeTable::position_bytes`].
    fn fill_position(&self, position: usize, frequencies: &[f64], out: &mut [u8]) {
        for (j, frequency) in frequencies.iter().enumerate() {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            let (block, lane) = (j / BLOCK_PAIRS, j % BLOCK_PAIRS);
            let (mut sin, mut cos) = (sin, cos);
            for limb in 0..self.limbs.count() {
                let (s, c) = (bf16(sin), bf16(cos));
                sin -= widen(s);
                cos -= widen(c);
                let at = self.block_offset(limb, block);
                let mut put = |vector: usize, half: usize, bits: u16| {
                    let offset = at + vector * VECTOR_BYTES + 2 * (half * BLOCK_PAIRS + lane);
                    out[offset..offset + 2].copy_from_slice(&bits.to_le_bytes());
                };
                put(0, 0, c);
                put(0, 1, s ^ SIGN);
                put(1, 0, s);
                put(1, 1, c);
            }
        }
    }

    /// Writes the records of positions `first..`, as many as `out` holds.
    pub fn fill(&self, first: usize, out: &mut [u8]) -> Result<(), LayoutError> {
        let record = self.position_bytes();
        if !out.len().is_multiple_of(record) {
            let needed = out.len().next_multiple_of(record);
            return Err(LayoutError::Length { what: "rotation table", found: out.len(), needed });
        }
        let frequencies: Vec<f64> = (0..self.head_dim / 2)
            .map(|j| self.theta.powf(-2.0 * j as f64 / self.head_dim as f64) / self.factor)
            .collect();
        for (index, record) in out.chunks_exact_mut(record).enumerate() {
            self.fill_position(first + index, &frequencies, record);
        }
        Ok(())
    }
}

/// Weights of a head's norm as the vector unit multiplies them, made once per layer.
///
/// ```text
/// record   [block b: d/32][half: elements 16 b.., elements d/2 + 16 b..][limb: 2][16] bf16            g = (1 + w) √d · scale
/// ```
/// √d belongs to the norm, which divides by the root of the sum of squares rather than of their mean; `scale` is 1 for keys and the score's for queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadNorm {
    head_dim: usize,
}

impl HeadNorm {
    /// Epsilon of the norm for which the kernels are made: they add it to the mean of squares.
    pub const EPSILON: f64 = 1e-6;

    /// Weights for heads of `head_dim`, or the rule it breaks.
    pub fn new(head_dim: usize) -> Result<Self, LayoutError> {
        let multiple = 2 * BLOCK_PAIRS;
        if head_dim == 0 || !head_dim.is_multiple_of(multiple) {
            return Err(LayoutError::HeadDim { head_dim, multiple });
        }
        Ok(Self { head_dim })
    }

    /// Bytes of the record.
    pub const fn bytes(&self) -> usize {
        2 * 2 * self.head_dim
    }

    /// Writes the record of the weights w, stored as their distance from one.
    pub fn fill(&self, weights: &[f64], scale: f64, out: &mut [u8]) -> Result<(), LayoutError> {
        let length = |what, found, needed| {
            if found == needed { Ok(()) } else { Err(LayoutError::Length { what, found, needed }) }
        };
        length("norm weights", weights.len(), self.head_dim)?;
        length("norm record", out.len(), self.bytes())?;
        let factor = (self.head_dim as f64).sqrt() * scale;
        for (d, w) in weights.iter().enumerate() {
            let mut rest = (1.0 + w) * factor;
            let (half, j) = (d / (self.head_dim / 2), d % (self.head_dim / 2));
            for limb in 0..2 {
                let bits = bf16(rest);
                rest -= widen(bits);
                let at = 2 * (((2 * (j / BLOCK_PAIRS) + half) * 2 + limb) * BLOCK_PAIRS + j % BLOCK_PAIRS);
                out[at..at + 2].copy_from_slice(&bits.to_le_bytes());
            }
        }
        Ok(())
    }
}

const SIGN: u16 = 0x8000;

/// The nearest bfloat16 of a sine or cosine, ties to even.
fn bf16(value: f64) -> u16 {
    let bits = (value as f32).to_bits();
    (bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16) as u16
}

fn widen(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: usize = 131_072;

    fn local(limbs: RopeLimbs) -> RopeTable {
        RopeTable::new(128, 1e4, 1.0, limbs).unwrap()
    }
    fn global(limbs: RopeLimbs) -> RopeTable {
        RopeTable::new(128, 1e6, 8.0, limbs).unwrap()
    }

    /// The lanes of vector `vector` of a block, all limbs added.
    fn lanes(table: &RopeTable, record: &[u8], block: usize, vector: usize) -> Vec<f64> {
        let mut lanes = vec![0.0; 32];
        for limb in 0..table.limbs.count() {
            let vector = &record[table.block_offset(limb, block) + vector * VECTOR_BYTES..][..VECTOR_BYTES];
            for (lane, bits) in lanes.iter_mut().zip(vector.as_chunks::<2>().0) {
                *lane += widen(u16::from_le_bytes(*bits));
            }
        }
        lanes
    }

    /// A head turned as the vector unit does it.
    fn turned(table: &RopeTable, record: &[u8], x: &[f64]) -> Vec<f64> {
        let (half, mut y) = (x.len() / 2, vec![0.0; x.len()]);
        for block in 0..table.blocks() {
            let [low, high] = [0, 1].map(|vector| lanes(table, record, block, vector));
            for i in 0..BLOCK_PAIRS {
                let j = BLOCK_PAIRS * block + i;
                y[j] = x[j] * low[i] + x[j + half] * low[i + BLOCK_PAIRS];
                y[j + half] = x[j] * high[i] + x[j + half] * high[i + BLOCK_PAIRS];
            }
        }
        y
    }

    #[test]
    fn a_turn_is_the_rotation_of_halves() {
        for table in [local(RopeLimbs::Two), global(RopeLimbs::Two)] {
            let mut record = vec![0; table.position_bytes()];
            let x: Vec<f64> = (0..128).map(|i| f64::from((i * 37 % 19) as u8) - 9.0).collect();
            for position in [0, 1, 75, 1023, 8191, CONTEXT - 1] {
                table.fill(position, &mut record).unwrap();
                let y = turned(&table, &record, &x);
                for j in 0..64 {
                    let angle = position as f64 * table.theta.powf(-(j as f64) / 64.0) / table.factor;
                    let (sin, cos) = angle.sin_cos();
                    assert!((y[j] - (x[j] * cos - x[j + 64] * sin)).abs() < 2e-4, "{position} {j}");
                    assert!((y[j + 64] - (x[j + 64] * cos + x[j] * sin)).abs() < 2e-4, "{position} {j}");
                }
            }
        }
    }

    /// Largest and root mean square distance of a turned pair from the exact one, over its length: √(δcos² + δsin²), whatever the pair.
    fn error(table: &RopeTable, positions: impl Iterator<Item = usize>) -> (f64, f64) {
        let mut record = vec![0; table.position_bytes()];
        let (mut largest, mut sum, mut count) = (0f64, 0.0, 0.0);
        for position in positions {
            table.fill(position, &mut record).unwrap();
            for block in 0..table.blocks() {
                let turn = lanes(table, &record, block, 1);
                for i in 0..BLOCK_PAIRS {
                    let j = (BLOCK_PAIRS * block + i) as f64;
                    let (sin, cos) = (position as f64 * table.theta.powf(-j / 64.0) / table.factor).sin_cos();
                    let square = (turn[i] - sin).powi(2) + (turn[i + BLOCK_PAIRS] - cos).powi(2);
                    largest = largest.max(square);
                    sum += square;
                    count += 1.0;
                }
            }
        }
        (largest.sqrt(), (sum / count).sqrt())
    }

    #[test]
    fn the_error_of_a_turn_does_not_grow_with_the_position() {
        for (name, table, largest, mean) in [
            ("local, one limb", local(RopeLimbs::One), 2.8e-3, 1.4e-3),
            ("global, one limb", global(RopeLimbs::One), 2.8e-3, 1.4e-3),
            ("local, two limbs", local(RopeLimbs::Two), 5.5e-6, 2.1e-6),
            ("global, two limbs", global(RopeLimbs::Two), 5.5e-6, 2.1e-6),
        ] {
            let start = error(&table, 0..1024);
            let end = error(&table, CONTEXT - 1024..CONTEXT);
            let spread = error(&table, (0..CONTEXT).step_by(61));
            println!("{name}: largest {:.3e}, root mean square {:.3e}", spread.0, spread.1);
            for (found_largest, found_mean) in [start, end, spread] {
                assert!(found_largest <= largest && found_mean <= mean, "{name}: {found_largest} {found_mean}");
            }
            assert!(spread.0 > largest / 3.0 && spread.1 > mean / 2.0, "{name}: the bounds are not idle");
        }
    }

    #[test]
    fn position_zero_turns_nothing() {
        let table = global(RopeLimbs::One);
        let mut record = vec![0xFF; table.position_bytes()];
        table.fill(0, &mut record).unwrap();
        let x: Vec<f64> = (0..128).map(f64::from).collect();
        assert_eq!(turned(&table, &record, &x), x);
    }

    #[test]
    fn a_range_is_its_positions_one_after_the_other() {
        let table = local(RopeLimbs::Two);
        assert_eq!([table.position_bytes(), table.bytes(512).unwrap()], [1024, 512 << 10]);
        let (mut range, mut one) = (vec![0; 3 * 1024], vec![0; 1024]);
        table.fill(100, &mut range).unwrap();
        table.fill(102, &mut one).unwrap();
        assert_eq!(range[2048..], one);
    }

    #[test]
    fn norm_weights_hold_seventeen_bits_of_every_factor() {
        let norm = HeadNorm::new(128).unwrap();
        let weights: Vec<f64> = (0..128).map(|d| f64::from(d * 37 % 128) / 64.0 - 1.5).collect();
        let mut record = vec![0; norm.bytes()];
        norm.fill(&weights, 0.5, &mut record).unwrap();
        let value = |at: usize| widen(u16::from_le_bytes([record[2 * at], record[2 * at + 1]]));
        for (d, w) in weights.iter().enumerate() {
            let at = (d % 64 / 16 * 2 + d / 64) * 32 + d % 16;
            let g = (1.0 + w) * 128f64.sqrt() * 0.5;
            assert!((value(at) + value(at + 16) - g).abs() <= g.abs() * 2f64.powi(-17), "{d}");
        }
        let refused = HeadNorm::new(48).unwrap_err();
        assert_eq!(refused, LayoutError::HeadDim { head_dim: 48, multiple: 32 });
        let refused = norm.fill(&weights[1..], 1.0, &mut record).unwrap_err();
        assert_eq!(refused, LayoutError::Length { what: "norm weights", found: 127, needed: 128 });
        let refused = norm.fill(&weights, 1.0, &mut record[2..]).unwrap_err();
        assert_eq!(refused, LayoutError::Length { what: "norm record", found: 510, needed: 512 });
    }

    #[test]
    fn what_is_no_rotation_is_refused() {
        let refused = |head_dim, theta, factor| RopeTable::new(head_dim, theta, factor, RopeLimbs::One).unwrap_err();
        assert_eq!(refused(48, 1e4, 1.0), LayoutError::HeadDim { head_dim: 48, multiple: 32 });
        assert_eq!(refused(128, 0.0, 1.0), LayoutError::Rotation { constant: "base", value: "0".to_owned() });
        assert_eq!(refused(128, 1e4, f64::NAN), LayoutError::Rotation { constant: "factor", value: "NaN".to_owned() });
        let table = local(RopeLimbs::One);
        let refused = table.fill(0, &mut [0; 500]).unwrap_err();
        assert_eq!(refused, LayoutError::Length { what: "rotation table", found: 500, needed: 512 });
        assert_eq!(table.bytes(usize::MAX).unwrap_err(), LayoutError::TooLarge { buffer: "rotation table" });
    }
}
