//! Joins languages to stores: sources, admission, limits. No sockets.
