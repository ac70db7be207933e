//! RMSNorm: y[i] = x[i] · (mean(x²) + ε)^-½ · (1 + w[i])

/// Normalises `x` in place; the weight is stored as its distance from one.
///
/// # Panics
/// If `weight` is not as long as `x`.
// SOURCE: huggingface/transformers `models/gemma3/modeling_gemma3.py`, Gemma3RMSNorm.
pub fn rms_norm(x: &mut [f64], weight: &[f64], eps: f64) {
    assert_eq!(x.len(), weight.len(), "one weight per element");
    let mean_square = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
    let inverse = 1.0 / (mean_square + eps).sqrt();
    for (v, w) in x.iter_mut().zip(weight) {
        *v *= inverse * (1.0 + w);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_weight_leaves_a_unit_mean_square() {
        let mut x = [3.0, -4.0, 0.0, 12.0];
        rms_norm(&mut x, &[0.0; 4], 0.0);
        assert!((x.iter().map(|v| v * v).sum::<f64>() / 4.0 - 1.0).abs() < 1e-15);
        assert_eq!(x[1] / x[0], -4.0 / 3.0);
    }

    #[test]
    fn epsilon_keeps_a_zero_head_at_zero() {
        let mut x = [0.0; 4];
        rms_norm(&mut x, &[1.0; 4], 1e-6);
        assert_eq!(x, [0.0; 4]);
    }
}
