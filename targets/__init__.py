"""Where a program can be deployed to: one file a target, found by name through the registry.

A target turns a captured ``Program`` into an ``Artifact`` (a folder of files) and opens it again as ``Runner``s, so that every
target is judged by what it really executes. Heavy packages are imported when a target first needs them:
importing this package costs nothing. Third parties add targets through the entry-point group ``instantstyle.targets``.
"""
