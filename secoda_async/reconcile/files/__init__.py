"""Files of groups: reading them strictly, and writing them."""
