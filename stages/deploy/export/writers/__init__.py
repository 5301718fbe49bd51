"""Students that write texts, as graphs with a key-value cache: nothing is read again for the next token."""
