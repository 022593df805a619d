//! Rebuilds the crate when a file of the embedded folders comes, goes or changes.

fn main() {
    for folder in ["../../catalog", "../../scenarios"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
