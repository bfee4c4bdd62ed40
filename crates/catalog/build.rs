//! Rebuilds the crate when a migration is added: `migrate!` embeds a folder that Cargo does not watch.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/sqlite");
    println!("cargo:rerun-if-changed=../../migrations/postgres");
}
