//! Tables to fits: which points each operator has, what is fitted to them, and how well.

mod gathered;
mod training;

use crate::check::check;
use crate::collectives::{self, Measured};
use crate::fit::{Axes, Fitted, Point, Problem, fit, place};
use crate::fold::{FOLDS, folds, quantiles};
use crate::kind::{Kind, PAGE, one_chip};
use crate::linear::least_absolute_positive;
use crate::machine::Machine;
use crate::points::efficiencies::{Efficiencies, Passes};
use crate::points::modules::{self, Module};
use crate::points::{FORMATS, Fastest, dense, efficiencies, experts, keep, sequences};
use crate::table::Table;
use catalog::Dtype;
use diagnostic::{Diagnostic, Diagnostics};
use kernel::{Calibration, Operation, Surface, Waves};
use model::Work;
use std::collections::BTreeMap;

/// Tile of the waves that are tried: the largest of cuBLAS's half-precision kernels.
const TILE: [f64; 2] = [256.0, 128.0];
/// Points from which a surface is fitted without leaning on a known one.
const ENOUGH: usize = 400;
/// Fewest points of a surface that leans on a known one.
const FEWEST: usize = 10;
/// Median error beyond which measurements are called noise.
pub const NOISE: f64 = 0.35;

/// What is measured, and what is known of its like.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Peaks of the chip.
    pub machine: Machine,
    /// The calibration that stands in for what is not measured, and that small tables lean on.
    pub base: Option<&'a Calibration>,
}

/// A fitted surface.
#[derive(Clone, Debug)]
pub struct SurfaceFit {
    /// Word of the operation.
    pub operation: Operation,
    /// Operand format.
    pub dtype: Dtype,
    /// The fit.
    pub fitted: Fitted,
    /// Whether whole waves of tiles are taken out first.
    pub waves: Option<Waves>,
}

/// How far a fit is from measurements kept out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorRow {
    /// Operator and format: `gemm bf16`.
    pub operator: String,
    /// Measured shapes.
    pub points: usize,
    /// Shapes in the table that are not of the kind fitted.
    pub left_out: usize,
    /// Median of |predicted/measured − 1|.
    pub median: f64,
    /// Its 90th percentile.
    pub p90: f64,
    /// Factors fitted beside a surface, or that are the fit.
    pub terms: Vec<(String, f64)>,
}

/// A share of the forward rate: median, 10th and 90th percentile, kernels.
pub type Ratio = (f64, f64, f64, usize);

/// Everything fitted.
#[derive(Clone, Debug, Default)]
pub struct Calibrated {
    /// Time of a matrix kernel beyond its work, if it was measured. Seconds.
    pub fixed_s: Option<f64>,
    /// Least time from one expert's product to the next, if it bounds any. Seconds.
    pub start_s: Option<f64>,
    /// Share of the memory bandwidth of large copies, if it was measured.
    pub copy: Option<f64>,
    /// Surfaces.
    pub surfaces: Vec<SurfaceFit>,
    /// Collectives of one domain.
    pub curves: Vec<Measured>,
    /// Slow-down of experts by distribution of load: median, 10th and 90th percentile.
    pub skew: Vec<(String, (f64, f64, f64))>,
    /// Data, weight and grouped weight gradient of products, backward of attention.
    pub backward: [Option<Ratio>; 4],
    /// Errors.
    pub errors: Vec<ErrorRow>,
    /// What should be known with the fit.
    pub warnings: Diagnostics,
}

