"""Which model names exist, and what they resolve to."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway import errors
from gateway.settings import AliasEntry, GatewaySettings, ModelEntry


@dataclass(frozen=True)
class ModelTable:
    """The configured names.

    Attributes:
        models: models with an engine of their own, by name.
        aliases: names that stand for others.
        default: what a request without ``model`` asks for.
        created: Unix seconds, shown in ``/v1/models``.
    """

    models: dict[str, ModelEntry]
    aliases: dict[str, AliasEntry]
    default: str | None
    created: int

    @classmethod
    def of(cls, settings: GatewaySettings) -> "ModelTable":
        """Return the table that the settings describe."""
        models = {model.name: model for model in settings.models}
        aliases = {alias.name: alias for alias in settings.aliases}
        return cls(models, aliases, settings.default_model, settings.created)

    def asked_for(self, name: str | None) -> str:
        """Return the name that a request means.

        Raises:
            ApiError: 400, when it names none and no default is configured.
        """
        if name or self.default:
            return name or str(self.default)
        raise errors.missing_parameter("model")

    def candidates(self, name: str, may_use: Callable[[str], bool]) -> list[ModelEntry]:
        """Return the models to try, in order: the drawn one, then the fallbacks.

        Args:
            name: what the client asked for.
            may_use: whether the client's key may see a name.

        Raises:
            ApiError: 404, the same for names that do not exist and names that the key may not see.
        """
        if not may_use(name):
            raise errors.model_not_found()
        if model := self.models.get(name):
            return [model]
        if alias := self.aliases.get(name):
            weights = [choice.weight for choice in alias.route]
            drawn = random.choices(alias.route, weights)[0].model
            order = dict.fromkeys([drawn, *alias.fallback])
            return [self.models[model] for model in order]
        raise errors.model_not_found()

    def describe(self, name: str) -> dict[str, Any]:
        """Return the API's ``model`` object."""
        owner = self.models[name].owned_by if name in self.models else "raygate"
        return {"id": name, "object": "model", "created": self.created, "owned_by": owner}

    def names(self) -> list[str]:
        """Return every name, in the order of the configuration."""
        return [*self.models, *self.aliases]
