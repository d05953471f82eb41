"""Text <-> data: the YAML stream of kustomize's exec protocol and the ResourceList of KRM functions.

A document that nobody changes leaves as the text it came as. A document that is changed keeps each scalar's own
spelling: PyYAML reads YAML 1.1 and kustomize writes something else (`1e+20`, `=`, `0o14`), so the two never agree on types.
"""

from __future__ import annotations

import re

import yaml

from emqx_fn.problem import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


try:
    from yaml import CSafeDumper as _Dumper
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML built without libyaml: slower, the same result
    from yaml import SafeDumper as _Dumper  # type: ignore[assignment]
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_STR = "tag:yaml.org,2002:str"
_MAP = "tag:yaml.org,2002:map"
_SEQ = "tag:yaml.org,2002:seq"
_SEPARATOR = re.compile(r"^---[ \t]*(?:#.*)?\n", re.MULTILINE)
_KIND = re.compile(r"^kind:[ \t]+[\"']?([A-Za-z0-9]+)[\"']?[ \t]*$", re.MULTILINE)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
# Plain scalars that begin with a letter and are still no strings to some YAML reader.
_AMBIGUOUS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})


class Scalar(str):
    """A string that remembers how it was written: `''` plain (its type is the reader's affair), or a quote, `|`, `>`."""

    __slots__ = ("style",)
    style: str

    def __new__(cls, value: str, style: str) -> Scalar:
        self = super().__new__(cls, value)
        self.style = style
        return self


def _scalar(value: str, style: str | None) -> Any:
    if style:
        return Scalar(value, style)
    if value in _CONSTANTS:
        return _CONSTANTS[value]
    if _is_plain_word(value):
        return value
    return int(value) if _INTEGER.fullmatch(value) else Scalar(value, "")


def _data(node: yaml.Node, budget: list[int]) -> Any:
    """A node as data. `budget` counts down the nodes that may still be built: aliases of aliases grow without bound."""
    budget[0] -= 1
    if budget[0] < 0:
        raise _Invalid("expected a document of a size that a person writes; its aliases unfold to far more", "write out what the aliases stand for", node)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node.value, node.style)
    if isinstance(node, yaml.SequenceNode):
        return [_data(item, budget) for item in node.value]
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode):
            raise _Invalid("expected text as a key", "write the key as text", key_node)
        if key in result:
            raise _Invalid(f"expected each key once; {key!r} stands twice in one mapping", "keep one of them", key_node)
        result[key] = _data(value_node, budget)
    return result


def _build(node: yaml.Node) -> Any:
    return _data(node, [100_000 + 2 * node.end_mark.index])


class _Invalid(Exception):
    def __init__(self, message: str, fix: str, node: yaml.Node) -> None:
        super().__init__(message)
        self.message, self.fix, self.mark = message, fix, node.start_mark


def _compose(text: str, source: str, first_line: int = 1) -> yaml.Node | None:
    """The node tree of the one document in `text`; refuses what is not YAML."""
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + first_line}:{mark.column + 1}" if mark else ""
        raise _not_yaml(" ".join(str(error.problem or error.context).split()), where) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _not_yaml(" ".join(str(error).split())[:200], f"{source}:{first_line}:1") from None


def _not_yaml(reason: str, where: str) -> Exception:
    return refuse("not-yaml", "", "", f"expected YAML: {reason}", "correct the YAML at this place", where)


def load(text: str, source: str, first_line: int = 1) -> Any:
    """The data of the one document in `text`: dict, list, str, int, bool or None. Refuses duplicate keys and bad YAML."""
    node = _compose(text, source, first_line)
    return None if node is None else _checked(node, source, first_line)


def _checked(node: yaml.Node, source: str, first_line: int = 1) -> Any:
    try:
        return _build(node)
    except _Invalid as error:
        where = f"{source}:{error.mark.line + first_line}:{error.mark.column + 1}"
        raise refuse("not-yaml", "", "", error.message, error.fix, where) from None
    except RecursionError:
        raise _not_yaml("it is nested too deeply, or refers to itself", f"{source}:{first_line}:1") from None


def _is_plain_word(value: str) -> bool:
    """Whether a plain scalar is a string to every YAML reader, told by its first letter; most are."""
    first = value[:1]
    return (first.isalpha() or first in ("/", "_", "$")) and value.lower() not in _AMBIGUOUS


class _Emitter(_Dumper):
    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:
        """PyYAML's own answer, without its regular expressions where the first letter tells."""
        if kind is yaml.ScalarNode and _is_plain_word(value):
            return _STR
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


_RESOLVER = yaml.resolver.Resolver()


def _tag(value: str) -> str:
    return _STR if _is_plain_word(value) else str(_RESOLVER.resolve(yaml.ScalarNode, value, (True, False)))  # type: ignore[no-untyped-call]


def _node(data: Any) -> yaml.Node:
    if isinstance(data, dict):
        return yaml.MappingNode(_MAP, [(_node(key), _node(value)) for key, value in data.items()], flow_style=not data)
    if isinstance(data, (list, tuple)):
        return yaml.SequenceNode(_SEQ, [_node(item) for item in data], flow_style=not data)
    if isinstance(data, Scalar):
        return yaml.ScalarNode(_STR, str(data), style=data.style) if data.style else yaml.ScalarNode(_tag(data), str(data))
    if isinstance(data, str):
        return yaml.ScalarNode(_STR, data, style=_style(data))
    text = "null" if data is None else str(data).lower()
    return yaml.ScalarNode(_tag(text), text)


