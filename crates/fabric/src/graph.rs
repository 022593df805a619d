//! The explicit graph: nodes, one-way links in compressed rows, and where every node stands.

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A chip.
    Endpoint,
    /// A switch of the level of that index.
    Switch(usize),
}

/// Switches (or, the first, endpoints) laid out regularly: one group of `copies` for each
/// combination of the coordinates they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    /// First node.
    pub first: u32,
    /// The level it belongs to; none for endpoints.
    pub level: Option<usize>,
    /// Which coordinates its nodes have.
    pub present: Vec<bool>,
    /// Nodes with the same coordinates.
    pub copies: u32,
    /// Nodes in all.
    pub count: u32,
}

/// Endpoints, switches and one-way links.
///
/// Endpoints are nodes `0..endpoints`, numbered with the innermost level fastest. Links leaving a
/// node stand together, in the order in which they were laid.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) endpoints: u32,
    pub(crate) fans: Vec<u32>,
    pub(crate) tiers: Vec<Tier>,
    pub(crate) first: Vec<u32>,
    pub(crate) from: Vec<u32>,
    pub(crate) to: Vec<u32>,
    pub(crate) reverse: Vec<u32>,
    pub(crate) bytes_per_s: Vec<f64>,
    /// Kind of each link, into `wires`: what faults leave as it is.
    pub(crate) wire: Vec<u16>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) labels: Vec<String>,
    pub(crate) dead: Vec<bool>,
}

impl Graph {
    /// Chips.
    pub fn endpoints(&self) -> u32 {
        self.endpoints
    }

    /// Chips and switches.
    pub fn nodes(&self) -> u32 {
        self.first.len() as u32 - 1
    }

    /// One-way links.
    pub fn links(&self) -> usize {
        self.from.len()
    }

    /// Links that leave `node`.
    pub fn out(&self, node: u32) -> std::ops::Range<usize> {
        self.first[node as usize] as usize..self.first[node as usize + 1] as usize
    }

    /// Where a link starts.
    pub fn from(&self, link: usize) -> u32 {
        self.from[link]
    }

    /// Where a link ends.
    pub fn to(&self, link: usize) -> u32 {
        self.to[link]
    }

    /// The link of the other direction.
    pub fn reverse(&self, link: usize) -> usize {
        self.reverse[link] as usize
    }

    /// A link's rate; 0 if it is dead. Bytes/s.
    pub fn bytes_per_s(&self, link: usize) -> f64 {
        self.bytes_per_s[link]
    }

    /// Every link's rate. Bytes/s.
    pub fn capacities(&self) -> &[f64] {
        &self.bytes_per_s
    }

    /// Time over a link. Picoseconds.
    pub fn latency_ps(&self, link: usize) -> u64 {
        self.wires[self.wire[link] as usize].latency_ps
    }

    /// The level a link belongs to.
    pub fn level_name(&self, link: usize) -> &str {
        &self.labels[self.label(link) as usize]
    }

    /// The level a link belongs to, by number.
    pub(crate) fn label(&self, link: usize) -> u16 {
        self.wires[self.wire[link] as usize].label
    }

    /// Whether a node has failed.
    pub fn is_dead(&self, node: u32) -> bool {
        self.dead[node as usize]
    }

    /// What a node is.
    pub fn kind(&self, node: u32) -> NodeKind {
        match self.tier_of(node).level {
            None => NodeKind::Endpoint,
            Some(level) => NodeKind::Switch(level),
        }
    }

    /// A node's name: `npu:17`, `pod-switch:3`.
    pub fn node_name(&self, node: u32) -> String {
        let tier = self.tier_of(node);
        match tier.level {
            None => format!("chip:{node}"),
            Some(level) => format!("{}-switch:{}", self.labels[level], node - tier.first),
        }
    }

    /// A link's name: `board chip:0>chip:1`.
    pub fn link_name(&self, link: usize) -> String {
        format!(
            "{} {}>{}",
            self.level_name(link),
            self.node_name(self.from[link]),
            self.node_name(self.to[link])
        )
    }

    pub(crate) fn tier_of(&self, node: u32) -> &Tier {
        let at = self.tiers.partition_point(|t| t.first <= node);
        &self.tiers[at - 1]
    }

    /// Instances of the level below each level that it joins, innermost first.
    pub fn fans(&self) -> &[u32] {
        &self.fans
    }

    /// Switches by the name of their level: name, first node, count.
    pub fn switches(&self) -> Vec<(String, u32, u32)> {
        let named = |t: &Tier| t.level.map(|l| (self.labels[l].clone(), t.first, t.count));
        self.tiers.iter().filter_map(named).collect()
    }
}

/// One kind of link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wire {
    pub bytes_per_s: f64,
    pub latency_ps: u64,
    pub label: u16,
}

/// A graph while links are being laid.
pub(crate) struct Builder {
    pub fans: Vec<u32>,
    tiers: Vec<Tier>,
    nodes: u32,
    from: Vec<u32>,
    to: Vec<u32>,
    wire: Vec<u16>,
    wires: Vec<Wire>,
    back: Vec<u32>,
    labels: Vec<String>,
}

