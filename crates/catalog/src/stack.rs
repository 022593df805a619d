//! `catalog/stacks/*.toml` to [`Stack`].

use crate::chip::{FAMILIES, id_of};
use crate::embedded::{Kind, Values, ids, text, unknown_id};
use crate::figure::{NOT_NEGATIVE, POSITIVE};
use crate::toml_reader::{Reader, Table};
use diagnostic::{Diagnostic, Diagnostics};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use units::{Figure, Unit};

/// What a training framework adds to the kernels it runs: the host's work between them, and how its
/// own kernels differ from the measured ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// File name without ending.
    pub id: String,
    /// What it is.
    pub name: String,
    /// Chip families whose default it is.
    pub default_for: Vec<String>,
    /// Time of the host to launch one kernel, when kernels are not recorded as graphs. Seconds.
    pub launch: Figure,
    /// The same for one collective. Seconds.
    pub collective_launch: Figure,
    /// Bytes its norms, activations and residuals move, over what fused kernels would. Ratio.
    pub traffic: Figure,
    /// Bytes its casts of operands to a narrow format move, over reading in 16 bits and writing twice.
    /// Ratio.
    pub casts: Figure,
    /// Bytes a weight's gradient moves each micro-batch beyond the product that makes it: 0 where the
    /// product adds to the accumulator itself. Bytes an element.
    pub gradient_bytes: Figure,
    /// Bytes an element of sharded weights moves each time it is gathered, beyond the exchange: 0
    /// where weights are used from the buffer they arrive in. Bytes an element.
    pub gather_bytes: Figure,
    /// Time of the host for each member of the group when a sharded matrix is gathered or its gradient
    /// scattered, tensor by tensor through lists of parts; 0 where it is one call on one buffer.
    /// Seconds.
    pub gather_member: Figure,
    /// Copies of the rows of FP8 experts, on the way in and on the way out, that pad each expert's rows to
    /// the multiple its products need after they were sorted; 0 where the sort leaves the room. Ratio.
    pub expert_padding: Figure,
    /// Share of the cores set aside for communication while passes of two micro-batches overlap,
    /// whether it uses them or not; 0 where its kernels take cores only while they run. Ratio.
    pub reserved_cores: Figure,
    /// Share of the traffic of clamping experts' activations and of adding their weighed biases that
    /// runs in kernels of its own: 1 all, 0 where the kernels around take it in. Ratio.
    pub expert_extras: Figure,
    /// Share of the kernels that apply YaRN's factor to rotated queries and keys which run apart from
    /// the fused one: 1 all, 0 where the fused one applies it. Ratio.
    pub scaled_rotary: Figure,
    /// How often the host waits for the device in a dispatch to experts, which it cannot launch before it
    /// knows how many rows come; 0 where their number is fixed. Ratio.
    pub dispatch_waits: Figure,
    /// Work of the host once an optimizer step during which the device waits. Seconds.
    pub step: Figure,
    /// Speed of its FP8 products over that of the calibration, by chip family; 1 where absent.
    pub fp8: BTreeMap<String, Figure>,
    /// Speed of its FP8 products that give weight gradients, likewise; as the others where absent.
    pub fp8_weight: BTreeMap<String, Figure>,
    /// Share of a port's rate to other nodes that dispatches and combines reach which send a token once and
    /// relay it inside the node, among four nodes and more, by chip family; the level's `utilisation`
    /// where absent.
    pub relayed: BTreeMap<String, Figure>,
    /// The same between two nodes, where both of the relay's hops take as long; as among more where absent.
    pub relayed_pair: BTreeMap<String, Figure>,
    /// Speed of its fused attention over that of the calibration, by chip family; 1 where absent.
    pub attention: BTreeMap<String, Figure>,
    /// Vector operations in whose time an element-wise kernel without vector loads (mixed formats,
    /// broadcasts, strides) moves one element, by chip family; 0 where absent.
    pub element_operations: BTreeMap<String, Figure>,
}

/// The built-in stack of that id.
///
/// ```
/// let stack = catalog::stack("megatron-core").unwrap();
/// assert!((stack.launch.value - 70e-6).abs() < 1e-9);
/// ```
///
/// # Errors
/// If there is none.
pub fn stack(id: &str) -> Result<Stack, Diagnostics> {
    static ALL: LazyLock<Values<Stack>> = LazyLock::new(|| Values::new(Kind::Stack));
    ALL.get(id, || match text(Kind::Stack, id) {
        Some(text) => parse_stack(&format!("catalog/stacks/{id}.toml"), text),
        None => Err(unknown_id(Kind::Stack, id).into()),
    })
}

