//! Offers connections at set times and accounts for every attempt: pacer, client engines, built-in server.
