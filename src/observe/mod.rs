//! Looks at the kernel while the load runs: sockstat, sock_diag, counters, slab, CPU time.
