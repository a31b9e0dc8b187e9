//! The server's parts together with real sockets and files.

#[cfg(test)]
mod heap;
#[cfg(test)]
mod otlp;
#[cfg(test)]
mod outbound;
#[cfg(test)]
mod remote_read;
#[cfg(test)]
mod remote_write;
#[cfg(test)]
mod scrape_scale;
