"""Which model names exist, and what they resolve to."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.capabilities import capabilities_of, endpoints_of, endpoints_of_any
from gateway.config.settings import AliasEntry, GatewaySettings, ModelEntry
from gateway.http import errors
from gateway.prompts.folder import context_length


@dataclass(frozen=True)
class ModelTable:
    """The configured names.

    Attributes:
        models: models with an engine of their own, by name.
        aliases: names that stand for others.
        default: what a request without ``model`` asks for.
        created: Unix seconds, shown in ``/v1/models``.
        home: the folder of the converted models.
    """

    models: dict[str, ModelEntry]
    aliases: dict[str, AliasEntry]
    default: str | None
    created: int
    home: Path

    @classmethod
    def of(cls, settings: GatewaySettings) -> "ModelTable":
        """Return the table that the settings describe."""
        models = {model.name: model for model in settings.models}
        aliases = {alias.name: alias for alias in settings.aliases}
        return cls(models, aliases, settings.default_model, settings.created, settings.home)

    def asked_for(self, name: str | None) -> str:
        """Return the name that a request means.

        Raises:
            ApiError: 400, when it names none and no default is configured.
        """
        if name or self.default:
            return name or str(self.default)
        raise errors.missing_parameter("model")

    def candidates(self, name: str, may_use: Callable[[str], bool], path: str) -> list[ModelEntry]:
        """Return the models to try, in order: the drawn one, then the fallbacks.

        Args:
            name: what the client asked for.
            may_use: whether the client's key may see a name.
            path: the endpoint; models that do not serve it are no candidates.

        Raises:
            ApiError: 404, the same for names that do not exist and names that the key may not see; another for a name
                whose models do not serve the endpoint.
        """
        if not may_use(name):
            raise errors.model_not_found()
        if model := self.models.get(name):
            if path not in endpoints_of(model):
                raise errors.endpoint_not_supported(path, endpoints_of(model))
            return [model]
        if alias := self.aliases.get(name):
            return [self.models[model] for model in self._order(alias, path)]
        raise errors.model_not_found()

    def _order(self, alias: AliasEntry, path: str) -> Iterable[str]:
        """Return the names of an alias's models that serve ``path``: one drawn by weight, then the fallbacks."""
        drawn_from = [choice for choice in alias.route if path in endpoints_of(self.models[choice.model])]
        drawn = random.choices(drawn_from, [choice.weight for choice in drawn_from])[:1] if drawn_from else []
        fallback = [name for name in alias.fallback if path in endpoints_of(self.models[name])]
        order = dict.fromkeys([*(choice.model for choice in drawn), *fallback])
        if not order:
            raise errors.endpoint_not_supported(path, endpoints_of_any(self.behind(alias.name)))
        return order

    def behind(self, name: str) -> list[ModelEntry]:
        """Return the models that may answer for a name: itself, or those of an alias."""
        if model := self.models.get(name):
            return [model]
        alias = self.aliases[name]
        return [self.models[one] for one in dict.fromkeys([*(choice.model for choice in alias.route), *alias.fallback])]

    def describe(self, name: str) -> dict[str, Any]:
        """Return the API's ``model`` object, with what the models behind the name can do."""
        models = self.behind(name)
        lengths = [length for model in models if (length := context_length(model, self.home))]
        return {
            "id": name,
            "object": "model",
            "created": self.created,
            "owned_by": models[0].owned_by if name in self.models else "raygate",
            "context_length": min(lengths, default=None),
            **capabilities_of(models),
        }

    def names(self) -> list[str]:
        """Return every name, in the order of the configuration."""
        return [*self.models, *self.aliases]
