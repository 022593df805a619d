//! A timeline as a Perfetto trace: open it at <https://ui.perfetto.dev> (it stays in the browser).
//!
//! One group of tracks a class of ranks, one track a lane, flows from each message's send to its
//! arrival, counters for memory in use and for the load of every port class. Perfetto counts whole
//! nanoseconds: picoseconds are cut off, which keeps order and nesting.

pub mod messages;

use engine::{ClassTimeline, Lane, Span, Timeline};
use messages::{
    CounterDescriptor, DebugAnnotation, EventType, InternedData, InternedName, Trace, TracePacket,
    TrackDescriptor, TrackEvent,
};
use prost::Message;
use std::collections::BTreeMap;

const SEQUENCE: u32 = 1;
/// Children stand in order of their `sibling_order_rank`.
const EXPLICIT: i32 = 3;
/// Names of the values shown with slices, by interned id from 1.
const VALUES: [&str; 5] = ["micro_batch", "chunk", "ranks", "bytes", "duration_ps"];
const MICRO_BATCH: u64 = 1;
const CHUNK: u64 = 2;
const RANKS: u64 = 3;
const BYTES: u64 = 4;
const DURATION: u64 = 5;

/// The timeline as the bytes of a `.pftrace` file.
///
/// Tracks are laid out as in the module's words. A message whose sending span is not recorded is
/// drawn from a point in time on the sender's `send` track.
pub fn write(timeline: &Timeline) -> Vec<u8> {
    let mut writer = Writer::default();
    let step = writer.group("step", None, 0);
    for (index, class) in timeline.classes.iter().enumerate() {
        writer.class(step, index, class, timeline);
    }
    writer.links(step, timeline);
    writer.finish()
}

/// A packet of an event with what it is ordered by: time, then ends before begins.
type Timed = (u64, u8, TrackEvent);

#[derive(Default)]
struct Writer {
    tracks: Vec<TrackDescriptor>,
    events: Vec<Timed>,
    names: BTreeMap<String, u64>,
    categories: BTreeMap<&'static str, u64>,
}

fn nanoseconds(picoseconds: u64) -> u64 {
    picoseconds / 1000
}

fn value(name: u64, value: u64) -> DebugAnnotation {
    DebugAnnotation { name_iid: Some(name), uint_value: Some(value), double_value: None }
}

