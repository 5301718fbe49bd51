"""`python -m teachercache` is the command line."""

from .pipeline.entry import main

if __name__ == "__main__":
    main()
