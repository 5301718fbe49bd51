"""Between a YAML file and its checked configuration: strict text, globs, terms over layers, wrong values."""
