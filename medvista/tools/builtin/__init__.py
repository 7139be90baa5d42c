"""The tools that ship with the package, one file per tool."""
