"""Where the shapes of student and teacher differ: layers, heads, width, tokens, vocabulary; one file for each.

Whatever is done here is asked for by name. Nothing is guessed, and what has no meaning (text tokens that would have to
be interpolated, heads that would have to be invented) is an error.
"""
