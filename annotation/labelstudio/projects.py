"""Our projects on a server: which there are, how they are found again, and whether their pages still ask our questions.

Label Studio serves every task of a project to as many people as the project says, and shows all of them one page. So
spans that several people hear, spans without a picture and conflicts are projects of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from manifests.records import Purpose, Task

from ..server import ServerError
from .client import Project, Server
from .page import Variant, guide, labelling_page

Group = Literal["label", "agreement", "adjudicate"]
GROUPS: dict[Purpose, Group] = {
    "label": "label",
    "audit": "label",  # among the others, so that nobody listens to them otherwise
    "agreement": "agreement",
    "gold": "agreement",
    "adjudicate": "adjudicate",
}
_CONTROLS = ("Choices", "Labels", "TextArea", "Rating", "Audio", "Video")


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of project: who gets its tasks, how many of them, and which page they see."""

    group: Group
    picture: bool
    annotators: int

    @property
    def variant(self) -> Variant:
        """The page."""
        return Variant(picture=self.picture, votes=self.group == "adjudicate")

    @property
    def title(self) -> str:
        """In words, to stand after the corpus's name."""
        words = {"label": "label", "agreement": f"{self.annotators} listeners each", "adjudicate": "adjudicate"}
        return words[self.group] + ("" if self.picture else ", sound only")


def kind_of(task: Task) -> Kind:
    """The kind of project that a task belongs to."""
    return Kind(GROUPS[task.purpose], task.has_picture, task.annotators)


def mark(corpus_id: str, kind: Kind) -> str:
    """What the description of such a project ends with: by it the project is found again, whatever its title."""
    return f"[lpse {corpus_id} {kind.group} {'picture' if kind.picture else 'sound'} {kind.annotators}]"


def our_projects(server: Server, corpus_id: str) -> list[Project]:
    """All projects of a corpus on the server."""
    return [one for one in server.projects() if f"[lpse {corpus_id} " in one.description]


def find_or_create(server: Server, corpus_id: str, name: str, kinds: Iterable[Kind]) -> dict[Kind, Project]:
    """A project for each kind. Raises ServerError when one asks other questions than ours, or is there twice."""
    ours = our_projects(server, corpus_id)
    projects = {}
    for kind in sorted(set(kinds)):
        found = [one for one in ours if mark(corpus_id, kind) in one.description]
        if len(found) > 1:
            numbers = ", ".join(str(one.id) for one in found)
            raise ServerError(f"{server.url}: projects {numbers} are both marked {mark(corpus_id, kind)}: keep one")
        if found:
            check_page(found[0], kind.variant, server.url)
            projects[kind] = found[0]
        else:
            projects[kind] = server.create_project(
                f"{name}: {kind.title}"[:50],
                f"Made by lpse annotate push; it finds the project by this mark: {mark(corpus_id, kind)}",
                labelling_page(kind.variant),
                guide(),
                kind.annotators,
            )
    return projects


def check_page(project: Project, variant: Variant, url: str = "") -> None:
    """Raise ServerError where the project's page lacks a control of ours, or an answer that it offers.

    A page may have more than ours and look as it likes.
    """
    place = f"{url}: project {project.id} ({project.title})"
    try:
        theirs = _controls(project.page)
    except ET.ParseError as error:
        raise ServerError(f"{place}: its labelling page cannot be read: {error}") from None
    for name, (tag, target, values) in _controls(labelling_page(variant)).items():
        if name not in theirs:
            raise ServerError(f"{place}: its labelling page has no control {name!r}; was it renamed?")
        if theirs[name][:2] != (tag, target):
            raise ServerError(f"{place}: control {name!r} of its page is not a {tag} on {target!r}")
        if missing := values - theirs[name][2]:
            raise ServerError(f"{place}: control {name!r} of its page lacks {', '.join(sorted(missing))}")


def _controls(page: str) -> dict[str, tuple[str, str, frozenset[str]]]:
    """name -> (tag, what it belongs to or shows, the values it offers)."""
    controls = {}
    for element in ET.fromstring(page).iter():
        if element.tag in _CONTROLS and (name := element.get("name")):
            values = frozenset(child.get("value", "") for child in element if child.tag in ("Choice", "Label"))
            controls[name] = (element.tag, element.get("toName") or element.get("value") or "", values)
    return controls
