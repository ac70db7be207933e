//! Exact integer matrix products on the host, as witness for the NPU's.

use std::thread;

/// `C[m][n] = Σₖ A[m][k] · B[n][k]`, int8 × int8 → int32, both operands row-major along `k`. Uses the machine's threads; the result is exact
/// for `k` up to 131071, so it does not depend on their number.
///
/// # Panics
/// If a slice is not as long as its shape says, or `k` could overflow an int32 sum.
pub fn i8_nt(a: &[i8], b: &[i8], m: usize, n: usize, k: usize) -> Vec<i32> {
    assert_eq!((a.len(), b.len()), (m * k, n * k), "operands do not match the shape {m} x {n} x {k}");
    assert!(k <= 131_071, "an int32 sum of {k} products can overflow");
    let wide: Vec<i16> = a.iter().map(|&v| i16::from(v)).collect();
    let mut c = vec![0i32; m * n];
    let threads = thread::available_parallelism().map_or(1, usize::from).min(n.max(1));
    let columns_each = n.div_ceil(threads).max(1);
    let parts: Vec<(usize, Vec<i32>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..n)
            .step_by(columns_each)
            .map(|first| {
                let (wide, last) = (&wide, (first + columns_each).min(n));
                scope.spawn(move || (first, columns(wide, b, m, k, first, last)))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker only multiplies")).collect()
    });
    for (first, part) in parts {
        let width = part.len() / m.max(1);
        for row in 0..m {
            c[row * n + first..row * n + first + width].copy_from_slice(&part[row * width..(row + 1) * width]);
        }
    }
    c
}

fn columns(a: &[i16], b: &[i8], m: usize, k: usize, first: usize, last: usize) -> Vec<i32> {
    let width = last - first;
    let mut out = vec![0i32; m * width];
    let mut column = vec![0i16; k];
    for j in 0..width {
        for (wide, &narrow) in column.iter_mut().zip(&b[(first + j) * k..(first + j + 1) * k]) {
            *wide = i16::from(narrow);
        }
        for row in 0..m {
            out[row * width + j] = dot(&a[row * k..(row + 1) * k], &column);
        }
    }
    out
}

fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition(m in 1usize..5, n in 1usize..9, k in 1usize..40, seed: u64) {
            let mut rng = crate::data::Rng::new(seed);
            let a: Vec<i8> = (0..m * k).map(|_| rng.next_u64() as i8).collect();
            let b: Vec<i8> = (0..n * k).map(|_| rng.next_u64() as i8).collect();
            let c = i8_nt(&a, &b, m, n, k);
            for i in 0..m {
                for j in 0..n {
                    let exact: i64 = (0..k).map(|x| i64::from(a[i * k + x]) * i64::from(b[j * k + x])).sum();
                    prop_assert_eq!(i64::from(c[i * n + j]), exact);
                }
            }
        }
    }
}