/// Fits everything the tables hold.
///
/// # Errors
/// Every reason why a table cannot be used, with file and row; measurements that no fit follows; too
/// few of them.
pub fn calibrate(tables: &[Table], subject: &Subject<'_>) -> Result<Calibrated, Diagnostics> {
    let mut out = Calibrated::default();
    let sorted = sort(tables, &subject.machine, &mut out.warnings)?;
    let mut run = Run { subject, sorted: &sorted, machine: subject.machine.clone(), out };
    run.machine.fixed_s = subject.base.map_or(0.0, |b| b.fixed_matrix.value);
    run.all()?;
    let out = run.out;
    if out.errors.is_empty() {
        // What was too little of each is told first.
        let mut why = out.warnings;
        let words = FORMATS.map(Dtype::word).join(", ");
        why.push(
            Diagnostic::error("calibrate::few", "nothing in the tables can be fitted")
                .hint(format!("fitted are {words} at the shapes of training; {PAGE}")),
        );
        return Err(why);
    }
    let noisy = out.errors.iter().filter(|e| e.median > NOISE).map(|e| {
        let message = format!(
            "{}: the fit misses measurements kept out of it by {:.0} % in the median, more than {:.0} %",
            e.operator,
            100.0 * e.median,
            100.0 * NOISE
        );
        Diagnostic::error("calibrate::noise", message)
            .hint("times that follow the shape so little are noise, or of another unit or chip")
    });
    Diagnostics(noisy.collect()).into_result(out)
}

/// Tables by kind, checked.
pub(crate) fn sort<'t>(
    tables: &'t [Table],
    machine: &Machine,
    warnings: &mut Diagnostics,
) -> Result<BTreeMap<Kind, Vec<&'t Table>>, Diagnostics> {
    let mut sorted: BTreeMap<Kind, Vec<&Table>> = BTreeMap::new();
    let mut problems = Diagnostics::default();
    for table in tables {
        let checked = one_chip(table)
            .and_then(|()| Kind::of(table))
            .and_then(|kind| Ok((kind, check(table, kind, machine)?)));
        match checked {
            Ok((kind, found)) => {
                warnings.extend(Diagnostics(found));
                sorted.entry(kind).or_default().push(table);
            }
            Err(found) => problems.extend(found),
        }
    }
    problems.into_result(sorted)
}

struct Run<'a> {
    subject: &'a Subject<'a>,
    sorted: &'a BTreeMap<Kind, Vec<&'a Table>>,
    machine: Machine,
    out: Calibrated,
}

