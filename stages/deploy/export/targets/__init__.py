"""What a student's graphs are written as: one file a format."""
