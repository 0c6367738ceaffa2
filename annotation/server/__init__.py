"""The embedded Label Studio: its own environment, its start and end, and who may reach it.

Label Studio lives in a virtual environment of its own (its dependencies would move ours) and is a process of its own;
what it runs there beside Label Studio is in `inside`. Everything it keeps lies under the corpus's `annotation/`.
"""

from .access import Access, access, add_annotator, invite_link
from .errors import ServerError
from .install import install, server_folder
from .run import Running, serving

__all__ = [
    "Access",
    "Running",
    "ServerError",
    "access",
    "add_annotator",
    "install",
    "invite_link",
    "server_folder",
    "serving",
]
