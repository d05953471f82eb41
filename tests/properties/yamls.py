"""YAML that other people write: every odd scalar and layout, as text and made by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

# Readers of YAML 1.1, of 1.2 and kustomize's own disagree about each of these.
ODD_SCALARS = (
    *("1e+20", "1E5", ".5", "5.", "+1", "-0", "0x1F", "0o14", "014", "0777", "08", "0b101", "1_000", "190:20:30", "12:30:45", "1,000", "0.10", "0.1e-5"),
    *("~", "null", "Null", "NULL", "true", "True", "TRUE", "yes", "Yes", "YES", "no", "No", "on", "On", "off", "OFF", "y", "n", "Y", "N"),
    *("=", "<<", ".", "-", "...", ".inf", "-.Inf", ".nan", "2001-12-14", "2001-12-14t21:59:43.10-05:00", "1.2.3", "1.10", "007", "10Gi", "100m"),
    *("!!str", "!local", "''", '""', "'it''s'", '"a\\tb\\u263a"', "%25", "@at", "`tick`"),
)
PLAIN = tuple(scalar for scalar in ODD_SCALARS if scalar[0] not in "@`%" and scalar not in ("-", "..."))

_LINE = ("text", "", "  indented", "--- not a separator", "---", "# not a comment", "\ttab", "kind: Deployment", "größe 世界 🐝", "x" * 3000, "trailing  ")
_LINES = st.lists(st.sampled_from(_LINE), min_size=1, max_size=5)


def _block(lines: list[str], header: str) -> str:
    return header + "\n" + "".join(f"    {line}\n" if line else "\n" for line in lines)


def _literal(lines: list[str], header: str) -> str:
    # A first line that begins with a blank needs an indentation indicator; `2` counts from the parent's two columns.
    explicit = header if lines[0].strip() and not lines[0][0].isspace() else header[0] + "2" + header[1:]
    return _block(lines, explicit).rstrip("\n")


_BLOCKS = st.builds(_literal, _LINES, st.sampled_from(["|", ">", "|-", "|+", ">-"]))
# What may stand in double quotes as it is.
_CHARACTERS = st.characters(
    min_codepoint=32, max_codepoint=0x2FFF, exclude_characters='"\\\x7f\x85\xa0\u2028\u2029', exclude_categories=("Cc", "Cs", "Zl", "Zp")
)
_QUOTED = st.text(_CHARACTERS, max_size=60).map(lambda text: f'"{text}"')
_FLOW = st.sampled_from(["[]", "{}", "[1, 1e+20, =, yes]", "{a: 0777, b: [~, 'x']}", "[a,\n    b]", "!!binary aGVsbG8=", "&anchor x", "!custom {a: 1}"])
VALUES = st.one_of(st.sampled_from(PLAIN), _BLOCKS, _QUOTED, _FLOW, st.just(""))
KEYS = st.one_of(st.sampled_from(["a", "key.with/slash", "yes", "1", "0x1", "'quoted'", '"ü"', "~x"]), st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True))

COMMENTS = st.sampled_from(["", "# a comment\n", "#\n\n", "  # indented\n"])


def _document(kind: str, name: str, values: dict[str, str], comment: str, end: str) -> str:
    data = "".join(f"  {key}: {value}\n" if value else f"  {key}:\n" for key, value in values.items())
    return f"{comment}apiVersion: stranger.example/v1\nkind: {kind}  {end}\nmetadata:\n  name: {name}\ndata:\n{data}".replace(f"{kind}  \n", f"{kind}\n")


DOCUMENTS = st.builds(
    _document,
    st.sampled_from(["Stranger", "ConfigMap", "Secret", "CustomResourceDefinition", "Service", "Role", "Deployment"]),
    st.from_regex(r"[a-z]{3,8}", fullmatch=True),
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=6),
    COMMENTS,
    st.sampled_from(["", "# why"]),
)
