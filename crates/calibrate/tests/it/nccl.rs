//! nccl-tests' output.

use calibrate::{Machine, Subject, Table, calibrate, nccl};

const RANKS: &str = "#  Rank  0 Group  0 Pid   4100 on    node-a device  0 [0000:18:00] NVIDIA H100\n\
                     #  Rank  1 Group  0 Pid   4101 on    node-a device  1 [0000:2a:00] NVIDIA H100\n";
const HEAD: &str = "#       size         count      type   redop    root     time   algbw   busbw #wrong \
                    time   algbw   busbw #wrong\n";

fn text(rows: &str) -> String {
    format!("# Using devices\n{RANKS}#\n{HEAD}{rows}# Out of bounds values : 0 OK\n")
}

fn rows() -> String {
    let row = |e: u32| {
        let bytes = 1_u64 << e;
        let us = 10.0 + bytes as f64 / 3e5;
        format!("{bytes} {} float sum -1 {us:.2} 1.0 1.0 0 {us:.2} 1.0 1.0 0\n", bytes / 4)
    };
    (10..=30).map(row).collect::<Vec<String>>().concat()
}

fn curve(table: Table) -> calibrate::Calibrated {
    let chip = catalog::chip("h100").expect("in the catalog");
    let base = kernel::calibration("h100").expect("in the catalog");
    let machine = Machine::of(&chip, 450e9, None);
    calibrate(&[table], &Subject { machine, base: Some(&base) }).expect("a clean table")
}

#[test]
fn text_becomes_a_curve() {
    let table = nccl::text("all_reduce_perf.txt", &text(&rows())).expect("nccl-tests' text");
    assert_eq!(table.rows, 21);
    let fits = curve(table);
    assert_eq!(fits.curves[0].operation, "all-reduce");
    assert!((fits.curves[0].times_us[&2][&(1 << 30)] - (10.0 + 1_073_741_824.0 / 3e5)).abs() < 0.1);
    assert!(fits.errors[0].median < 0.1, "{:?}", fits.errors);
}

#[test]
fn json_becomes_the_same_curve() {
    let results: Vec<String> = (10..=30)
        .map(|e| {
            let bytes = 1_u64 << e;
            let us = 10.0 + bytes as f64 / 3e5;
            format!(
                "{{\"size\":{bytes},\"count\":{},\"type\":\"float\",\"redop\":\"sum\",\"root\":\"-1\",\
                 \"out_of_place\":{{\"time\":{us:.2},\"alg_bw\":1.0,\"bus_bw\":1.0,\"nwrong\":0.0}},\
                 \"in_place\":{{\"time\":{us:.2},\"alg_bw\":1.0,\"bus_bw\":1.0,\"nwrong\":0.0}}}}",
                bytes / 4
            )
        })
        .collect();
    let json = format!(
        "{{\"version\":2,\"args\":[\"./all_reduce_perf\",\"-J\",\"o.json\"],\
         \"config\":{{\"devices\":[{{\"rank\":0}},{{\"rank\":1}}]}},\"results\":[{}],\
         \"out_of_bounds\":{{\"count\":0,\"okay\":\"true\"}}}}",
        results.join(",")
    );
    let table = nccl::json("o.json", &json).expect("nccl-tests' JSON");
    let of_text = nccl::text("all_reduce_perf.txt", &text(&rows())).expect("text");
    assert_eq!(curve(table).curves, curve(of_text).curves);
    let wrong = json.replace("\"true\"", "\"false\"");
    assert!(nccl::json("o.json", &wrong).expect_err("wrong").message.contains("wrong results"));
    for end in (0..json.len()).step_by(97) {
        assert!(nccl::json("o.json", &json[..end]).is_err());
    }
}

#[test]
fn what_cannot_be_told_is_an_error() {
    for (name, text, wanted) in [
        ("out.txt", text(&rows()), "which collective"),
        ("all_reduce.txt", text(&rows()).replace(RANKS, ""), "0 ranks"),
        ("all_reduce.txt", text(""), "no rows"),
        ("all_reduce.txt", text("1024 256 float sum -1 9.1 0.1\n"), "cut off"),
        ("all_reduce.txt", text(&rows()).replace(" time ", " cputime "), "no column `time`"),
        ("all_reduce.txt", text(&rows()).replace("0 OK", "3 FAILED"), "wrong results"),
    ] {
        let found = nccl::text(name, &text).expect_err(wanted).message;
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}
