//! Makes the included modules use loom's types, and compiles their models.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(pinion_loom)");
    println!("cargo::rustc-cfg=pinion_loom");
}
