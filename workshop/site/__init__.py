"""The course as a web site: `make site` lays out the repository's pages for Sphinx and
checks what it makes of them.
"""
