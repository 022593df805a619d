//! Links shared max-min fairly among the flows on them.

/// A flow as the sharing sees it: what it takes of each link at full speed.
#[derive(Clone, Debug, Default)]
pub(super) struct Demand {
    /// `(link, share of the link's normal capacity at full speed)`, each above 0.
    pub links: Vec<(u32, f64)>,
    /// The largest of the shares: the flow's rate is measured on that link.
    pub peak: f64,
}

/// Speeds of flows, 0 to 1, such that none can go faster without slowing one that is no faster:
/// every flow's rate on its own busiest link rises with the others' until a link is full or the flow
/// is at full speed (progressive filling, Bertsekas and Gallager, Data Networks, section 6.5.2).
///
/// `capacity` gives what each link can carry, as a share of its normal capacity. A flow that uses no
/// link (a peer on the same chip, no bytes) runs at full speed.
pub(super) fn speeds(demands: &[&Demand], capacity: impl Fn(u32) -> f64) -> Vec<f64> {
    let mut links: Vec<u32> =
        demands.iter().flat_map(|d| d.links.iter().map(|&(link, _)| link)).collect();
    links.sort_unstable();
    links.dedup();
    let place = |link: u32| links.binary_search(&link).unwrap_or(0);
    let mut left: Vec<f64> = links.iter().map(|&l| capacity(l)).collect();
    let mut rates = vec![0.0_f64; demands.len()];
    let mut open: Vec<bool> = demands.iter().map(|d| d.peak > 0.0).collect();
    while open.contains(&true) {
        // What one more unit of every open flow's rate takes of each link.
        let mut taken = vec![0.0; links.len()];
        for (_, demand) in demands.iter().enumerate().filter(|(i, _)| open[*i]) {
            for &(link, share) in &demand.links {
                taken[place(link)] += share / demand.peak;
            }
        }
        let mut most = f64::INFINITY;
        for (i, demand) in demands.iter().enumerate().filter(|(i, _)| open[*i]) {
            most = most.min(demand.peak - rates[i]);
        }
        for (room, taken) in left.iter().zip(&taken).filter(|(_, t)| **t > 0.0) {
            most = most.min((room / taken).max(0.0));
        }
        for (room, taken) in left.iter_mut().zip(&taken) {
            *room = (*room - most * taken).max(0.0);
        }
        let full = |link: u32| {
            let at = place(link);
            taken[at] > 0.0 && left[at] <= 1e-12 * capacity(link).max(1e-3)
        };
        let mut closed = false;
        for (i, demand) in demands.iter().enumerate() {
            if !open[i] {
                continue;
            }
            rates[i] += most;
            if rates[i] >= demand.peak * (1.0 - 1e-12) || demand.links.iter().any(|&(l, _)| full(l))
            {
                open[i] = false;
                closed = true;
            }
        }
        assert!(closed, "max-min filling does not end: {rates:?} over {links:?}");
    }
    let speed = |(rate, demand): (&f64, &&Demand)| {
        if demand.peak > 0.0 { (rate / demand.peak).min(1.0) } else { 1.0 }
    };
    rates.iter().zip(demands).map(speed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn demand(links: &[(u32, f64)]) -> Demand {
        let peak = links.iter().fold(0.0, |most: f64, &(_, share)| most.max(share));
        Demand { links: links.to_vec(), peak }
    }

    fn solved(demands: &[Demand], capacity: &[f64]) -> Vec<f64> {
        speeds(&demands.iter().collect::<Vec<_>>(), |l| capacity[l as usize])
    }

    #[test]
    fn equal_flows_share_equally_and_small_ones_keep_theirs() {
        let whole = demand(&[(0, 1.0)]);
        assert_eq!(solved(&[whole.clone(), whole.clone()], &[1.0]), [0.5, 0.5]);
        // The second asks for a fifth only: it keeps it, the first takes the rest.
        assert_eq!(solved(&[whole.clone(), demand(&[(0, 0.2)])], &[1.0]), [0.8, 1.0]);
        // A link at half its rate.
        assert_eq!(solved(&[whole], &[0.5]), [0.5]);
        assert_eq!(solved(&[demand(&[])], &[]), [1.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// No link is over its capacity, and every flow below full speed has a full link on which no
        /// flow is faster: the definition of max-min fairness.
        #[test]
        fn speeds_are_max_min_fair(
            shares in prop::collection::vec(prop::collection::vec(0.0_f64..1.0, 4), 1..7),
            capacity in prop::collection::vec(0.05_f64..1.5, 4),
        ) {
            let demands: Vec<Demand> = shares
                .iter()
                .map(|s| {
                    let used = s.iter().enumerate().filter(|(_, x)| **x > 0.3);
                    demand(&used.map(|(l, &x)| (l as u32, x)).collect::<Vec<_>>())
                })
                .collect();
            let speeds = solved(&demands, &capacity);
            let rate = |i: usize| speeds[i] * demands[i].peak;
            let load = |link: u32| -> f64 {
                demands.iter().zip(&speeds).map(|(d, s)| {
                    d.links.iter().filter(|l| l.0 == link).map(|l| l.1 * s).sum::<f64>()
                }).sum()
            };
            for (link, &most) in capacity.iter().enumerate() {
                prop_assert!(load(link as u32) <= most * (1.0 + 1e-9));
            }
            for (i, d) in demands.iter().enumerate().filter(|(i, _)| speeds[*i] < 1.0 - 1e-9) {
                let bottleneck = d.links.iter().any(|&(link, _)| {
                    let full = load(link) >= capacity[link as usize] * (1.0 - 1e-9);
                    full && (0..demands.len()).all(|j| {
                        !demands[j].links.iter().any(|l| l.0 == link) || rate(j) <= rate(i) + 1e-9
                    })
                });
                prop_assert!(bottleneck, "flow {i} of {speeds:?} could be faster");
            }
        }
    }
}