impl<'a> Run<'a> {
    fn tables(&self, kind: Kind) -> &'a [&'a Table] {
        self.sorted.get(&kind).map_or(&[], Vec::as_slice)
    }

    fn all(&mut self) -> Result<(), Diagnostics> {
        self.copies()?;
        for dtype in FORMATS {
            self.gemm(dtype)?;
        }
        for dtype in FORMATS {
            self.attention(dtype)?;
            self.experts(dtype)?;
        }
        self.efficiencies()?;
        self.modules()?;
        self.collectives()
    }

    fn copies(&mut self) -> Result<(), Diagnostics> {
        for table in self.tables(Kind::Mhc) {
            self.out.copy = self.out.copy.or(modules::copy_share(table, &self.machine)?);
        }
        Ok(())
    }

    fn gemm(&mut self, dtype: Dtype) -> Result<(), Diagnostics> {
        let (mut fastest, mut left_out) = (Fastest::new(), 0);
        for table in self.tables(Kind::Gemm) {
            let (times, others) = dense::times(table, dtype)?;
            left_out += others;
            for (shape, s) in times {
                keep(&mut fastest, shape, s);
            }
        }
        let known = self.out.fixed_s.or(self.subject.base.map(|b| b.fixed_matrix.value));
        if let Some(fixed_s) = dense::fixed_s(&fastest).filter(|_| self.out.fixed_s.is_none()) {
            self.out.fixed_s = Some(fixed_s);
            self.machine.fixed_s = fixed_s;
        } else {
            self.machine.fixed_s = known.unwrap_or(0.0);
        }
        // Whole waves of tiles where they come nearer the kernels kept out of the fit.
        let waves = self.machine.cores.map(|cores| Waves { cores, tile: TILE });
        let products = |run: &mut Self, waves| {
            let points = dense::points(&fastest, &run.machine, dtype, waves);
            run.surface(Operation::Gemm, dtype, waves, &dense::axes(), &points)
        };
        let plain = products(self, None)?;
        let in_waves =
            if plain.is_some() && waves.is_some() { products(self, waves)? } else { None };
        let median = |f: &Option<SurfaceFit>| {
            f.as_ref().and_then(|f| f.fitted.error(|_| true)).map_or(f64::INFINITY, |e| e.0)
        };
        let best = if median(&in_waves) < median(&plain) { in_waves } else { plain };
        if let Some(fit) = best {
            let points = dense::points(&fastest, &self.machine, dtype, None);
            self.report(&fit, &points, left_out, &[]);
            self.out.surfaces.push(fit);
        }
        Ok(())
    }

    /// Grouped-query attention over all widths of a head, and latent attention, whose kernels are
    /// others, apart: its plane of the surface is its own fit.
    fn attention(&mut self, dtype: Dtype) -> Result<(), Diagnostics> {
        let (mut grouped, mut latent) = (Vec::new(), Vec::new());
        for table in self.tables(Kind::Attention) {
            grouped.extend(sequences::grouped(table, &self.machine, dtype)?);
        }
        for table in self.tables(Kind::Mla).iter().filter(|_| dtype == Dtype::Bf16) {
            latent.extend(sequences::latent(table, &self.machine)?);
        }
        let fit = |run: &mut Self, axes: Axes, points: &[Point], terms: &[&str]| {
            let fit = run.surface(Operation::Attention, dtype, None, &axes, points)?;
            if let Some(fit) = &fit {
                run.report(fit, points, 0, terms);
            }
            Ok::<_, Diagnostics>(fit)
        };
        let grouped = fit(self, sequences::axes(), &grouped, &[])?;
        let latent = fit(self, sequences::latent_axes(), &latent, &sequences::LATENT_TERMS)?;
        let surface = match (grouped, latent) {
            (Some(mut all), Some(latent)) => {
                all.fitted.take_planes(&latent.fitted);
                Some(all)
            }
            (all, latent) => all.or(latent),
        };
        // Without kernels of a prefill, what is known of the chip stands in for them.
        let known =
            surface.as_ref().map(|s| (s.fitted.axes.clone(), s.fitted.solution.values.clone()));
        let known = known.or_else(|| self.known_attention(dtype));
        let trained = known.map(|(axes, values)| self.training(dtype, axes, values)).transpose()?;
        match trained.filter(|fits| !fits.is_empty()) {
            // Training runs the kernels of training.
            Some(fits) => self.out.surfaces.extend(fits),
            None => self.out.surfaces.extend(surface),
        }
        let gathered = self.gathered(dtype)?;
        self.out.surfaces.extend(gathered);
        Ok(())
    }

    /// The base's efficiencies of attention at our nodes.
    fn known_attention(&self, dtype: Dtype) -> Option<(Axes, Vec<f64>)> {
        let entry = self.subject.base?.surface(Operation::Attention, dtype)?;
        let axes = sequences::axes();
        let size = axes.iter().map(Vec::len).product::<usize>();
        let values = (0..size).map(|n| entry.surface.at(place(&axes, n))).collect();
        Some((axes, values))
    }

    fn experts(&mut self, dtype: Dtype) -> Result<(), Diagnostics> {
        for table in self.tables(Kind::Moe) {
            let loads = experts::distributions(table, dtype)?;
            let Some((first, others)) = loads.split_first() else { continue };
            let (times, left_out) = experts::times(table, dtype, first)?;
            let points = experts::points(&times, &self.machine, dtype);
            let fit =
                self.surface(Operation::GroupedGemm, dtype, None, &experts::axes(), &points)?;
            if let Some(fit) = fit {
                self.report(&fit, &points, left_out, &experts::TERMS);
                self.out.surfaces.push(fit);
            }
            for load in others.iter().filter(|_| first == "balanced" && dtype == Dtype::Bf16) {
                let (skewed, _) = experts::times(table, dtype, load)?;
                if let Some(share) = experts::skew(&times, &skewed) {
                    self.out.skew.push((load.clone(), share));
                }
            }
        }
        self.out.skew.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(())
    }

    fn efficiencies(&mut self) -> Result<(), Diagnostics> {
        for table in self.tables(Kind::Efficiencies) {
            let machine = Machine { fixed_s: 0.0, ..self.machine.clone() };
            let Efficiencies { gemm, experts, attention } = efficiencies::read(table, &machine)?;
            let measured =
                |o| self.out.surfaces.iter().any(|s| (s.operation, s.dtype) == (o, Dtype::Bf16));
            if [Operation::Gemm, Operation::GroupedGemm, Operation::Attention]
                .into_iter()
                .any(measured)
            {
                let message = "both efficiencies and times of the same operators are given";
                return Err(Diagnostic::error("calibrate::twice", message)
                    .at(&table.file, 0..0)
                    .hint("fit one file for each operator")
                    .into());
            }
            self.out.fixed_s = Some(0.0);
            self.machine.fixed_s = 0.0;
            let surface = self.passes(Operation::Gemm, gemm.forward.clone())?;
            self.out.backward[0] = surface.as_ref().and_then(|s| ratio(&gemm.data, s));
            self.out.backward[1] = surface.as_ref().and_then(|s| ratio(&gemm.weight, s));
            let Passes { forward, data, weight } = experts;
            let surface = self.passes(Operation::GroupedGemm, [forward, data].concat())?;
            self.out.backward[2] = surface.as_ref().and_then(|s| ratio(&weight, s));
            let forward = self.passes(Operation::Attention, attention.forward.clone())?;
            let own = self.passes(Operation::AttentionBackward, attention.data.clone())?;
            self.out.backward[3] = own.or(forward).and_then(|s| ratio(&attention.data, &s));
        }
        Ok(())
    }

    fn passes(
        &mut self,
        operation: Operation,
        mut points: Vec<Point>,
    ) -> Result<Option<Surface>, Diagnostics> {
        for point in &mut points {
            point.operator = word(operation);
        }
        let axes = match operation {
            Operation::Gemm => dense::axes(),
            Operation::GroupedGemm => experts::axes(),
            _ => sequences::axes(),
        };
        let Some(fit) = self.surface(operation, Dtype::Bf16, None, &axes, &points)? else {
            return Ok(None);
        };
        self.report(&fit, &points, 0, &[]);
        let start_s = fit.fitted.solution.start_s;
        self.out.start_s = self.out.start_s.or((start_s > 0.0).then_some(start_s));
        let surface = fit.fitted.solution.surface.clone();
        self.out.surfaces.push(fit);
        Ok(Some(surface))
    }

    /// Fits one surface, or nothing where nothing or too little is measured.
    fn surface(
        &mut self,
        operation: Operation,
        dtype: Dtype,
        waves: Option<Waves>,
        axes: &Axes,
        points: &[Point],
    ) -> Result<Option<SurfaceFit>, Diagnostics> {
        let base = self.subject.base.filter(|_| points.len() < ENOUGH);
        let prior = base.and_then(|b| b.surface(operation, dtype)).map(|entry| {
            let size = axes.iter().map(Vec::len).product::<usize>();
            (0..size).map(|n| entry.surface.at(place(axes, n))).collect::<Vec<f64>>()
        });
        self.leaning(operation, dtype, (waves, axes, points), prior)
    }

    /// Fits one surface as a smooth deviation from the `prior` one, if there is any.
    fn leaning(
        &mut self,
        operation: Operation,
        dtype: Dtype,
        (waves, axes, points): (Option<Waves>, &Axes, &[Point]),
        prior: Option<Vec<f64>>,
    ) -> Result<Option<SurfaceFit>, Diagnostics> {
        let Some(peak) = self.machine.peak(dtype) else { return Ok(None) };
        let leans = prior.is_some() || (self.subject.base.is_some() && points.len() < ENOUGH);
        let needed = if leans { FEWEST } else { ENOUGH / 4 };
        let mut blocks: Vec<u64> = points.iter().map(|p| p.block).collect();
        blocks.sort_unstable();
        blocks.dedup();
        if points.is_empty() {
            return Ok(None);
        }
        let name = format!("{} {}", word(operation), dtype.word());
        if points.len() < needed || blocks.len() < FOLDS {
            let message = format!(
                "{name}: {} shapes of {} kinds are too few to fit; {needed} of {FOLDS} are needed",
                points.len(),
                blocks.len()
            );
            self.out.warnings.push(Diagnostic::warning("calibrate::few", message));
            return Ok(None);
        }
        let node: fn([f64; 3]) -> Work = match operation {
            Operation::Gemm => dense::node,
            Operation::GroupedGemm => experts::node,
            Operation::Gathered | Operation::GatheredBackward => sequences::gathered_node,
            _ => sequences::node,
        };
        let machine = self.machine.clone();
        let ideal = |x: [f64; 3]| machine.ideal(&node(x), dtype, waves);
        // A grouped product is at best a dense one; a node bound by memory may come nearer its own.
        let best =
            if operation == Operation::GroupedGemm { self.best_product(dtype) } else { 0.999 };
        let limit = |x: [f64; 3]| (ideal(x) * best * peak / node(x).matrix_flops()).min(0.999);
        let smooth = if prior.is_some() { 0.3 } else { 0.02 };
        // Wide heads' kernels of training are others than narrow ones', latent attention's above all.
        let apart = points.iter().any(|p| sequences::TRAINING.contains(&p.operator));
        let rising = if apart { 2 } else { 3 };
        let (ideal, limit): (&dyn Fn(_) -> _, &dyn Fn(_) -> _) = (&ideal, &limit);
        let prior = prior.as_deref();
        let problem = Problem { axes, points, ideal, limit, rising, smooth, prior };
        let fitted = fit(&problem).map_err(|reason| {
            Diagnostic::error("calibrate::few", format!("{name}: {reason}"))
                .hint("measure more shapes, spread over the sizes of training")
        })?;
        Ok(Some(SurfaceFit { operation, dtype, fitted, waves }))
    }

    /// Highest efficiency of the large products.
    fn best_product(&self, dtype: Dtype) -> f64 {
        let own =
            self.out.surfaces.iter().find(|s| (s.operation, s.dtype) == (Operation::Gemm, dtype));
        let own = own.map(|s| &s.fitted.solution.surface);
        let base = || self.subject.base?.surface(Operation::Gemm, dtype).map(|e| &e.surface);
        let Some(surface) = own.or_else(base) else { return 0.999 };
        let sizes = [4096.0, 8192.0, 16_384.0];
        let pairs = sizes.iter().flat_map(|n| sizes.iter().map(move |k| (*n, *k)));
        pairs.map(|(n, k)| surface.at([8192.0, n, k])).fold(0.0, f64::max)
    }

    fn report(&mut self, fit: &SurfaceFit, points: &[Point], left_out: usize, terms: &[&str]) {
        let mut operators: Vec<&'static str> = points.iter().map(|p| p.operator).collect();
        operators.sort_unstable();
        operators.dedup();
        for operator in operators {
            let chosen = |i: usize| points[i].operator == operator;
            let Some((median, p90)) = fit.fitted.error(chosen) else { continue };
            let factors = terms.iter().zip(&fit.fitted.solution.factors);
            self.out.errors.push(ErrorRow {
                operator: format!("{operator} {}", fit.dtype.word()),
                points: points.iter().filter(|p| p.operator == operator).count(),
                left_out,
                median,
                p90,
                terms: factors.map(|(name, factor)| ((*name).to_owned(), *factor)).collect(),
            });
        }
    }

    fn modules(&mut self) -> Result<(), Diagnostics> {
        for module in read_modules(self.sorted, &self.machine)? {
            if module.points.len() < 3 * module.terms.len() {
                continue;
            }
            let fitted = fit_module(&module);
            let Some((median, p90)) = quantiles(fitted.1) else { continue };
            let terms = module.terms.iter().map(|t| (*t).to_owned()).zip(fitted.0).collect();
            self.out.errors.push(ErrorRow {
                operator: module.operator,
                points: module.points.len(),
                left_out: 0,
                median,
                p90,
                terms,
            });
        }
        Ok(())
    }

    fn collectives(&mut self) -> Result<(), Diagnostics> {
        for curve in read_curves(self.sorted)? {
            if curve.sizes().len() < 2 {
                let message =
                    format!("{}: fewer than two sizes that all groups have", curve.operation);
                self.out.warnings.push(Diagnostic::warning("calibrate::few", message));
                continue;
            }
            if let Some((median, p90)) = curve.error() {
                self.out.errors.push(ErrorRow {
                    operator: curve.operation.to_owned(),
                    points: curve.times_us.values().map(BTreeMap::len).sum(),
                    left_out: 0,
                    median,
                    p90,
                    terms: Vec::new(),
                });
            }
            self.out.curves.push(curve);
        }
        Ok(())
    }
}

