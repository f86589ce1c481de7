"""What is known of models and endpoints: limits, abilities, prices."""

from routekit.catalog.catalog import Catalog
from routekit.catalog.endpoints import KNOWN_ENDPOINTS, Endpoint, deployments_from_env, local_deployments

__all__ = ["KNOWN_ENDPOINTS", "Catalog", "Endpoint", "deployments_from_env", "local_deployments"]
