//! MSCCL's collectives: followed, run beside our own ring, and refused where they are wrong.

use trace::msccl;

/// A ring all-reduce of `n` ranks on `channels` channels, as MSCCL's compiler lays it out.
pub fn ring(n: u64, channels: u64) -> String {
    let chunks = n * channels;
    let mut out = format!(
        "<algo name=\"ring\" proto=\"Simple\" nchannels=\"{channels}\" nchunksperloop=\"{chunks}\" \
         ngpus=\"{n}\" coll=\"allreduce\" inplace=\"1\">\n"
    );
    for r in 0..n {
        out += &format!("<gpu id=\"{r}\" i_chunks=\"{chunks}\" o_chunks=\"0\" s_chunks=\"0\">\n");
        for c in 0..channels {
            let (to, from) = ((r + 1) % n, (r + n - 1) % n);
            out += &format!("<tb id=\"{c}\" send=\"{to}\" recv=\"{from}\" chan=\"{c}\">\n");
            for s in 0..2 * n - 1 {
                let kind = match s {
                    0 => "s",
                    s if s < n - 1 => "rrs",
                    s if s == n - 1 => "rrcs",
                    s if s < 2 * n - 2 => "rcs",
                    _ => "r",
                };
                let at = (r + 2 * n - s) % n * channels + c;
                out += &format!(
                    "<step s=\"{s}\" type=\"{kind}\" srcbuf=\"i\" srcoff=\"{at}\" dstbuf=\"i\" \
                     dstoff=\"{at}\" cnt=\"1\" depid=\"-1\" deps=\"-1\" hasdep=\"0\"/>\n"
                );
            }
            out += "</tb>\n";
        }
        out += "</gpu>\n";
    }
    out + "</algo>\n"
}

#[test]
fn a_ring_comes_out_and_takes_what_our_ring_takes() {
    for (n, text) in [(2, "ring:2"), (8, "ring:8"), (8, "switch:8"), (5, "mesh:5")] {
        let topology = fabric::parse_topology(&format!("{text}@50GB/s,500ns")).unwrap();
        let network = fabric::Network::new(topology).unwrap();
        let made = msccl::read("ring.xml", &ring(n, 1)).unwrap();
        assert_eq!(made.prove(), Some(Ok(())), "{text}");
        let theirs = made.run(&network, 1e9).unwrap();
        let ours = collective::unfolded(
            &network,
            &collective::Placed::first(&network, n),
            collective::Operation::Of(model::Collective::AllReduce),
            collective::Scheme::Ring,
            fabric::Routing::Split,
            1e9,
        );
        let ours = ours.unwrap().0;
        assert!(theirs.abs_diff(ours) <= 4 * n, "{text}: {theirs} and {ours} ps");
    }
    // Channels side by side share the links: as long as one, but for latency.
    let network = fabric::parse_topology("ring:4@50GB/s,0ns").unwrap();
    let network = fabric::Network::new(network).unwrap();
    let [one, four] = [1, 4].map(|c| msccl::read("", &ring(4, c)).unwrap());
    assert_eq!(four.prove(), Some(Ok(())));
    let (one, four) = (one.run(&network, 1e9).unwrap(), four.run(&network, 1e9).unwrap());
    assert!((one as f64 / four as f64 - 1.0).abs() < 1e-6, "{one} and {four}");
}

#[test]
fn wrong_algorithms_are_found() {
    let good = ring(4, 1);
    // One chunk is not added: it runs to its end, and the sum is wrong.
    let bad = good.replacen("type=\"rrs\"", "type=\"rcs\"", 1);
    let outcome = msccl::read("", &bad).unwrap().prove();
    assert!(matches!(outcome, Some(Err(ref text)) if text.contains("does not end with")));
    for (from, to, word) in [
        ("<algo", "<algor", "not XML"),
        ("ngpus=\"4\"", "ngpus=\"5\"", "`ngpus` says 5"),
        ("ngpus=\"4\"", "ngpus=\"99999999\"", "not one of"),
        ("type=\"s\"", "type=\"q\"", "not known"),
        ("srcbuf=\"i\"", "srcbuf=\"x\"", "none of"),
        ("srcoff=\"0\"", "srcoff=\"zero\"", "not one of"),
        ("type=\"s\"", "type=\"nop\"", "sends"),
        ("cnt=\"1\"", "cnt=\"2\"", "expects"),
        ("depid=\"-1\" deps=\"-1\"", "depid=\"7\" deps=\"0\"", "not there"),
        ("depid=\"-1\" deps=\"-1\"", "depid=\"0\" deps=\"6\"", "wait for each other"),
        (" coll=\"allreduce\"", "", "no `coll`"),
    ] {
        let text = good.replacen(from, to, 1);
        let problems = msccl::read("a.xml", &text).expect_err(word);
        assert!(problems.0.iter().any(|p| p.message.contains(word)), "{word}: {problems:?}");
        assert!(problems.0.iter().all(|p| p.label.is_some()), "{problems:?}");
    }
}
