"""`python -m cli` is `tillwatch`."""

from cli.app import main

if __name__ == "__main__":
    main()