def _style(value: str) -> str | None:
    if "\n" in value:
        return "|"
    return None if _tag(value) == _STR and value.lower() not in _AMBIGUOUS else '"'


def dump(data: Any) -> str:
    """`data` as one YAML document in block style, with the scalars' own spelling."""
    return str(yaml.serialize(_node(data), Dumper=_Emitter, allow_unicode=True, width=1 << 20))


class Document:
    """One object of the stream: its text, its kind, and its data once somebody needs it."""

    __slots__ = ("_data", "_node", "changed", "first_line", "kind", "source", "text")

    def __init__(self, text: str, source: str, first_line: int = 1, *, node: yaml.Node | None = None, data: Any = None) -> None:
        self.text, self.source, self.first_line = text, source, first_line
        self.changed = data is not None
        self._node = node
        self._data = data
        head = _KIND.search(text)
        self.kind: str = head[1] if head else str(self.data.get("kind", ""))

    @property
    def data(self) -> dict[str, Any]:
        """The object as data. Refuses text that is no YAML mapping."""
        if self._data is None:
            data = load(self.text, self.source, self.first_line) if self._node is None else _checked(self._node, self.source)
            if not isinstance(data, dict) or "kind" not in data:
                message = "expected a Kubernetes object: a mapping with apiVersion, kind and metadata"
                raise refuse("not-kubernetes", "", "", message, "remove what is no object from the build", f"{self.source}:{self.first_line}:1")
            self._data = data
        return self._data  # type: ignore[no-any-return]

    def output(self) -> str:
        """The document as it leaves: its own text, or new text where it was changed."""
        return dump(self.data) if self.changed else self.text


class Stream(NamedTuple):
    """What came in: documents in order, and for a ResourceList also its functionConfig."""

    documents: list[Document]
    config: dict[str, Any] | None
    config_text: str


def new_document(data: dict[str, Any]) -> Document:
    """A document of the function's own."""
    return Document(f"kind: {data['kind']}\n", "", data=data)


def read_stream(text: str, source: str = "stdin") -> Stream:
    """Split a YAML stream into documents without reading them."""
    documents = []
    start, line = 0, 1
    bounds = [(match.start(), match.end()) for match in _SEPARATOR.finditer(text)]
    for end, following in [*bounds, (len(text), len(text))]:
        piece = text[start:end]
        if piece.strip() and not _only_comments(piece):
            documents.append(Document(piece if piece.endswith("\n") else piece + "\n", source, line))
        line += text.count("\n", start, following)
        start = following
    return Stream(documents, None, "")


def _only_comments(text: str) -> bool:
    return text.lstrip()[0] in "#%." and all(not line.strip() or line.startswith(("#", "%", "...")) for line in text.split("\n"))


def write_stream(documents: list[Document]) -> str:
    """The YAML stream for kustomize."""
    return "---\n".join(document.output() for document in documents)


def read_resource_list(text: str, source: str = "stdin") -> Stream:
    """Read a ResourceList. An item's text is its own lines, taken out of the list's indentation."""
    root = _compose(text, source)
    fields = {key.value: (key, value) for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    kind = fields["kind"][1].value if "kind" in fields else ""
    if kind != "ResourceList":
        message = "expected a ResourceList (config.kubernetes.io/v1) on standard input, or a config file as the first argument"
        raise refuse("wrong-protocol", "", "", message, "run it by `kustomize build --enable-alpha-plugins`, or as a KRM function")
    items = fields["items"][1] if "items" in fields else None
    if items is not None and not isinstance(items, yaml.SequenceNode):
        raise refuse("wrong-protocol", "", "items", "expected a list of objects", "run it by a KRM orchestrator such as kpt or kustomize")
    documents = [_item(text, node, source) for node in (items.value if items else [])]
    if "functionConfig" not in fields:
        return Stream(documents, None, "")
    node = fields["functionConfig"][1]
    return Stream(documents, _checked(node, source), _slice(text, node, source))


def _item(text: str, node: yaml.Node, source: str) -> Document:
    return Document(_slice(text, node, source), source, node.start_mark.line + 1, node=node)


def _slice(text: str, node: yaml.Node, source: str) -> str:
    """The lines of a node without their common indentation; flow style and odd indentation are written anew."""
    indent = node.start_mark.column
    piece = text[node.start_mark.index : node.end_mark.index].rstrip() + "\n"
    first, *rest = piece.splitlines(keepends=True)
    if getattr(node, "flow_style", True) or any(line.strip() and not line.startswith(" " * indent) for line in rest):
        return dump(_checked(node, source))
    return first + "".join(line[indent:] if line.strip() else line for line in rest)


def write_resource_list(documents: list[Document], config_text: str, results: list[dict[str, Any]]) -> str:
    """The ResourceList that a KRM orchestrator reads back."""
    parts = ["apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n"]
    parts.append("items:\n" if documents else "items: []\n")
    parts += ["- " + _indented(document.output(), "  ") for document in documents]
    if config_text:
        parts.append("functionConfig:\n  " + _indented(config_text, "  "))
    if results:
        parts.append(dump({"results": results}))
    return "".join(parts)


def _indented(text: str, indent: str) -> str:
    first, *rest = text.splitlines(keepends=True)
    return first + "".join(indent + line if line.strip() else line for line in rest)
