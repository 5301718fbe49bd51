"""What a finished model costs on this machine and what it still knows, each in a process of its own."""
