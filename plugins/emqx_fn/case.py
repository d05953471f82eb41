"""What a rule looks at: one workload in the resources of a build, its settings, and the environment its container will see."""

from __future__ import annotations

from emqx_fn import environment
from emqx_fn.environment import Variable
from emqx_fn.graph import Graph, Object
from emqx_fn.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


class Case(NamedTuple):
    """One cluster as it stands in the build. `env` holds every variable, whoever wrote it; see `environment.final`."""

    graph: Graph
    workload: Object
    container: dict[str, Any]
    s: Settings
    env: dict[str, Variable]
    own: frozenset[str] = frozenset()  # variables that the function has just written: what is wrong with them, the settings say

    def value(self, name: str) -> str:
        """The value of a variable, or an empty string where it is not set or only a Secret knows it."""
        variable = self.env.get(name)
        return variable.value or "" if variable else ""

    def container_path(self, field: str) -> str:
        """Path of a field of the EMQX container, for messages."""
        return f"spec.template.spec.containers[{self.container['name']}].{field}"


def case_of(graph: Graph, workload: Object, container: dict[str, Any], s: Settings, own: frozenset[str] = frozenset()) -> Case:
    """The case as the resources stand now."""
    return Case(graph, workload, container, s, environment.final(graph, workload, container, s.service.name if s.service else ""), own)
