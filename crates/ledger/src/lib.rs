//! Published training steps, replayed: each row of a table becomes a scenario, and its measured time
//! is put beside the predicted one.
//!
//! A row says in words what a scenario says in keys; each column has one vocabulary.
//! Nothing is keyed on a row, and no measured value enters a prediction. A row that lacks something
//! or means something unknown is kept with its reason. Start at [`replay`].

mod columns;
mod groups;
mod machine;
mod models;
mod options;
mod orders;
mod recipe;
mod replay;
mod stack;
mod stages;
mod summary;
mod target;
mod understood;

pub use groups::Group;
pub use orders::Order;
pub use replay::{By, Ledger, Prepared, Row, Status, Table, prepare, replay, replay_by, shipped};
pub use summary::{FamilySummary, Summary, summarize};
