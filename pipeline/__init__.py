"""What the user touches: command line, configuration, order of the stages, report, shipped recipes."""
