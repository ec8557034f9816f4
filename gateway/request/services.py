"""The parts of a gateway replica that requests pass through."""

from dataclasses import dataclass

from auth.access import Access
from gateway.config.settings import GatewaySettings
from gateway.prompts.estimate import Prompts
from gateway.request.isolation import Isolation
from gateway.request.late_counts import LateCounts
from gateway.request.metrics import Metrics
from gateway.request.traffic import Traffic
from gateway.routing.models import ModelTable
from gateway.routing.readiness import Readiness
from gateway.routing.replicas import Replicas
from objects.file_store import Files


@dataclass(frozen=True)
class Services:
    """Opened by :func:`gateway.services.open_services`, together, and closed together."""

    settings: GatewaySettings
    access: Access
    models: ModelTable
    readiness: Readiness
    replicas: Replicas
    metrics: Metrics
    prompts: Prompts
    isolation: Isolation
    traffic: Traffic
    files: Files
    late_counts: LateCounts
    internal_token: str
