//! The prediction: what the kernel will do, before it is asked.
