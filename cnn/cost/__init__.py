"""The cost of a network: counted, planned and measured."""

from cnn.cost.count import LayerCost, NetworkCost, count, macs, network_cost

__all__ = ["LayerCost", "NetworkCost", "count", "macs", "network_cost"]
