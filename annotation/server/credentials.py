"""The administrator of the embedded server: created once, stored in a file that only its owner may read."""

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
    """The administrator's credentials. `token` is 40 hex digits, Label Studio's form; the repr omits secrets."""

    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)


def load_or_make(path: Path) -> Credentials:
    """The credentials in `path`, created at random if there is no file. Only the caller may write there.

    Raises ServerError if others may read the file, or it does not contain credentials.
    """
    if path.exists():
        return load(path)
    # A new e-mail with every new file: in an older database it becomes an additional administrator.
    made = Credentials(f"admin-{secrets.token_hex(4)}@localhost", secrets.token_urlsafe(24), secrets.token_hex(20))
    _write_private(path, tomli_w.dumps(asdict(made)).encode())
    return made


def load(path: Path) -> Credentials:
    """The credentials in `path`. Raises ServerError as `load_or_make`, and if there is no file."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            if mode & 0o077:
                raise ServerError(
                    f"{path}: its mode is {mode:04o}, others may read the password: "
                    f"run chmod 600 {shlex.quote(os.fspath(path))}"
                )
            values = tomllib.load(file)
    except OSError as error:
        raise ServerError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServerError(f"{path}: not TOML: {error}") from None
    email, password, token = (values.get(name) for name in ("email", "password", "token"))
    if not (isinstance(email, str) and email and isinstance(password, str) and password):
        raise ServerError(f"{path}: email and password must be non-empty strings; delete the file to create new ones")
    if not (isinstance(token, str) and re.fullmatch(r"[0-9a-f]{40}", token)):
        raise ServerError(f"{path}: token must be 40 hex digits; delete the file to create a new one")
    return Credentials(email, password, token)


def _write_private(path: Path, content: bytes) -> None:
    """As `write_beside`, but only the owner may read the file from its first byte on."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
