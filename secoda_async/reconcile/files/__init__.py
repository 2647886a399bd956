"""Files of groups: load and dump them."""
