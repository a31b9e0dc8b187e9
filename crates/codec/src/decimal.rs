//! Floats that are decimals: `v = m / 10^e` with one exponent for the whole column, exactly. What
//! monitoring measures almost always is. The rest (NaNs, infinities, -0, full-precision doubles)
//! are exceptions, kept bit for bit.

/// The largest exponent tried. 10^22 is the largest power of ten a double holds exactly; beyond 15
/// digits after the point nothing shorter than the double itself is left to gain.
const EXPONENT_MAX: usize = 15;

const POWERS: [f64; EXPONENT_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Integers of this magnitude and below are exact in a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A column as integers; `exceptions` are positions whose integers continue their
/// predecessors' line, so that they cost nothing among the deltas.
pub(crate) struct Decimals {
    pub(crate) exponent: u8,
    pub(crate) mantissas: Vec<i64>,
    /// `(position, bits)`
    pub(crate) exceptions: Vec<(usize, u64)>,
}

/// The divisor of an exponent, `None` for an exponent this version does not write.
pub(crate) fn power(exponent: u8) -> Option<f64> {
    POWERS.get(usize::from(exponent)).copied()
}

#[inline]
fn mantissa(v: f64, exponent: usize) -> Option<i64> {
    let scaled = v * POWERS[exponent];
    if scaled.is_nan() || scaled.abs() > EXACT_MAX {
        return None;
    }
    // Rounds half away from zero without a call; whether it was right is checked below.
    let m = (scaled + 0.5f64.copysign(scaled)) as i64;
    let back = m as f64 / POWERS[exponent];
    (back.to_bits() == v.to_bits()).then_some(m)
}

/// `None` when more than an eighth of the values (and more than two) are no decimals.
pub(crate) fn detect(values: &[f64]) -> Option<Decimals> {
    let exceptions_max = values.len() / 8 + 2;
    let mut exponent = 0;
    let mut n_failed = 0;
    for &v in values {
        if mantissa(v, exponent).is_some() {
            continue;
        }
        match (exponent + 1..=EXPONENT_MAX).find(|e| mantissa(v, *e).is_some()) {
            Some(larger) => exponent = larger,
            None => n_failed += 1,
        }
        if n_failed > exceptions_max {
            return None;
        }
    }
    let mut mantissas = Vec::with_capacity(values.len());
    let mut exceptions = Vec::new();
    let (mut previous, mut step) = (0i64, 0i64);
    for (at, &v) in values.iter().enumerate() {
        let m = mantissa(v, exponent).unwrap_or_else(|| {
            exceptions.push((at, v.to_bits()));
            previous.wrapping_add(step)
        });
        step = if at == 0 { 0 } else { m.wrapping_sub(previous) };
        previous = m;
        mantissas.push(m);
    }
    // A first value that is an exception would make an artificial jump from zero.
    let n_leading = exceptions.iter().enumerate().take_while(|(i, (at, _))| i == at).count();
    if let Some(&m) = mantissas.get(n_leading) {
        mantissas[..n_leading].fill(m);
    }
    (exceptions.len() <= exceptions_max).then_some(Decimals {
        exponent: exponent as u8,
        mantissas,
        exceptions,
    })
}
