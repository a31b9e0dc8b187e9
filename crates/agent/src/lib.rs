//! Host metrics under node_exporter's names. Reads /proc and /sys through a root it is given.