/// The stack that runs on chips of `family` unless another is named.
///
/// # Errors
/// A family that is no stack's default.
pub fn stack_for(family: &str) -> Result<Stack, Diagnostics> {
    for id in ids(Kind::Stack) {
        let stack = stack(id)?;
        if stack.default_for.iter().any(|f| f == family) {
            return Ok(stack);
        }
    }
    let message = format!("no software stack is the default of family `{family}`");
    Err(Diagnostic::error("catalog::stack", message).hint("name one with `stack = \"..\"`").into())
}

/// Reads a stack file; the id is the file's name without folder and ending.
///
/// # Errors
/// Every problem of the text, each with its place.
pub fn parse_stack(file_name: &str, text: &str) -> Result<Stack, Diagnostics> {
    let reader = Reader::new(file_name, text);
    let stack = reader.root().and_then(|root| read(root, id_of(file_name)));
    reader.into_result(stack)
}

fn read(mut root: Table<'_>, id: String) -> Option<Stack> {
    let name = root.take_str("name");
    let default_for = if root.has("default_for") {
        let items = root.take_array("default_for")?;
        let words: Vec<Option<&str>> =
            items.into_iter().map(|item| item.into_word(&FAMILIES)).collect();
        words.into_iter().map(|w| w.map(str::to_owned)).collect()
    } else {
        Some(Vec::new())
    };
    let launch = root.take_figure("launch", Unit::Second, &NOT_NEGATIVE);
    let collective_launch = root.take_figure("collective_launch", Unit::Second, &NOT_NEGATIVE);
    let traffic = root.take_figure("traffic", Unit::Ratio, &POSITIVE);
    let casts = root.take_figure("casts", Unit::Ratio, &NOT_NEGATIVE);
    let gradient_bytes = root.take_figure("gradient_bytes", Unit::Byte, &NOT_NEGATIVE);
    let gather_bytes = root.take_figure("gather_bytes", Unit::Byte, &NOT_NEGATIVE);
    let gather_member = root.take_figure("gather_member", Unit::Second, &NOT_NEGATIVE);
    let expert_padding = root.take_figure("expert_padding", Unit::Ratio, &NOT_NEGATIVE);
    let reserved_cores = root.take_figure("reserved_cores", Unit::Ratio, &NOT_NEGATIVE);
    let expert_extras = root.take_figure("expert_extras", Unit::Ratio, &NOT_NEGATIVE);
    let scaled_rotary = root.take_figure("scaled_rotary", Unit::Ratio, &NOT_NEGATIVE);
    let dispatch_waits = root.take_figure("dispatch_waits", Unit::Ratio, &NOT_NEGATIVE);
    let step = root.take_figure("step", Unit::Second, &NOT_NEGATIVE);
    let mut by_family = |key: &str| {
        if root.has(key) { root.take_table(key).and_then(shares) } else { Some(BTreeMap::new()) }
    };
    let (fp8, attention) = (by_family("fp8"), by_family("attention"));
    let (fp8_weight, element_operations) =
        (by_family("fp8_weight"), by_family("element_operations"));
    let (relayed, relayed_pair) = (by_family("relayed"), by_family("relayed_pair"));
    root.finish();
    Some(Stack {
        id,
        name: name?,
        default_for: default_for?,
        launch: launch?,
        collective_launch: collective_launch?,
        traffic: traffic?,
        casts: casts?,
        gradient_bytes: gradient_bytes?,
        gather_bytes: gather_bytes?,
        gather_member: gather_member?,
        expert_padding: expert_padding?,
        reserved_cores: reserved_cores?,
        expert_extras: expert_extras?,
        scaled_rotary: scaled_rotary?,
        dispatch_waits: dispatch_waits?,
        step: step?,
        fp8: fp8?,
        fp8_weight: fp8_weight?,
        relayed: relayed?,
        relayed_pair: relayed_pair?,
        attention: attention?,
        element_operations: element_operations?,
    })
}

fn shares(mut table: Table<'_>) -> Option<BTreeMap<String, Figure>> {
    let mut read = BTreeMap::new();
    for (family, _) in FAMILIES {
        if table.has(family) {
            read.insert(family.to_owned(), table.take_figure(family, Unit::Ratio, &POSITIVE)?);
        }
    }
    table.finish();
    Some(read)
}
