//! Recording and alerting rules and the notification queue as state machines. No sockets.
