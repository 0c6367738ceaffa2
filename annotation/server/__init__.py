"""The embedded Label Studio: its environment, its start and end, and access to it.

Label Studio has its own virtual environment (its dependencies would change ours) and its own process; the code that
runs there beside it is in `inside`. All its data is stored under the corpus's `annotation/`.
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
