//! Other kernels: finds an image, boots it under QEMU with this program as `/init`, and brings lines out of it.
//!
//! `image` (with `deb`, `bzimage`, `unpack`) reads what the user named; `modules` picks what must be loaded; `program`
//! and `initramfs` pack the guest's files; `qemu` and `running` are the machine; `boot` conducts it and `diagnosis` names what went
//! wrong; `guest` is the other end, inside; `wire` is what the two say. Knows nothing of trials: the job that goes in and
//! the lines that come out are the caller's.

pub mod boot;
mod bzimage;
mod deb;
pub mod diagnosis;
mod elf;
pub mod guest;
pub mod image;
pub mod initramfs;
pub mod kernels;
pub mod modules;
pub mod program;
pub mod qemu;
mod running;
mod unpack;
mod wire;

pub use boot::{BootOptions, Finished, MachineError, Told, run};
pub use image::{ImageError, KernelImage};
pub use qemu::{Acceleration, Clock};
