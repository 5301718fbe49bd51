"""Students: how each kind is built."""
