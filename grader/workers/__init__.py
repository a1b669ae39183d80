"""The processes in which code under test and specs run: what starts them, what they are
told, what ends them.
"""
