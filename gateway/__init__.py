"""The front door. Its rooms, top to bottom, stand in ``tests/unit/test_walls.py``; each says here what it is for."""
