"""A corpus's projects on a server: creates them, finds them again, and checks the controls of their pages.

Label Studio serves every task of a project to the same number of people, and shows one page for all. So spans for
several annotators, spans without video, and conflicts have separate projects.
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
    "audit": "label",  # among the others, so that annotators treat them alike
    "agreement": "agreement",
    "gold": "agreement",
    "adjudicate": "adjudicate",
}
_CONTROLS = ("Choices", "Labels", "TextArea", "Rating", "Audio", "Video")


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of project: the purpose of its tasks, the page, and the number of annotators per task."""

    group: Group
    picture: bool
    annotators: int

    @property
    def variant(self) -> Variant:
        """The page."""
        return Variant(picture=self.picture, votes=self.group == "adjudicate")

    @property
    def title(self) -> str:
        """The title, to follow the corpus's name."""
        titles = {"label": "label", "agreement": f"{self.annotators} annotators each", "adjudicate": "adjudicate"}
        return titles[self.group] + ("" if self.picture else ", audio only")


def kind_of(task: Task) -> Kind:
    """The kind of project that a task belongs to."""
    return Kind(GROUPS[task.purpose], task.has_picture, task.annotators)


def mark(corpus_id: str, kind: Kind) -> str:
    """The mark at the end of a project's description, by which it is found again under any title."""
    return f"[lpse {corpus_id} {kind.group} {'picture' if kind.picture else 'sound'} {kind.annotators}]"


def our_projects(server: Server, corpus_id: str) -> list[Project]:
    """All projects of a corpus on the server."""
    return [one for one in server.projects() if f"[lpse {corpus_id} " in one.description]


def find_or_create(server: Server, corpus_id: str, name: str, kinds: Iterable[Kind]) -> dict[Kind, Project]:
    """A project for each kind. Raises ServerError if its page lacks a control, or if it exists twice."""
    ours = our_projects(server, corpus_id)
    projects = {}
    for kind in sorted(set(kinds)):
        marked = [one for one in ours if mark(corpus_id, kind) in one.description]
        if len(marked) > 1:
            numbers = ", ".join(str(one.id) for one in marked)
            raise ServerError(
                f"{server.url}: projects {numbers} have the same mark {mark(corpus_id, kind)}: delete all but one"
            )
        if marked:
            check_page(marked[0], kind.variant, server.url)
            projects[kind] = marked[0]
        else:
            projects[kind] = server.create_project(
                f"{name}: {kind.title}"[:50],
                f"Made by lpse annotate push, which finds the project by this mark: {mark(corpus_id, kind)}",
                labelling_page(kind.variant),
                guide(),
                kind.annotators,
            )
    return projects


def check_page(project: Project, variant: Variant, url: str = "") -> None:
    """Raise ServerError if the project's page lacks a required control, or a required choice.

    A page may have more controls and any layout.
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
    """name -> (tag, its media control or value, its choices)."""
    controls = {}
    for element in ET.fromstring(page).iter():
        if element.tag in _CONTROLS and (name := element.get("name")):
            values = frozenset(child.get("value", "") for child in element if child.tag in ("Choice", "Label"))
            controls[name] = (element.tag, element.get("toName") or element.get("value") or "", values)
    return controls
