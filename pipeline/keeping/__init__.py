"""The verbs that look after a finished cache, as the command line asks for them."""
