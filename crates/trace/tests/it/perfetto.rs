//! A trace decoded back: every track known, time in order, slices nested, flows whole.

use engine::{ClassTimeline, Lane, LinkLoad, Message, Span, SpanKind, Timeline};
use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeMap;
use trace::perfetto::messages::{EventType, Trace};

/// Classes that each run spans of the given lengths with gaps, and send one message a span.
fn timeline(classes: usize, lengths: &[(u64, u64)]) -> Timeline {
    let mut made = Timeline::default();
    for index in 0..classes {
        let mut class = ClassTimeline {
            label: format!("pipeline {index}"),
            pipeline_rank: index as u64,
            ranks: 8,
            memory: vec![(0, 1e9), (2_500, 2e9)],
            ..ClassTimeline::default()
        };
        let mut at = index as u64 * 1_700;
        for (k, &(gap, length)) in lengths.iter().enumerate() {
            at += gap;
            for (lane, kind, name) in [
                (Lane::Compute, SpanKind::Forward, format!("forward {k}")),
                (Lane::Send, SpanKind::Send, format!("activation {k}")),
            ] {
                class.spans.push(Span {
                    lane,
                    kind,
                    name: name.into(),
                    micro_batch: Some(k as u64),
                    chunk: Some(0),
                    start_ps: at,
                    end_ps: at + length,
                });
            }
            if index + 1 < classes {
                made.messages.push(Message {
                    from: index,
                    to: index + 1,
                    bytes: 1e6,
                    // One in three has no span of its own.
                    sent_ps: if k % 3 == 2 { at + 1 } else { at },
                    received_ps: at + length,
                    name: format!("activation {k}").into(),
                });
            }
            at += length;
        }
        class.spans.sort_by_key(|s| (s.lane, s.start_ps));
        made.step_ps = made.step_ps.max(at);
        made.classes.push(class);
    }
    made.links.push(LinkLoad {
        name: "pipeline 0 pod out".to_owned(),
        capacity_bytes_per_s: 1e9,
        samples: vec![(0, 1e8), (1_000, 0.0)],
        bytes: 1e5,
    });
    made
}

/// Checks what a reader of traces relies on.
fn check(bytes: &[u8], timeline: &Timeline) {
    let trace = Trace::decode(bytes).expect("a trace decodes");
    let mut tracks = BTreeMap::new();
    let mut groups: BTreeMap<Option<u64>, Vec<_>> = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut depth: BTreeMap<u64, i64> = BTreeMap::new();
    let (mut opened, mut ended) = (Vec::new(), Vec::new());
    let (mut last, mut slices) = (0, 0);
    for packet in trace.packet {
        assert_eq!(packet.trusted_packet_sequence_id, Some(1));
        if let Some(data) = packet.interned_data {
            names.extend(data.event_names.into_iter().map(|n| (n.iid, n.name)));
        }
        if let Some(track) = packet.track_descriptor {
            if let Some(parent) = track.parent_uuid {
                assert!(tracks.contains_key(&parent), "a parent comes before its children");
            }
            let place = (track.sibling_order_rank, track.name.clone());
            groups.entry(track.parent_uuid).or_default().push(place);
            assert!(tracks.insert(track.uuid.expect("an id"), track.name).is_none());
        }
        let Some(event) = packet.track_event else { continue };
        let at = packet.timestamp.expect("events have a time");
        assert!(at >= last, "time runs forward");
        last = at;
        let track = event.track_uuid.expect("events have a track");
        assert!(tracks.contains_key(&track), "tracks are described before use");
        if let Some(name) = event.name_iid {
            assert!(names.contains_key(&Some(name)), "names are interned before use");
        }
        let level = depth.entry(track).or_default();
        match EventType::try_from(event.r#type.expect("a type")).expect("a known type") {
            EventType::SliceBegin => *level += 1,
            EventType::SliceEnd => {
                *level -= 1;
                slices += 1;
            }
            _ => {}
        }
        assert!((0..=1).contains(level), "a lane runs one thing at a time");
        opened.extend(event.flow_ids);
        ended.extend(event.terminating_flow_ids);
    }
    assert!(depth.values().all(|d| *d == 0), "every slice ends");
    assert_eq!(groups[&None].len(), 1, "one track holds all groups, or a viewer sorts them itself");
    for members in groups.values() {
        let ranks: Vec<i32> = members.iter().filter_map(|(rank, _)| *rank).collect();
        let in_order = ranks.len() == members.len() && ranks.windows(2).all(|r| r[0] < r[1]);
        assert!(in_order, "a group's members have an order: {members:?}");
    }
    assert_eq!(slices, timeline.classes.iter().map(|c| c.spans.len()).sum::<usize>());
    opened.sort_unstable();
    ended.sort_unstable();
    assert_eq!(opened, ended, "every flow has both ends");
    assert_eq!(opened, (1..=timeline.messages.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_trace_decodes_to_its_timeline() {
    let timeline = timeline(4, &[(0, 5_000), (10, 2_000), (0, 3), (0, 1), (1, 9_999)]);
    let bytes = trace::perfetto::write(&timeline);
    check(&bytes, &timeline);
    assert_eq!(bytes, trace::perfetto::write(&timeline), "same input, same bytes");
    check(&trace::perfetto::write(&Timeline::default()), &Timeline::default());
}

#[test]
fn chrome_events_are_whole() {
    let timeline = timeline(2, &[(0, 5_000_000), (10, 2_000_000)]);
    let value = trace::chrome::write(&timeline);
    let events = value["traceEvents"].as_array().expect("events");
    let of = |phase: &str| events.iter().filter(|e| e["ph"] == phase).count();
    assert_eq!((of("X"), of("s"), of("f")), (8, 2, 2));
    let first = events.iter().find(|e| e["ph"] == "X").expect("a slice");
    assert_eq!((first["ts"].as_f64(), first["dur"].as_f64()), (Some(0.0), Some(5.0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn traces_nest_at_any_granularity(
        classes in 1_usize..4,
        lengths in prop::collection::vec((0_u64..3_000, 0_u64..3_000), 0..40),
    ) {
        let timeline = timeline(classes, &lengths);
        check(&trace::perfetto::write(&timeline), &timeline);
    }
}
