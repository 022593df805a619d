//! The planner: every legal plan of a scenario, bounded, priced and ordered.
