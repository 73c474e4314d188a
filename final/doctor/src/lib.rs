//! What on this machine stands in the way, and the cure.
