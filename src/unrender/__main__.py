"""`python -m unrender`: the same as the `unrender` command."""

from unrender.cli import main

main()