fn event(kind: EventType, track: u64) -> TrackEvent {
    TrackEvent { r#type: Some(kind as i32), track_uuid: Some(track), ..TrackEvent::default() }
}

impl Writer {
    /// A track of its own; returns its id.
    fn track(&mut self, name: &str, parent: Option<u64>, rank: usize) -> u64 {
        let uuid = self.tracks.len() as u64 + 1;
        self.tracks.push(TrackDescriptor {
            uuid: Some(uuid),
            name: Some(name.to_owned()),
            parent_uuid: parent,
            sibling_order_rank: Some(i32::try_from(rank).unwrap_or(i32::MAX)),
            ..TrackDescriptor::default()
        });
        uuid
    }

    /// A group of tracks, shown in order of `number`. Groups stand in one track of the whole step: the
    /// viewer sorts what has no parent by name, and processes by how busy they are.
    fn group(&mut self, name: &str, parent: Option<u64>, number: usize) -> u64 {
        let uuid = self.track(name, parent, number);
        self.tracks[uuid as usize - 1].child_ordering = Some(EXPLICIT);
        uuid
    }

    fn counter(&mut self, name: &str, parent: u64, rank: usize, unit: CounterDescriptor) -> u64 {
        let uuid = self.track(name, Some(parent), rank);
        self.tracks[uuid as usize - 1].counter = Some(unit);
        uuid
    }

    fn count(&mut self, track: u64, samples: &[(u64, f64)]) {
        for &(at, value) in samples {
            let mut counted = event(EventType::Counter, track);
            counted.double_counter_value = Some(value);
            self.events.push((nanoseconds(at), 2, counted));
        }
    }

    fn name(&mut self, name: &str) -> u64 {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.names.len() as u64 + 1;
        self.names.insert(name.to_owned(), id);
        id
    }

    fn category(&mut self, word: &'static str) -> u64 {
        let next = self.categories.len() as u64 + 1;
        *self.categories.entry(word).or_insert(next)
    }

    fn class(&mut self, step: u64, index: usize, class: &ClassTimeline, timeline: &Timeline) {
        let group = self.group(&class.label, Some(step), index);
        let mut lanes: Vec<Lane> = class.spans.iter().map(|s| s.lane).collect();
        lanes.sort_unstable();
        lanes.dedup();
        let tracks: Vec<(Lane, u64)> = lanes
            .iter()
            .enumerate()
            .map(|(rank, lane)| (*lane, self.track(lane.word(), Some(group), rank)))
            .collect();
        let track_of = |lane: Lane| tracks.iter().find(|(l, _)| *l == lane).map(|(_, t)| *t);
        let flows = self.sends(index, class, timeline, group, &track_of);
        for (k, span) in class.spans.iter().enumerate() {
            let Some(track) = track_of(span.lane) else { continue };
            let flow_ids = flows.get(&k).cloned().unwrap_or_default();
            self.slice(track, span, class.ranks, flow_ids);
        }
        self.arrivals(index, timeline, group, tracks.len());
        if !class.memory.is_empty() {
            let bytes = CounterDescriptor { unit: Some(3), unit_name: None };
            let track = self.counter("memory in use", group, tracks.len() + 2, bytes);
            self.count(track, &class.memory);
        }
    }

    fn slice(&mut self, track: u64, span: &Span, ranks: u64, flow_ids: Vec<u64>) {
        let mut begin = event(EventType::SliceBegin, track);
        begin.name_iid = Some(self.name(&span.name));
        begin.category_iids = vec![self.category(span.kind.word())];
        begin.flow_ids = flow_ids;
        begin.debug_annotations.extend(span.micro_batch.map(|m| value(MICRO_BATCH, m)));
        begin.debug_annotations.extend(span.chunk.map(|c| value(CHUNK, c)));
        begin.debug_annotations.push(value(RANKS, ranks));
        begin.debug_annotations.push(value(DURATION, span.duration_ps()));
        // Spans of a lane do not overlap, so the ends at an instant come before the begins; a span
        // of no whole nanosecond keeps its own order, begin then end.
        let (from, to) = (nanoseconds(span.start_ps), nanoseconds(span.end_ps));
        let end = event(EventType::SliceEnd, track);
        self.events.push((from, 1, begin));
        self.events.push((to, u8::from(from == to), end));
    }

    /// Flows by the span of `class` that sends them; messages without one get a point in time.
    fn sends(
        &mut self,
        index: usize,
        class: &ClassTimeline,
        timeline: &Timeline,
        group: u64,
        track_of: &impl Fn(Lane) -> Option<u64>,
    ) -> BTreeMap<usize, Vec<u64>> {
        let mut starts: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (k, span) in class.spans.iter().enumerate().filter(|(_, s)| s.lane == Lane::Send) {
            starts.entry(span.start_ps).or_default().push(k);
        }
        let mut flows: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (flow, message) in timeline.messages.iter().enumerate() {
            if message.from != index {
                continue;
            }
            let at = starts.get(&message.sent_ps);
            let same = |k: &&usize| class.spans[**k].name == message.name;
            if let Some(&span) = at.and_then(|ks| ks.iter().find(same).or(ks.first())) {
                flows.entry(span).or_default().push(flow as u64 + 1);
                continue;
            }
            let track = track_of(Lane::Send).unwrap_or(group);
            let mut point = event(EventType::Instant, track);
            point.name_iid = Some(self.name(&format!("{} sent", message.name)));
            point.flow_ids = vec![flow as u64 + 1];
            self.events.push((nanoseconds(message.sent_ps), 2, point));
        }
        flows
    }

    /// A point in time for every message that arrives at class `index`.
    fn arrivals(&mut self, index: usize, timeline: &Timeline, group: u64, rank: usize) {
        let mut track = None;
        for (flow, message) in timeline.messages.iter().enumerate() {
            if message.to != index {
                continue;
            }
            let track = *track.get_or_insert_with(|| self.track("receive", Some(group), rank));
            let mut point = event(EventType::Instant, track);
            point.name_iid = Some(self.name(&format!("{} received", message.name)));
            point.category_iids = vec![self.category("receive")];
            point.terminating_flow_ids = vec![flow as u64 + 1];
            point.debug_annotations = vec![DebugAnnotation {
                name_iid: Some(BYTES),
                uint_value: None,
                double_value: Some(message.bytes),
            }];
            self.events.push((nanoseconds(message.received_ps), 2, point));
        }
    }

    fn links(&mut self, step: u64, timeline: &Timeline) {
        if timeline.links.is_empty() {
            return;
        }
        let group = self.group("links", Some(step), timeline.classes.len());
        for (rank, link) in timeline.links.iter().enumerate() {
            let unit = CounterDescriptor { unit: None, unit_name: Some("B/s".to_owned()) };
            let track = self.counter(&link.name, group, rank, unit);
            self.count(track, &link.samples);
            // Back to nothing at the end, or the last value would seem to last for ever.
            self.count(track, &[(timeline.step_ps, 0.0)]);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        // A stable sort: what happens at one instant keeps the order in which it was written.
        self.events.sort_by_key(|(at, order, _)| (*at, *order));
        let named = |names: Vec<(String, u64)>| -> Vec<InternedName> {
            let one = |(name, iid)| InternedName { iid: Some(iid), name: Some(name) };
            names.into_iter().map(one).collect()
        };
        let values = VALUES.iter().zip(1..).map(|(n, id)| ((*n).to_owned(), id)).collect();
        let words = self.categories.iter().map(|(w, id)| ((*w).to_owned(), *id)).collect();
        let interned = InternedData {
            event_categories: named(words),
            event_names: named(self.names.into_iter().collect()),
            debug_annotation_names: named(values),
        };
        let packet =
            TracePacket { trusted_packet_sequence_id: Some(SEQUENCE), ..TracePacket::default() };
        let mut out = Vec::new();
        let mut put = |packet: TracePacket| {
            // Encoding into a growing buffer cannot fail.
            let _ = Trace { packet: vec![packet] }.encode(&mut out);
        };
        let start = (Some(interned), Some(1));
        put(TracePacket { interned_data: start.0, sequence_flags: start.1, ..packet.clone() });
        for track in self.tracks {
            put(TracePacket { track_descriptor: Some(track), ..packet.clone() });
        }
        for (at, _, event) in self.events {
            put(TracePacket {
                timestamp: Some(at),
                track_event: Some(event),
                sequence_flags: Some(2),
                ..packet.clone()
            });
        }
        out
    }
}
