//! The argument structs of the shipped job kinds: what another service needs to enqueue them.
