"""The katas for an assistant: tools that help a learner and quote no solution, and the
server that offers them.
"""
