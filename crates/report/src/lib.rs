//! Answers as text, JSON and HTML, problems as text. Pure: values in, strings out.
//!
//! Text is for people (at most 100 columns, no colour needed to understand it); JSON carries a
//! schema name, a version, the hash of its inputs and units in its keys; HTML ([`page`]) shows the
//! JSON's numbers with pictures.

mod algorithm_sheet;
mod calibrate_page;
mod campaign;
mod catalog_page;
mod compare;
mod fabric_page;
mod fabric_svg;
mod flow_page;
mod flow_sheet;
mod json;
mod model_page;
pub mod page;
mod plan_page;
mod problems;
mod rehearse_page;
mod sheet;
mod table;
mod trace_page;
mod validation;
mod words;

pub use algorithm_sheet::AlgorithmRun;
pub use calibrate_page::{blind_json, blind_text, calibrate_json, calibrate_text};
pub use campaign::{CampaignAnswer, campaign_json, campaign_page, campaign_text};
pub use catalog_page::{Shown, catalog_list, catalog_list_json, catalog_show, catalog_show_json};
pub use compare::{CompareAnswer, CompareGroup, compare_json, compare_page, compare_text};
pub use fabric_page::{
    FabricQuestion, FabricRow, fabric_json, fabric_text, topology_json, topology_text,
};
pub use fabric_svg::topology_svg;
pub use flow_sheet::{engine_gaps_text, flow_json, flow_sheet, flow_text, program_json};
pub use json::{Stamp, check_json, illegal_json, rehearse_json};
pub use model_page::{model_json, model_text};
pub use plan_page::{
    Deadline, PlanAnswer, plan_json, plan_text, plan_value, plan_words, recompute_words,
};
pub use problems::{plain, problems_json, render, render_each};
pub use rehearse_page::{check_page, illegal_page, rehearse_page};
pub use sheet::{check, sheet};
pub use trace_page::{trace_json, trace_page, trace_text};
pub use validation::{validation_json, validation_text};
pub use words::figure_words;
