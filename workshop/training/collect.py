"""A trained module's tensors under the names that files give them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Collect:
    """The inverse of `transfer.Transfer`: takes a trained module's tensors and names them as the files do.

    It walks the same list of names.
    """

    state: Mapping[str, Tensor]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def copy(self, target: str, source: str, shape: tuple[int, ...] | None = None) -> None:
        tensor = self.state[target]
        self.tensors[source] = tensor if shape is None else tensor.reshape(shape)

    def weight_norm(self, target: str, prefix: str, shape: tuple[int, ...] | None = None) -> None:
        """Gain and direction as trained; of a weight without weight norm, its lengths and itself."""
        if target in self.state:
            direction = self.state[target].reshape(shape or self.state[target].shape)
            gain = direction.flatten(1).norm(dim=1).reshape(-1, *[1] * (direction.dim() - 1))
        else:
            module, weight = target.rsplit(".", 1)
            gain, direction = (self.state[f"{module}.parametrizations.{weight}.original{i}"] for i in (0, 1))
        self.tensors[f"{prefix}.weight_g"], self.tensors[f"{prefix}.weight_v"] = gain, direction

    def conv(self, target: str, prefix: str) -> None:
        self.copy(f"{target}.bias", f"{prefix}.bias")
        self.weight_norm(f"{target}.weight", prefix)

    def linear(self, target: str, prefix: str, alpha: float | None = None) -> None:
        self.copy(f"{target}.weight", f"{prefix}.weight")
