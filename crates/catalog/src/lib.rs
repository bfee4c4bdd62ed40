//! What exists, in which state, and which jobs are due.