impl Builder {
    pub fn new(fans: Vec<u32>) -> Self {
        let nodes = fans.iter().product();
        let present = vec![true; fans.len()];
        let endpoints = Tier { first: 0, level: None, present, copies: 1, count: nodes };
        Self {
            fans,
            tiers: vec![endpoints],
            nodes,
            from: Vec::new(),
            to: Vec::new(),
            wire: Vec::new(),
            wires: Vec::new(),
            back: Vec::new(),
            labels: Vec::new(),
        }
    }

    pub fn label(&mut self, name: &str) -> u16 {
        self.labels.push(name.to_owned());
        self.labels.len() as u16 - 1
    }

    /// New switches with the coordinates `has` names.
    pub fn tier(&mut self, level: usize, has: impl Fn(usize) -> bool, copies: u32) -> Tier {
        let present: Vec<bool> = (0..self.fans.len()).map(has).collect();
        let groups: u32 =
            self.fans.iter().zip(&present).map(|(f, p)| if *p { *f } else { 1 }).product();
        let count = groups * copies;
        let tier = Tier { first: self.nodes, level: Some(level), present, copies, count };
        self.nodes += count;
        self.tiers.push(tier.clone());
        tier
    }

    /// The switch of `tier` over endpoint `endpoint`.
    pub fn node(&self, tier: &Tier, endpoint: u32, copy: u32) -> u32 {
        tier.first + tier_index(&self.fans, tier, endpoint) * tier.copies + copy
    }

    /// One endpoint below each group of a tier.
    pub fn instances(&self, tier: &Tier) -> Vec<u32> {
        let mut found = vec![0];
        let mut step = 1;
        for (fan, present) in self.fans.iter().zip(&tier.present) {
            if *present {
                let before = found.clone();
                found = (0..*fan).flat_map(|c| before.iter().map(move |b| b + c * step)).collect();
            }
            step *= fan;
        }
        found
    }

    /// Makes room for `links` more.
    pub fn reserve(&mut self, links: usize) {
        self.from.reserve_exact(links);
        self.to.reserve_exact(links);
        self.wire.reserve_exact(links);
        self.back.reserve_exact(links);
    }

    /// Links laid so far.
    pub fn laid(&self) -> u32 {
        self.from.len() as u32
    }

    /// One link; `back` is the place in the order of laying of the one the other way.
    pub fn link(&mut self, (from, to): (u32, u32), wire: Wire, back: u32) {
        self.from.push(from);
        self.to.push(to);
        // A level has a kind or two: the last is nearly always the one.
        let kind = self.wires.iter().rposition(|w| *w == wire).unwrap_or_else(|| {
            self.wires.push(wire);
            self.wires.len() - 1
        });
        self.wire.push(kind as u16);
        self.back.push(back);
    }

    /// A link and the one back.
    pub fn pair(&mut self, a: u32, b: u32, wire: Wire) {
        let at = self.laid();
        self.link((a, b), wire, at + 1);
        self.link((b, a), wire, at);
    }

    /// Sorts links by where they start, keeping their order, and pairs the directions.
    pub fn freeze(self, endpoints: u32) -> Graph {
        let nodes = self.nodes as usize;
        let mut first = vec![0_u32; nodes + 1];
        for &f in &self.from {
            first[f as usize + 1] += 1;
        }
        for n in 0..nodes {
            first[n + 1] += first[n];
        }
        let mut next = first.clone();
        let mut place = vec![0_u32; self.from.len()];
        let (mut to, mut wire) = (vec![0; place.len()], vec![0; place.len()]);
        for (old, place) in place.iter_mut().enumerate() {
            let next = &mut next[self.from[old] as usize];
            (*place, *next) = (*next, *next + 1);
            (to[*place as usize], wire[*place as usize]) = (self.to[old], self.wire[old]);
        }
        let mut reverse = vec![0; place.len()];
        for (back, at) in self.back.iter().zip(&place) {
            reverse[*at as usize] = place[*back as usize];
        }
        let mut from = self.from;
        for (node, ends) in first.windows(2).enumerate() {
            from[ends[0] as usize..ends[1] as usize].fill(node as u32);
        }
        let graph = Graph {
            endpoints,
            fans: self.fans,
            tiers: self.tiers,
            from,
            to,
            reverse,
            bytes_per_s: wire.iter().map(|w| self.wires[usize::from(*w)].bytes_per_s).collect(),
            wire,
            wires: self.wires,
            labels: self.labels,
            dead: vec![false; nodes],
            first,
        };
        let paired = |l: usize| graph.to[graph.reverse[l] as usize] == graph.from[l];
        assert!((0..graph.links()).all(paired), "a link without its way back");
        graph
    }
}

/// Index of the group of `tier` that stands over `endpoint`.
pub(crate) fn tier_index(fans: &[u32], tier: &Tier, endpoint: u32) -> u32 {
    let (mut rest, mut index, mut scale) = (endpoint, 0, 1);
    for (fan, present) in fans.iter().zip(&tier.present) {
        if *present {
            index += rest % fan * scale;
            scale *= fan;
        }
        rest /= fan;
    }
    index
}
