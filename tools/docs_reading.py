"""A griffe extension: reads the package's classes and docstrings for the site as Python and a reader do."""

import re
from typing import Any

import griffe

_WITH_FIELDS = {"NamedTuple", "Module", "Penalty", "Corruption", "Model"}
"""Bases whose subclasses are called with their annotated fields; `dataclasses` griffe knows by itself."""
_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class Reading(griffe.Extension):
    """Gives classes with fields their signature, and examples the heading that griffe knows."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Let griffe take `Example:` for code, not for a note."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Write the `__init__` that Python or Equinox makes of the fields."""
        bases = {str(base).rpartition(".")[2] for base in cls.bases}
        if bases & _WITH_FIELDS and "__init__" not in cls.members:
            cls.set_member("__init__", initializer(cls))


def initializer(cls: griffe.Class) -> griffe.Function:
    """What is called to make an object of the class: its own annotated fields, in order."""
    attributes = [member for member in cls.members.values() if isinstance(member, griffe.Attribute)]
    fields = [attribute for attribute in attributes if attribute.annotation and "property" not in attribute.labels]
    keyword = griffe.ParameterKind.positional_or_keyword
    parameters = [griffe.Parameter("self", kind=keyword)]
    for field in fields:
        parameters.append(griffe.Parameter(field.name, annotation=field.annotation, kind=keyword, default=field.value))
    return griffe.Function("__init__", parameters=griffe.Parameters(*parameters), parent=cls)
