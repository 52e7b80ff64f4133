//! Reconciles what linger counted with what the kernel counted.
