"""`python -m prepe.cli`."""

from prepe.cli import main

if __name__ == "__main__":
    main()
