"""Places that know users: one file each. Run by the auth process.

Each is a ``credentials.Source``; what it answers is None for a user that it does not know.
"""