/// Every module of the tables; those of several tables together.
pub(crate) fn read_modules(
    sorted: &BTreeMap<Kind, Vec<&Table>>,
    machine: &Machine,
) -> Result<Vec<Module>, Diagnostic> {
    type Reader = fn(&Table, &Machine) -> Result<Vec<Module>, Diagnostic>;
    let readers: [(Kind, Reader); 4] = [
        (Kind::Compressed, modules::compressed),
        (Kind::Mhc, modules::hyper),
        (Kind::MegaMoe, modules::fused),
        (Kind::DeepEp, modules::exchange),
    ];
    let mut all: Vec<Module> = Vec::new();
    for (kind, read) in readers {
        for table in sorted.get(&kind).map_or(&[][..], Vec::as_slice) {
            for module in read(table, machine)? {
                match all.iter_mut().find(|m| m.operator == module.operator) {
                    Some(known) => known.points.extend(module.points),
                    None => all.push(module),
                }
            }
        }
    }
    all.retain(|m| !m.points.is_empty());
    Ok(all)
}

/// Every curve of the tables; groups of several tables together.
pub(crate) fn read_curves(
    sorted: &BTreeMap<Kind, Vec<&Table>>,
) -> Result<Vec<Measured>, Diagnostic> {
    type Reader = fn(&Table) -> Result<Vec<Measured>, Diagnostic>;
    let mut all: Vec<Measured> = Vec::new();
    let readers: [(Kind, Reader); 2] =
        [(Kind::Collectives, collectives::read), (Kind::AllReduce, collectives::all_reduce)];
    for (kind, read) in readers {
        for table in sorted.get(&kind).map_or(&[][..], Vec::as_slice) {
            for curve in read(table)? {
                match all.iter_mut().find(|c| c.operation == curve.operation) {
                    Some(known) => known.times_us.extend(curve.times_us),
                    None => all.push(curve),
                }
            }
        }
    }
    Ok(all)
}

