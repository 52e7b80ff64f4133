//! Observation held against the kernel's own tools (iproute2), in fresh network namespaces.
//!
//! Needs the right to make a network namespace: run as root, or under `unshare --user --map-root-user`.
mod books;
mod closings;
mod namespace;
mod sight;
