//! Ids, units, time and shapes shared by every crate of Foreshadow.
