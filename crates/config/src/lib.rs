//! Configuration files read strictly, with positions in errors. The only reader of YAML.
