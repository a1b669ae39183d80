"""The second lock: specs of the point run in a judge process, with `kata` a proxy to a
worker that holds no specs.
"""
