"""Ray as an engine: a cluster that exists starts the tasks, each the command line that any other engine starts."""
