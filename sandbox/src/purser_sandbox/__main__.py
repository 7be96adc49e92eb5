"""`python -m purser_sandbox`."""

from purser_sandbox.main import main

main()
