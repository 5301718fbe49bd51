"""The teachers of a configuration: which there are, whose a signal is, what can be heard in them, how good they are."""
