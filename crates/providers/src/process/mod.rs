//! Instances as processes of this machine.
