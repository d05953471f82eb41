"""A review -> the same with every secret masked: the only form in which reporters get it.

A mask holds a keyed digest of what it hides, so that one sees whether it changed, and nobody can try passwords against it
without the key. What is masked in one place is masked wherever else it stands.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode
from binascii import Error
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, NewType

from emqx_fn import wire
from emqx_fn.environment import is_clear
from emqx_fn.problem import Problem
from emqx_gitops.errors import UsageFailure
from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering
from emqx_gitops.resources import Resource
from emqx_gitops.review import looks
from emqx_gitops.review.model import MISSING, Consent, Difference, Field, Finding, Pair, Review, Skipped, TargetReview
from emqx_gitops.sources import Read

if TYPE_CHECKING:
    from emqx_fn.record import Path as FieldPath

# Every value in it may be shown: it went through here.
Shown = NewType("Shown", Review)

_LENGTH = 10
_KEY_LENGTH = 32
_SECRET_FIELDS = ("data", "stringData")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_IMAGES = ("image", "newTag", "tag")
_AROUND = " \t\"'\\"  # what a value may be put into
_SCHEME = re.compile(r"(?i)(?:bearer|basic)\s+(\S+)")
_FLAG = re.compile(r"--?([A-Za-z][\w.-]*)")


def key(file: Path | None) -> bytes:
    """The key in a file; without one, another in each run. Raises UsageFailure for a file that cannot be read or is too short."""
    if file is None:
        return token_bytes(_KEY_LENGTH)
    try:
        found = file.read_bytes().strip()
    except OSError as error:
        raise UsageFailure(f"--mask-key-file: expected a file that can be read; {file}: {error.strerror}", "correct the name") from None
    if len(found) < _KEY_LENGTH:
        message = f"--mask-key-file: expected {_KEY_LENGTH} bytes or more, which nobody can guess; {file} has {len(found)}"
        raise UsageFailure(message, f"make one: head -c {_KEY_LENGTH} /dev/urandom | base64 > {file}")
    return found


def shown(review: Review, key: bytes) -> Shown:
    """The review as it may be read by anybody. The same key gives the same masks."""
    masker = _Masker(key)
    found = [rendering for target in review.targets for rendering in (target.pair.before, target.pair.after) if rendering]
    # Twice: what is secret in the last object is then known in the first one too.
    for rendering in (*found, *found):
        masker.learn(rendering)
    return Shown(
        replace(
            review,
            targets=tuple(masker.target(target) for target in review.targets),
            skipped=tuple(Skipped(skipped.name, masker.prose(skipped.why)) for skipped in review.skipped),
            unused_consents=tuple(masker.consent(consent) for consent in review.unused_consents),
        )
    )


class _Masker:
    """Masks values, and remembers what they were."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}
        self._compiled = 0, re.compile(r"(?!)")
        self._resources: dict[int, Resource] = {}

    # -- parts of a review

    def learn(self, rendering: Rendering) -> None:
        """Mask the objects of a rendering."""
        for resource in rendering.resources:
            self._resources[id(resource)] = self._resource(resource)

    def target(self, target: TargetReview) -> TargetReview:
        findings = {finding: self._finding(finding) for finding in (*target.findings, *(finding for finding, _ in target.consents))}
        return TargetReview(
            self._pair(target.pair),
            tuple(findings[finding] for finding in target.findings),
            tuple(map(self._problem, target.problems)),
            tuple((findings[finding], self.consent(consent)) for finding, consent in target.consents),
        )

    def consent(self, consent: Consent) -> Consent:
        return consent._replace(**{field: self.prose(getattr(consent, field)) for field in ("rule", "where", "reason", "note")})

    def _pair(self, pair: Pair) -> Pair:
        name = pair.target.name
        differences = tuple(map(self._difference, pair.differences))
        return Pair(Target(Path(name), name), self._rendering(pair.before), self._rendering(pair.after), differences)

    def _rendering(self, rendering: Rendering | None) -> Rendering | None:
        if rendering is None:
            return None
        found = tuple(self._resources[id(resource)] for resource in rendering.resources)
        text, warnings = "---\n".join(resource.text for resource in found), self.prose(rendering.warnings)
        # Its origin could be read anew.
        return Rendering(rendering.name, Read(()), text, found, tuple(map(self._problem, rendering.problems)), warnings)

    def _problem(self, problem: Problem) -> Problem:
        return problem._replace(**{field: self.prose(getattr(problem, field)) for field in ("path", "message", "fix", "where")})

    def _finding(self, finding: Finding) -> Finding:
        plan = tuple(self.prose(step) for step in finding.plan)
        return finding._replace(path=self.prose(finding.path), message=self.prose(finding.message), plan=plan)

    def _difference(self, difference: Difference) -> Difference:
        before, after = (self._resources.get(id(resource)) or (resource and self._resource(resource)) for resource in (difference.before, difference.after))
        fields = tuple(self._field(difference.resource, field) for field in difference.fields)
        return Difference(before, after, fields, difference.cause)

    def _field(self, resource: Resource, field: Field) -> Field:
        before, after = (self._at(resource, field.path, value) for value in (field.before, field.after))
        path = tuple((step[0], self._text(str(step[1]), step[0])) if isinstance(step, tuple) else step for step in field.path)
        return Field(path, before, after, field.cause)

    # -- objects

    def _resource(self, resource: Resource) -> Resource:
        data = self._at(resource, (), resource.data)
        return resource if data == resource.data else replace(resource, text=wire.dump(data), data=data)

    def _at(self, resource: Resource, path: FieldPath, value: Any) -> Any:
        """The value of a field of an object, masked."""
        is_secret = resource.key.kind == "Secret" and not resource.key.group
        if is_secret and not path and isinstance(value, dict):
            return {key: self._at(resource, (str(key),), item) for key, item in value.items()}
        if is_secret and path[0] in _SECRET_FIELDS:
            return self._hidden(value)
        return self._value(value, _name(path))

    def _hidden(self, value: Any) -> Any:
        """All that is in it, masked."""
        if isinstance(value, dict):
            return {key: self._hidden(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._hidden(item) for item in value]
        if value is MISSING or value is None or value == "":
            return value
        self._remember(_decoded(str(value)))
        return self._mask(str(value))

    def _value(self, value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {key: self._value(item, _inner(value, str(key), name)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, _after(value, index, name)) for index, item in enumerate(value)]
        if value is MISSING or value is None or isinstance(value, bool):
            return value
        masked = self._text(str(value), name)
        return value if masked == str(value) else masked

    def _text(self, text: str, name: str) -> str:
        if name == _LAST_APPLIED or (looks.is_secret_name(name) and looks.is_value(text)):
            return self._mask(text)
        masked = self._masked(text, prose=False, names_images=name in _IMAGES)
        # The rules know more of EMQX' variables.
        return self._mask(text) if is_clear(name, masked) else masked

    # -- texts

    def prose(self, text: str) -> str:
        """A sentence."""
        return self._masked(text, prose=True)

    def _masked(self, text: str, *, prose: bool, names_images: bool = False) -> str:
        result, position = "", 0
        for start, end in looks.spans(text, prose=prose, names_images=names_images):
            result += self._without_known(text[position:start]) + self._mask(text[start:end])
            position = end
        return result + self._without_known(text[position:])

    def _without_known(self, text: str) -> str:
        """A text without what was masked elsewhere."""
        if len(self._known) != self._compiled[0]:
            words = "|".join(re.escape(secret) for secret in sorted(self._known, key=lambda secret: (-len(secret), secret)))
            self._compiled = len(self._known), re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])")
        return self._compiled[1].sub(lambda match: self._known[match[0]], text)

    def _mask(self, secret: str) -> str:
        self._remember(secret)
        return self._sign(secret)

    def _sign(self, secret: str) -> str:
        return f"<masked {hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()[:_LENGTH]}>"

    def _remember(self, secret: str) -> None:
        """Know it again elsewhere, unless it is a word that may stand there for itself."""
        for part in {secret, *secret.splitlines(), *_SCHEME.findall(secret)}:
            known = part.strip(_AROUND)
            if len(known) >= 8 or (len(known) >= 4 and any(map(str.isdigit, known)) and any(map(str.isalpha, known))):
                self._known.setdefault(known, self._sign(known))


def _name(path: FieldPath) -> str:
    """What a field is called: `value` of an entry is called as the entry."""
    if len(path) > 1 and path[-1] == "value":
        return str(path[-2][1]) if isinstance(path[-2], tuple) else path[-2]
    last = path[-1] if path else ""
    return last if isinstance(last, str) else ""


def _inner(parent: dict[str, Any], key: str, name: str) -> str:
    """What an entry of a mapping is called; `value` as the mapping says by its name, else as the mapping itself."""
    if key != "value":
        return key
    given = parent.get("name")
    return given if isinstance(given, str) else name


def _after(values: list[Any], index: int, name: str) -> str:
    """What an entry of a list is called: as the list, or as the flag before it."""
    before = values[index - 1] if index else None
    flag = _FLAG.fullmatch(before) if isinstance(before, str) else None
    return flag[1] if flag else "" if isinstance(values[index], dict) else name


def _decoded(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode()
    except (Error, ValueError):
        return text
