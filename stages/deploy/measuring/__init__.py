"""How large and how fast a model is, as a process of its own measures it."""
