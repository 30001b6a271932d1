"""`python -m ai_engine` is the command line."""

from ai_engine.cli.main import main

if __name__ == "__main__":
    main()
