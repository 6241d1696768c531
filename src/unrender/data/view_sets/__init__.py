"""Sets of views, each of one object or scene: what models of novel views learn from.

Procedural objects are rendered while training goes on (`objects.py`); posed scenes, and the
images of `unrender make-shapes`, are read (`scenes.py`).
"""
