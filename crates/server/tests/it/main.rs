//! The server's parts together with real sockets and files.

#[cfg(test)]
mod otlp;
#[cfg(test)]
mod remote_read;
#[cfg(test)]
mod remote_write;
