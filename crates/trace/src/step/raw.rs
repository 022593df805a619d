//! The file's own types: words and numbers, nothing else.

use super::SCHEMA;
use super::words::{AXES, CLASSES, COLLECTIVES, DURING, ROLES, Reader, word};
use diagnostic::Diagnostics;
use model::{Exchange, Operator, Tag, Work};
use program::{
    Finish, Gathered, Group, Overlap, Program, RankClass, Routing, Schedule, Segment, StepExchange,
    StepRef,
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProgram {
    pub schema: String,
    ranks: u64,
    micro_batches: u64,
    chunks: u64,
    schedule: String,
    boundary_bytes: f64,
    graphs: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recorded: Vec<String>,
    frozen: bool,
    overlap: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routing: Option<RawRouting>,
    groups: Vec<RawGroup>,
    operators: Vec<RawOperator>,
    exchanges: Vec<RawExchange>,
    segments: Vec<RawSegment>,
    classes: Vec<RawClass>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawRouting {
    experts: u64,
    topk: u64,
    deduplicated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group_limit: Option<u64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    axis: String,
    size: u64,
    stride: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawOperator {
    name: String,
    class: String,
    role: String,
    launches: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    work: RawWork,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum RawWork {
    Gemm { m: f64, n: f64, k: f64, count: f64 },
    GroupedGemm { groups: f64, rows: f64, n: f64, k: f64 },
    Attention { rows: f64, heads: f64, kv_heads: f64, d_qk: f64, d_v: f64, context: f64, keys: f64 },
    Scores { rows: f64, heads: f64, dim: f64, context: f64 },
    Memory { bytes: f64, backward_bytes: f64, flops: f64 },
    Elements { bytes: f64, backward_bytes: f64, elements: f64, backward_elements: f64 },
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawExchange {
    name: String,
    axis: String,
    forward: String,
    forward_bytes: f64,
    backward: String,
    backward_bytes: f64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawSegment {
    name: String,
    steps: Vec<RawStep>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gathered: Option<RawGathered>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offloaded_bytes: Option<f64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exchange: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    recomputed: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawGathered {
    dense_bytes: f64,
    expert_bytes: f64,
    dense_gradient_bytes: f64,
    expert_gradient_bytes: f64,
    matrices: f64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    pipeline_rank: u64,
    ranks: u64,
    /// Of every chunk, `[segment, times]`.
    chunks: Vec<Vec<(u32, u64)>>,
    exchanges: Vec<RawStepExchange>,
    optimizer_bytes: f64,
    optimizer_flops: f64,
    optimizer_launches: f64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawStepExchange {
    during: String,
    name: String,
    axis: String,
    operation: String,
    bytes: f64,
}

impl RawProgram {
    pub(super) fn of(p: &Program) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            ranks: p.ranks,
            micro_batches: p.micro_batches,
            chunks: p.chunks,
            schedule: p.schedule.word().to_owned(),
            boundary_bytes: p.boundary_bytes,
            graphs: p.graphs,
            recorded: p.recorded.iter().map(|class| word(&CLASSES, class)).collect(),
            frozen: p.frozen,
            overlap: p.overlap.words().into_iter().map(str::to_owned).collect(),
            routing: p.routing.map(|r| RawRouting {
                experts: r.experts,
                topk: r.topk,
                deduplicated: r.deduplicated,
                group_limit: r.group_limit,
            }),
            groups: p.groups.iter().map(RawGroup::of).collect(),
            operators: p.operators.iter().map(RawOperator::of).collect(),
            exchanges: p.exchanges.iter().map(RawExchange::of).collect(),
            segments: p.segments.iter().map(RawSegment::of).collect(),
            classes: p.classes.iter().map(RawClass::of).collect(),
        }
    }

    /// The program as the file says it, with a problem for every word and size that is none.
    pub(super) fn program(&self, file: &str, problems: &mut Diagnostics) -> Program {
        let mut r = Reader { file, problems };
        let mut overlap = Overlap::NONE;
        for word in &self.overlap {
            match overlap.switch(word) {
                Some(on) => *on = true,
                None => r.push(format!("overlap `{word}` is not known"), None),
            }
        }
        Program {
            operators: self.operators.iter().map(|o| o.read(&mut r)).collect(),
            exchanges: self.exchanges.iter().map(|e| e.read(&mut r)).collect(),
            segments: self.segments.iter().map(|s| s.read(&mut r)).collect(),
            classes: self.classes.iter().map(|c| c.read(&mut r)).collect(),
            groups: self.groups.iter().map(|g| g.read(&mut r)).collect(),
            schedule: r.of("schedule", &Schedule::WORDS, &self.schedule),
            micro_batches: self.micro_batches,
            chunks: self.chunks,
            boundary_bytes: r.size("boundary_bytes", self.boundary_bytes),
            overlap,
            graphs: self.graphs,
            recorded: self.recorded.iter().map(|c| r.of("recorded", &CLASSES, c)).collect(),
            frozen: self.frozen,
            routing: self.routing.as_ref().map(|r| Routing {
                experts: r.experts,
                topk: r.topk,
                deduplicated: r.deduplicated,
                group_limit: r.group_limit,
            }),
            ranks: self.ranks,
        }
    }
}

impl RawGroup {
    fn of(g: &Group) -> Self {
        Self { axis: word(&AXES, &g.axis), size: g.size, stride: g.stride }
    }

    fn read(&self, r: &mut Reader<'_>) -> Group {
        Group { axis: r.of("axis", &AXES, &self.axis), size: self.size, stride: self.stride }
    }
}

impl RawOperator {
    fn of(o: &Operator) -> Self {
        Self {
            name: o.name.to_owned(),
            class: word(&CLASSES, &o.class),
            role: word(&ROLES, &o.role),
            launches: o.launches,
            tag: o.tag.map(|t| word(&Tag::WORDS, &t)),
            work: RawWork::of(&o.work),
        }
    }

    fn read(&self, r: &mut Reader<'_>) -> Operator {
        Operator {
            name: r.name(&self.name),
            class: r.of("class", &CLASSES, &self.class),
            role: r.of("role", &ROLES, &self.role),
            work: self.work.read(r),
            launches: r.size("launches", self.launches),
            tag: self.tag.as_ref().map(|t| r.of("tag", &Tag::WORDS, t)),
        }
    }
}

impl RawWork {
    fn of(work: &Work) -> Self {
        match *work {
            Work::Gemm { m, n, k, count } => Self::Gemm { m, n, k, count },
            Work::GroupedGemm { groups, rows, n, k } => Self::GroupedGemm { groups, rows, n, k },
            Work::Attention { rows, heads, kv_heads, d_qk, d_v, context, keys } => {
                Self::Attention { rows, heads, kv_heads, d_qk, d_v, context, keys }
            }
            Work::Scores { rows, heads, dim, context } => {
                Self::Scores { rows, heads, dim, context }
            }
            Work::Memory { bytes, backward_bytes, flops } => {
                Self::Memory { bytes, backward_bytes, flops }
            }
            Work::Elements { bytes, backward_bytes, elements, backward_elements } => {
                Self::Elements { bytes, backward_bytes, elements, backward_elements }
            }
        }
    }

    fn read(&self, r: &mut Reader<'_>) -> Work {
        let mut size = |value| r.size("work", value);
        match *self {
            Self::Gemm { m, n, k, count } => {
                Work::Gemm { m: size(m), n: size(n), k: size(k), count: size(count) }
            }
            Self::GroupedGemm { groups, rows, n, k } => {
                Work::GroupedGemm { groups: size(groups), rows: size(rows), n: size(n), k: size(k) }
            }
            Self::Attention { rows, heads, kv_heads, d_qk, d_v, context, keys } => {
                Work::Attention {
                    rows: size(rows),
                    heads: size(heads),
                    kv_heads: size(kv_heads),
                    d_qk: size(d_qk),
                    d_v: size(d_v),
                    context: size(context),
                    keys: size(keys),
                }
            }
            Self::Scores { rows, heads, dim, context } => Work::Scores {
                rows: size(rows),
                heads: size(heads),
                dim: size(dim),
                context: size(context),
            },
            Self::Memory { bytes, backward_bytes, flops } => Work::Memory {
                bytes: size(bytes),
                backward_bytes: size(backward_bytes),
                flops: size(flops),
            },
            Self::Elements { bytes, backward_bytes, elements, backward_elements } => {
                Work::Elements {
                    bytes: size(bytes),
                    backward_bytes: size(backward_bytes),
                    elements: size(elements),
                    backward_elements: size(backward_elements),
                }
            }
        }
    }
}

impl RawExchange {
    fn of(e: &Exchange) -> Self {
        Self {
            name: e.name.to_owned(),
            axis: word(&AXES, &e.axis),
            forward: word(&COLLECTIVES, &e.forward),
            forward_bytes: e.forward_bytes,
            backward: word(&COLLECTIVES, &e.backward),
            backward_bytes: e.backward_bytes,
        }
    }

    fn read(&self, r: &mut Reader<'_>) -> Exchange {
        Exchange {
            name: r.name(&self.name),
            axis: r.of("axis", &AXES, &self.axis),
            forward: r.of("collective", &COLLECTIVES, &self.forward),
            forward_bytes: r.size("forward_bytes", self.forward_bytes),
            backward: r.of("collective", &COLLECTIVES, &self.backward),
            backward_bytes: r.size("backward_bytes", self.backward_bytes),
        }
    }
}

impl RawSegment {
    fn of(s: &Segment) -> Self {
        let step = |s: &StepRef| match *s {
            StepRef::Compute { operator, recomputed } => {
                RawStep { operator: Some(operator), exchange: None, recomputed }
            }
            StepRef::Exchange { exchange, recomputed } => {
                RawStep { operator: None, exchange: Some(exchange), recomputed }
            }
        };
        let g = &s.gathered;
        let gathered = (*g != Gathered::default()).then_some(RawGathered {
            dense_bytes: g.dense_bytes,
            expert_bytes: g.expert_bytes,
            dense_gradient_bytes: g.dense_gradient_bytes,
            expert_gradient_bytes: g.expert_gradient_bytes,
            matrices: g.matrices,
        });
        Self {
            name: s.name.clone(),
            steps: s.steps.iter().map(step).collect(),
            gathered,
            offloaded_bytes: Some(s.offloaded_bytes).filter(|bytes| *bytes > 0.0),
        }
    }

    fn read(&self, r: &mut Reader<'_>) -> Segment {
        let steps = self.steps.iter().filter_map(|s| {
            let recomputed = s.recomputed;
            match (s.operator, s.exchange) {
                (Some(operator), None) => Some(StepRef::Compute { operator, recomputed }),
                (None, Some(exchange)) => Some(StepRef::Exchange { exchange, recomputed }),
                _ => {
                    let message =
                        format!("a step of `{}` is not one operator or exchange", self.name);
                    r.push(message, None);
                    None
                }
            }
        });
        let steps = steps.collect();
        let gathered = self.gathered.as_ref().map_or(Gathered::default(), |g| Gathered {
            dense_bytes: r.size("gathered", g.dense_bytes),
            expert_bytes: r.size("gathered", g.expert_bytes),
            dense_gradient_bytes: r.size("gathered", g.dense_gradient_bytes),
            expert_gradient_bytes: r.size("gathered", g.expert_gradient_bytes),
            matrices: r.size("gathered", g.matrices),
        });
        let offloaded_bytes = self.offloaded_bytes.map_or(0.0, |b| r.size("offloaded_bytes", b));
        Segment { name: self.name.clone(), steps, gathered, offloaded_bytes }
    }
}

impl RawClass {
    fn of(c: &RankClass) -> Self {
        let exchanges = c.finish.exchanges.iter().map(|(during, e)| RawStepExchange {
            during: word(&DURING, during),
            name: e.name.to_owned(),
            axis: word(&AXES, &e.axis),
            operation: word(&COLLECTIVES, &e.operation),
            bytes: e.bytes,
        });
        Self {
            pipeline_rank: c.pipeline_rank,
            ranks: c.ranks,
            chunks: c.chunks.clone(),
            exchanges: exchanges.collect(),
            optimizer_bytes: c.finish.optimizer_bytes,
            optimizer_flops: c.finish.optimizer_flops,
            optimizer_launches: c.finish.optimizer_launches,
        }
    }

    fn read(&self, r: &mut Reader<'_>) -> RankClass {
        let exchanges = self.exchanges.iter().map(|e| {
            let exchange = StepExchange {
                name: r.name(&e.name),
                axis: r.of("axis", &AXES, &e.axis),
                operation: r.of("collective", &COLLECTIVES, &e.operation),
                bytes: r.size("bytes", e.bytes),
            };
            (r.of("during", &DURING, &e.during), exchange)
        });
        let exchanges = exchanges.collect();
        let finish = Finish {
            exchanges,
            optimizer_bytes: r.size("optimizer_bytes", self.optimizer_bytes),
            optimizer_flops: r.size("optimizer_flops", self.optimizer_flops),
            optimizer_launches: r.size("optimizer_launches", self.optimizer_launches),
        };
        let (pipeline_rank, ranks) = (self.pipeline_rank, self.ranks);
        RankClass { pipeline_rank, ranks, chunks: self.chunks.clone(), finish }
    }
}
