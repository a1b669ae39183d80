"""The grader of the torch katas: finds katas, runs their specs against any code, and
reports the results.
"""
