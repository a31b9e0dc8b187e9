//! The server's parts together with real sockets and files.

mod remote_write;
