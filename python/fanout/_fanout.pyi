"""The compiled half of fanout."""

__version__: str
"""Version of the package."""
