//! What the machine allows, and the network that a trial runs in: namespaces, topology, sysctls, limits.
