"""`check`: a few samples go through every part, and what a whole run takes is foretold."""
