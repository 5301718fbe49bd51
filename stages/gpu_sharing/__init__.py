"""How a process shares a GPU with others: it waits for its share of the memory, and takes no more."""
