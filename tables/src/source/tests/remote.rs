//! Files on servers.
