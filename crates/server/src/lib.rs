//! Sockets, TLS, HTTP handlers, supervision: all async code of the server.
