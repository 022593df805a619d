//! Small systems: positive definite ones, and shares that cannot be negative.

/// Solves a symmetric positive system.
///
/// # Errors
/// The first unknown that nothing determines.
pub fn cholesky(mut a: Vec<f64>, mut b: Vec<f64>) -> Result<Vec<f64>, String> {
    let n = b.len();
    // Rows begin with zeros that stay zeros: neighbours on a grid are near each other in a row.
    let begins: Vec<usize> =
        (0..n).map(|i| (0..i).find(|j| a[i * n + j] != 0.0).unwrap_or(i)).collect();
    for j in 0..n {
        for i in (j..n).filter(|i| begins[*i] <= j) {
            let start = begins[i].max(begins[j]);
            let (head, row) = a.split_at(i * n);
            let left = if i == j { &row[start..j] } else { &head[j * n + start..j * n + j] };
            let dot: f64 = left.iter().zip(&row[start..j]).map(|(x, y)| x * y).sum();
            let value = a[i * n + j] - dot;
            // Not `value <= 0`, which a NaN would pass.
            if i == j && !(value > 0.0 && value.is_finite()) {
                return Err(format!("node {j} is not determined by the measurements"));
            }
            a[i * n + j] = if i == j { libm::sqrt(value) } else { value / a[j * n + j] };
        }
    }
    for i in 0..n {
        let dot: f64 = (begins[i]..i).map(|j| a[i * n + j] * b[j]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let below = (i + 1..n).filter(|j| begins[*j] <= i);
        let dot: f64 = below.map(|j| a[j * n + i] * b[j]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    Ok(b)
}

/// Non-negative factors x with the least Σ|rows·x − right|, by reweighted least squares and
/// coordinate descent. `rows` hold `width` numbers each; residuals below 0.03 count as squares.
pub fn least_absolute_positive(rows: &[f64], right: &[f64], width: usize) -> Vec<f64> {
    let mut x = vec![0.0; width];
    let mut weights = vec![1.0; right.len()];
    for _ in 0..8 {
        let mut matrix = vec![0.0; width * width];
        let mut vector = vec![0.0; width];
        for ((row, y), w) in rows.chunks(width).zip(right).zip(&weights) {
            for (i, a) in row.iter().enumerate() {
                vector[i] += w * a * y;
                for (j, b) in row.iter().enumerate() {
                    matrix[i * width + j] += w * a * b;
                }
            }
        }
        for _ in 0..400 {
            for i in 0..width {
                let others: f64 =
                    (0..width).filter(|j| *j != i).map(|j| matrix[i * width + j] * x[j]).sum();
                let own = matrix[i * width + i];
                x[i] = if own > 0.0 { ((vector[i] - others) / own).max(0.0) } else { 0.0 };
            }
        }
        for ((row, y), w) in rows.chunks(width).zip(right).zip(&mut weights) {
            let got: f64 = row.iter().zip(&x).map(|(a, b)| a * b).sum();
            *w = 0.03 / libm::fabs(got - y).max(0.03);
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_found_and_never_negative() {
        let rows: Vec<f64> =
            (1..=20).flat_map(|i| [f64::from(i), f64::from(i * i % 7), 1.0]).collect();
        let right: Vec<f64> = rows.chunks(3).map(|r| 2.0 * r[0] + 0.5 * r[1]).collect();
        let x = least_absolute_positive(&rows, &right, 3);
        assert!((x[0] - 2.0).abs() < 1e-3 && (x[1] - 0.5).abs() < 1e-3, "{x:?}");
        let down: Vec<f64> = right.iter().map(|y| -y).collect();
        assert!(least_absolute_positive(&rows, &down, 3).iter().all(|x| *x >= 0.0));
    }

    #[test]
    fn one_wild_point_moves_little() {
        let rows: Vec<f64> = (1..=30).map(f64::from).collect();
        let mut right: Vec<f64> = rows.iter().map(|r| 3.0 * r).collect();
        right[7] = 900.0;
        assert!((least_absolute_positive(&rows, &right, 1)[0] - 3.0).abs() < 0.05);
    }

    #[test]
    fn an_undetermined_system_is_an_error() {
        assert!(cholesky(vec![1.0, 1.0, 1.0, 1.0], vec![1.0, 1.0]).is_err());
        assert!(cholesky(vec![f64::NAN], vec![1.0]).is_err());
        assert_eq!(cholesky(vec![4.0], vec![2.0]).unwrap(), vec![0.5]);
    }
}