/// Factors of all points, and |error| of each point by the factors of the other folds.
fn fit_module(module: &Module) -> (Vec<f64>, Vec<f64>) {
    let width = module.terms.len();
    let blocks: Vec<u64> = module.points.iter().map(|p| p.block).collect();
    let folds = folds(&blocks);
    let solve = |keep: &dyn Fn(usize) -> bool| {
        let kept = module.points.iter().enumerate().filter(|(i, _)| keep(*i)).map(|p| p.1);
        let rows: Vec<f64> = kept
            .flat_map(|p| p.terms.iter().map(|t| t / p.measured_s).collect::<Vec<_>>())
            .collect();
        let right = vec![1.0; rows.len() / width];
        least_absolute_positive(&rows, &right, width)
    };
    let mut errors = vec![0.0; folds.len()];
    for fold in 0..FOLDS {
        let factors = solve(&|i| folds[i] != fold);
        for (i, p) in module.points.iter().enumerate().filter(|(i, _)| folds[*i] == fold) {
            let predicted: f64 = p.terms.iter().zip(&factors).map(|(t, f)| t * f).sum();
            errors[i] = libm::fabs(predicted / p.measured_s - 1.0);
        }
    }
    (solve(&|_| true), errors)
}

/// Median of predicted over measured time by the surface, with 10th and 90th percentile.
fn ratio(points: &[Point], surface: &Surface) -> Option<Ratio> {
    let predicted = |p: &Point| {
        p.parts.iter().map(|(s, x)| s / libm::exp(surface.log_at(*x)).min(1.0)).sum::<f64>()
    };
    let mut all: Vec<f64> = points.iter().map(|p| predicted(p) / p.measured_s).collect();
    all.sort_by(f64::total_cmp);
    let at = |q: f64| all[((all.len() - 1) as f64 * q) as usize];
    (!all.is_empty()).then(|| (at(0.5), at(0.1), at(0.9), all.len()))
}

/// An operation's word.
pub(crate) fn word(operation: Operation) -> &'static str {
    Operation::WORDS.iter().find(|(o, _)| *o == operation).map_or("memory", |(_, w)| w)
}
