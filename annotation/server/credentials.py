"""The administrator of the embedded server: made once, kept in a file that only its owner may read."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import tomli_w

from .errors import ServerError


@dataclass(frozen=True)
class Credentials:
    """Who the administrator is. `token` is 40 hex digits, Label Studio's form; its repr tells no secret."""

    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)


def load_or_make(path: Path) -> Credentials:
    """The credentials in `path`, made at random when there are none. The caller is the only one to write there.

    Raises ServerError when others may read the file, or it does not hold credentials.
    """
    if path.exists():
        return load(path)
    # A new e-mail with every new file: beside an older database it becomes one more administrator.
    made = Credentials(f"admin-{secrets.token_hex(4)}@localhost", secrets.token_urlsafe(24), secrets.token_hex(20))
    _write_private(path, tomli_w.dumps(asdict(made)).encode())
    return made


def load(path: Path) -> Credentials:
    """The credentials in `path`. Raises ServerError as `load_or_make`, and when there is no file."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            if mode & 0o077:
                raise ServerError(
                    f"{path}: its mode is {mode:04o}, others may use the password in it; "
                    f"type: chmod 600 {shlex.quote(os.fspath(path))}"
                )
            values = tomllib.load(file)
    except OSError as error:
        raise ServerError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServerError(f"{path}: not TOML: {error}") from None
    email, password, token = (values.get(name) for name in ("email", "password", "token"))
    if not (isinstance(email, str) and email and isinstance(password, str) and password):
        raise ServerError(f"{path}: email and password must be texts; without this file new ones are made")
    if not (isinstance(token, str) and re.fullmatch(r"[0-9a-f]{40}", token)):
        raise ServerError(f"{path}: token must be 40 hex digits; without this file a new one is made")
    return Credentials(email, password, token)


def _write_private(path: Path, content: bytes) -> None:
    """As `write_beside`, but from its first byte on only the owner may read the file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
