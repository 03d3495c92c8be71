//! ETS and MSTL through augurs.
