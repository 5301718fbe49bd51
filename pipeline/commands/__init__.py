"""The verbs of the command line, one a file.

Each imports what it runs when it is called: `--help` is instant, and `train` never imports the teacher's side.
"""
